/** A new pack in place of one that is damaged or missing, with whatever of it was found again. */

import { type Epoch, epochOf, type ObjectId, type ProjectId } from "../../base/ids.ts";
import { BLOB_FRAME_RAW_BYTES, NODE_FRAME_RAW_BYTES } from "../../base/limits.ts";
import { decodeLandingRecord } from "../../codec/landing-record.ts";
import { encodePack } from "../../codec/pack.ts";
import type { ManifestPack } from "../../codec/pack-entry.ts";
import { FrameBuilder } from "../../objects/frame-builder.ts";
import { packKey } from "../../objects/keys.ts";
import type { ObjectContent } from "../../objects/read-frame.ts";
import type { ForgeContext } from "../context.ts";
import type { ObjectTable } from "../fsck/object-table.ts";
import type { HeadChange } from "../head/change.ts";
import { isNameable } from "../head/epochs.ts";
import { PageCache } from "../head/manifest.ts";
import { type PackReplacement, replacePacks } from "../head/replace-packs.ts";
import type { ProjectStore } from "../project-store.ts";
import type { FoundObjects, FoundRecord } from "./found-objects.ts";
import { idsOfPack, salvage } from "./salvage.ts";

export interface Mending {
  readonly entry: ManifestPack;
  /** Its bytes, if it is there. */
  readonly stored: Uint8Array | undefined;
  /** What the history needs of it, as far as that is known. */
  readonly needed: readonly ObjectId[];
  /** Of all its positions, or none. */
  readonly records: readonly FoundRecord[] | undefined;
}

/**
 * `replaced`: everything that it held is in other packs. `restored`: in the same one. `beside`: the damaged pack stays
 * listed, with another that holds what was found. `nothing`: nothing was found that sound packs do not have.
 * `obsolete`: it is not listed any more.
 */
export type MendOutcome = "replaced" | "restored" | "beside" | "nothing" | "obsolete";

/**
 * `sound`: what sound packs hold. `moveAside`: takes the damaged pack out of the way of a sound one. Errors: those of
 * the head's swap.
 */
export async function mendPack(
  context: ForgeContext,
  project: ProjectStore,
  { entry, stored, needed, records }: Mending,
  found: FoundObjects,
  sound: ObjectTable,
  moveAside: (key: string) => Promise<void>,
): Promise<MendOutcome> {
  const held = stored === undefined ? undefined : idsOfPack(stored);
  const builder = new PackOfFound(sound);
  const areRecordsNew = records?.some(({ id }) => sound.findId(id) === -1) === true;
  if (areRecordsNew) builder.addRecords(records);
  if (stored !== undefined) for (const object of salvage(stored)) builder.add(object.id, object);
  for (const id of [...needed, ...(held ?? [])]) {
    const object = found.get(id);
    if (object !== undefined) builder.add(id, object);
  }
  if (builder.isEmpty) return "nothing";
  const hasRecords = entry.hasRecords && areRecordsNew;
  const isWhole = hasRecords === entry.hasRecords && held?.every((id) => builder.has(id)) === true;
  const { id, bytes, indexLength } = builder.finish();
  if (id === entry.pack) {
    const key = packKey(project.project, entry.epoch, entry.pack);
    await moveAside(key);
    await context.store.put(key, bytes);
    return "restored";
  }
  const epoch = epochOf(await context.store.nowMs());
  await context.store.put(packKey(project.project, epoch, id), bytes);
  const made: ManifestPack = { ...entry, pack: id, epoch, hasRecords, size: bytes.length, indexLength };
  const replacement = { removed: [entry], added: isWhole ? [made] : [entry, made] };
  if ((await project.attach(changeLists(context, project.project, replacement, epoch))) === "obsolete") {
    return "obsolete";
  }
  return isWhole ? "replaced" : "beside";
}

/**
 * Objects that no listed pack has, in a pack of their own beside one that is listed at their position. False when
 * none of them was found.
 */
export async function addPackBeside(
  context: ForgeContext,
  project: ProjectStore,
  entry: ManifestPack,
  ids: readonly ObjectId[],
  found: FoundObjects,
): Promise<boolean> {
  const builder = new PackOfFound(undefined);
  for (const id of ids) {
    const object = found.get(id);
    if (object !== undefined) builder.add(id, object);
  }
  if (builder.isEmpty) return false;
  const { id, bytes, indexLength } = builder.finish();
  const epoch = epochOf(await context.store.nowMs());
  await context.store.put(packKey(project.project, epoch, id), bytes);
  const made = { ...entry, pack: id, epoch, hasRecords: false, size: bytes.length, indexLength };
  const change = changeLists(context, project.project, { removed: [entry], added: [entry, made] }, epoch);
  return (await project.attach(change)) === "applied";
}

/** Packs that are not listed yet are stored under the epoch `storedUnder`. */
export function changeLists(
  context: ForgeContext,
  project: ProjectId,
  replacement: PackReplacement,
  storedUnder: Epoch | undefined,
): HeadChange {
  const [first] = replacement.removed;
  return {
    what: `repair of the pack of ${first!.first} to ${first!.last}`,
    apply: async ({ head }, { epoch, storeMs }) => {
      if (storedUnder !== undefined && !isNameable(storedUnder, storeMs)) return undefined;
      const place = { project, epoch, cache: new PageCache(context.store, project) };
      const lists = await replacePacks(head, replacement, place);
      return lists === undefined ? undefined : { ...lists, rollups: head.rollups };
    },
  };
}

/** Records in frames of their own, in the order of their positions, before everything else. */
class PackOfFound {
  readonly #records = new FrameBuilder({ rawTarget: BLOB_FRAME_RAW_BYTES });
  readonly #nodes = new FrameBuilder({ rawTarget: NODE_FRAME_RAW_BYTES });
  readonly #rest = new FrameBuilder({ rawTarget: BLOB_FRAME_RAW_BYTES });
  readonly #ids = new Set<ObjectId>();
  readonly #sound: ObjectTable | undefined;

  /** `sound`: objects that need not be added. */
  constructor(sound: ObjectTable | undefined) {
    this.#sound = sound;
  }

  addRecords(records: readonly FoundRecord[]): void {
    for (const { id, bytes } of records) {
      this.#ids.add(id);
      this.#records.add("record", id, bytes);
    }
  }

  get isEmpty(): boolean {
    return this.#ids.size === 0;
  }

  /** Here, or in a sound pack. */
  has(id: ObjectId): boolean {
    return this.#ids.has(id) || (this.#sound !== undefined && this.#sound.findId(id) !== -1);
  }

  /** Of records only those that were chosen count. */
  add(id: ObjectId, { kind, content, sidecar }: ObjectContent): void {
    if (kind === "record" || this.has(id)) return;
    this.#ids.add(id);
    (kind === "node" ? this.#nodes : this.#rest).add(kind, id, content, sidecar);
  }

  finish(): ReturnType<typeof encodePack> {
    return encodePack([...this.#records.finish(), ...this.#nodes.finish(), ...this.#rest.finish()]);
  }
}

/** The records of a damaged pack's positions, if all of them are sound in it. */
export function ownRecords(bytes: Uint8Array, { first, last }: ManifestPack): FoundRecord[] | undefined {
  const records: FoundRecord[] = [];
  for (const { id, kind, content } of salvage(bytes)) {
    if (kind !== "record") continue;
    const copy = new Uint8Array(content);
    const record = decodeLandingRecord(copy);
    if (record.position !== first + records.length) return undefined;
    records.push({ id, bytes: copy, record });
  }
  return records.length === last - first + 1 ? records : undefined;
}
