/** The lists of packs that a head leads to, as far as their pages can be read. */
import { isMicError, type MicError } from "../../base/errors.ts";
import type { ManifestPack } from "../../codec/pack-entry.ts";
import type { PageRef } from "../../codec/page-ref.ts";
import { pageKey } from "../../objects/keys.ts";
import type { ForgeContext } from "../context.ts";
import { PageCache } from "../head/manifest.ts";
import type { Snapshot } from "../log/snapshot.ts";

export interface ListedPacks {
  /** Newest first. */
  readonly packs: readonly ManifestPack[];
  readonly pages: readonly PageRef[];
  readonly damagedPages: readonly { readonly ref: PageRef; readonly key: string; readonly error: MicError }[];
}

/** Goes on past pages that are missing or damaged. Errors: `unreachable`. */
export async function listPacks(context: ForgeContext, snapshot: Snapshot): Promise<ListedPacks> {
  const { project, head } = snapshot;
  const cache = new PageCache(context.store, project);
  const packs: ManifestPack[] = head.packs.toReversed();
  const pages: PageRef[] = [];
  const damagedPages: { ref: PageRef; key: string; error: MicError }[] = [];
  const pending: PageRef[] = [...head.pages];
  for (let ref = pending.pop(); ref !== undefined; ref = pending.pop()) {
    pages.push(ref);
    try {
      const page = await cache.load(ref);
      if ("packs" in page) for (let i = page.packs.length - 1; i >= 0; i--) packs.push(page.packs[i]!);
      else pending.push(...page.pages);
    } catch (error) {
      if (!isMicError(error) || (error.code !== "corrupt" && error.code !== "unsupported")) throw error;
      damagedPages.push({ ref, key: pageKey(project, ref.epoch, ref.hash), error });
    }
  }
  return { packs, pages, damagedPages };
}
