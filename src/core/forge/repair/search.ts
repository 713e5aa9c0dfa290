/** Looks for objects in what the store holds beside the log, and in other places. */
import { throwIfAborted } from "../../base/clock.ts";
import { isMicError } from "../../base/errors.ts";
import { hashObject } from "../../base/hash.ts";
import type { ObjectId, PackId, ProjectId } from "../../base/ids.ts";
import { decodeLooseObject } from "../../codec/loose-object.ts";
import { packIdOf } from "../../codec/pack.ts";
import { epochToDays, type ManifestPack } from "../../codec/pack-entry.ts";
import { blobsPrefix, packsPrefix, quarantinePrefix } from "../../objects/keys.ts";
import { parseStoredKey } from "../../objects/stored-key.ts";
import { KeySet } from "../collect/key-set.ts";
import type { ForgeContext } from "../context.ts";
import type { CopySource } from "./copy-source.ts";
import type { FoundObjects } from "./found-objects.ts";
import { salvage } from "./salvage.ts";

/** At the end of a pack's key: its id and `.pack`. */
const PACK_SUFFIX_LENGTH = 5;
const PACK_NAME_LENGTH = 64 + PACK_SUFFIX_LENGTH;

export interface SearchPlaces {
  readonly context: ForgeContext;
  readonly project: ProjectId;
  /** Sound packs of the lists have been looked at. */
  readonly named: readonly ManifestPack[];
  readonly copies: readonly CopySource[];
  readonly signal: AbortSignal | undefined;
}

/**
 * Offers every object of packs that nothing names, of what was moved aside before, of loose objects, and of other
 * places as far as they are still missing.
 */
export async function search(places: SearchPlaces, found: FoundObjects): Promise<void> {
  const { context, project, copies } = places;
  const { store } = context;
  const named = new KeySet();
  for (const { epoch, pack } of places.named) named.add("pack", epochToDays(epoch), pack);
  for (const prefix of [packsPrefix(project), `${quarantinePrefix(project)}packs/`]) {
    for await (const key of keysBelow(places, prefix)) {
      const { kind, days, id } = parseStoredKey(project, key);
      if (kind === "pack" && named.has("pack", days, id)) continue;
      const stored = await store.get(key, { fresh: true });
      if (stored !== undefined) for (const object of salvage(stored.bytes)) found.offer(object);
    }
  }
  const missing = new Set(found.missing);
  if (missing.size > 0) {
    for await (const key of keysBelow(places, blobsPrefix(project))) {
      const { kind, id } = parseStoredKey(project, key);
      if (kind === "blob" && missing.has(id as ObjectId))
        await offerLoose(places, key, id as ObjectId, found);
    }
  }
  for (const source of copies) {
    for (const id of found.missing) {
      throwIfAborted(places.signal);
      const object = await source.find(id);
      if (object !== undefined && hashObject(object.content) === id) found.offer({ ...object, id });
    }
  }
}

/**
 * Keys of sound copies of these packs, whole, under other days or where they were moved aside.
 */
export async function findWholeCopies(
  places: Pick<SearchPlaces, "context" | "project" | "signal">,
  packs: ReadonlySet<PackId>,
): Promise<ReadonlyMap<PackId, string>> {
  const { context, project } = places;
  const copies = new Map<PackId, string>();
  for (const prefix of [packsPrefix(project), `${quarantinePrefix(project)}packs/`]) {
    for await (const key of keysBelow(places, prefix)) {
      const id = key.slice(-PACK_NAME_LENGTH, -PACK_SUFFIX_LENGTH) as PackId;
      if (!packs.has(id) || copies.has(id)) continue;
      const stored = await context.store.get(key, { fresh: true });
      if (stored !== undefined && packIdOf(stored.bytes) === id) copies.set(id, key);
    }
  }
  return copies;
}

async function offerLoose(
  { context }: SearchPlaces,
  key: string,
  id: ObjectId,
  found: FoundObjects,
): Promise<void> {
  const stored = await context.store.get(key, { fresh: true });
  if (stored === undefined) return;
  try {
    const object = decodeLooseObject(stored.bytes, id);
    const sidecar = object.kind === "blob" ? new Uint8Array(0) : object.sidecar;
    found.offer({ id, kind: object.kind, content: object.content, sidecar });
  } catch (error) {
    // It is damaged as well.
    if (!isMicError(error)) throw error;
  }
}

/** Every key that starts with a prefix. */
export async function* keysBelow(
  { context, signal }: Pick<SearchPlaces, "context" | "signal">,
  prefix: string,
): AsyncIterable<string> {
  for (let after: string | undefined; ; ) {
    throwIfAborted(signal);
    const page = await context.store.list(prefix, after === undefined ? {} : { after });
    for (const { key } of page.objects) yield key;
    if (page.next === undefined) return;
    after = page.next;
  }
}
