/** Puts a merged pack into a head, in place of the packs that it was made of. */
import type { ProjectId } from "../../base/ids.ts";
import type { ManifestPack } from "../../codec/pack-entry.ts";
import type { HeadChange } from "../head/change.ts";
import { isNameable } from "../head/epochs.ts";
import type { PageCache } from "../head/manifest.ts";
import { replacePacks } from "../head/replace-packs.ts";

export interface Replacement {
  readonly removed: readonly ManifestPack[];
  /** Stored already. */
  readonly merged: ManifestPack;
}

/** `pages`: what was read of the project's pages. */
export function replaceWithMerged(
  { removed, merged }: Replacement,
  { project, pages }: { readonly project: ProjectId; readonly pages: PageCache },
): HeadChange {
  return {
    what: `the merged pack of ${merged.first} to ${merged.last}`,
    apply: async ({ head }, { epoch, storeMs }) => {
      // Written before yesterday: a collector may be about to take it.
      if (!isNameable(merged.epoch, storeMs)) return undefined;
      const lists = await replacePacks(head, { removed, added: [merged] }, { project, epoch, cache: pages });
      return lists === undefined ? undefined : { ...lists, rollups: head.rollups };
    },
  };
}
