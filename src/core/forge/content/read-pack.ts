/** Packs as they are stored: those that the project's log names, and those uploaded in the last days. */
import { corrupt, MicError } from "../../base/errors.ts";
import { type Epoch, type PackId, type ProjectId, parsePackId } from "../../base/ids.ts";
import { packIdOf } from "../../codec/pack.ts";
import { packKey } from "../../objects/keys.ts";
import { readVerified } from "../../store/read-verified.ts";
import type { ForgeContext } from "../context.ts";
import type { CallOptions } from "../forge.ts";
import { searchedEpochs } from "../head/epochs.ts";
import { openSnapshot } from "../log/positions.ts";
import type { Snapshot } from "../log/snapshot.ts";

/** A pack that is larger is not read as a whole. */
export const READ_PACK_BYTES_MAX = 64 << 20;

/** `undefined` when there is none. Errors: `too-large` above READ_PACK_BYTES_MAX. */
export async function getPack(
  context: ForgeContext,
  project: ProjectId,
  pack: PackId,
  options: CallOptions = {},
): Promise<Uint8Array | undefined> {
  parsePackId(pack);
  const snapshot = await openSnapshot(context, project, options);
  for await (const { epoch, size } of findPack(context, snapshot, pack)) {
    if (size > READ_PACK_BYTES_MAX) {
      throw new MicError("too-large", `the pack ${pack} has ${size} bytes`, {
        hint: "read its objects by their ids",
      });
    }
    const key = packKey(project, epoch, pack);
    const bytes = await readVerified(context.store, key, options, (stored) => {
      if (packIdOf(stored.bytes) !== pack) throw corrupt(key, "has another hash");
      return stored.bytes;
    });
    if (bytes !== undefined) return bytes;
  }
  return undefined;
}

/** Where it may be: uploaded in the last days, or named by the log. */
export async function* findPack(
  context: ForgeContext,
  snapshot: Snapshot,
  pack: PackId,
): AsyncGenerator<{ readonly epoch: Epoch; readonly size: number }> {
  for (const epoch of searchedEpochs(await context.store.nowMs())) {
    const key = packKey(snapshot.project, epoch, pack);
    const { objects } = await context.store.list(key, { limit: 1 });
    if (objects[0]?.key === key) yield { epoch, size: objects[0].size };
  }
  for await (const packs of snapshot.directory.newestFirst()) {
    const found = packs.find((each) => each.pack === pack);
    if (found !== undefined) yield found;
  }
}
