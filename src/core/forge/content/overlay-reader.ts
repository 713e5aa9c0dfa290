/** Reads a project together with uploaded packs that no head names yet. */
import { ObjectReader } from "../../objects/object-reader.ts";
import type { PackCache } from "../../objects/pack-cache.ts";
import type { PackDirectory, PackEntry } from "../../objects/pack-directory.ts";
import type { Snapshot } from "../log/snapshot.ts";
import type { UploadedPack } from "./uploaded-packs.ts";

export function overlayReader(
  snapshot: Snapshot,
  uploads: readonly UploadedPack[],
  cache: PackCache,
): ObjectReader {
  const { position } = snapshot.head;
  const entries: PackEntry[] = uploads.map(({ pack, epoch, size, indexLength }) => {
    return { pack, epoch, size, indexLength, first: position, last: position };
  });
  const { directory } = snapshot;
  const overlay: PackDirectory = {
    get version() {
      return directory.version;
    },
    renew: (since) => directory.renew(since),
    at: async (at) => [...entries, ...(await directory.at(at))],
    async *newestFirst() {
      if (entries.length > 0) yield entries;
      yield* directory.newestFirst();
    },
  };
  return new ObjectReader(cache, overlay);
}
