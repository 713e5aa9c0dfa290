/**
 * A landing whose operations name content that is only stored by itself gets it along: small content is copied
 * into the landing's pack, and the packs of large content become packs of the landing. What is in the project
 * already is found here too, before the landing waits for its turn: without a hint that can take long.
 */
import { throwIfAborted } from "../../base/clock.ts";
import type { ObjectId, PackId, Position } from "../../base/ids.ts";
import { BLOB_FRAME_RAW_BYTES, INLINE_CONTENT_BYTES_MAX } from "../../base/limits.ts";
import type { LooseObject } from "../../codec/loose-object.ts";
import { FrameBuilder } from "../../objects/frame-builder.ts";
import { PackStream } from "../../objects/pack-stream.ts";
import type { LooseContent } from "../content/loose.ts";
import type { UploadedPack, UploadedPacks } from "../content/uploaded-packs.ts";
import type { Snapshot } from "../log/snapshot.ts";
import { BroughtContent } from "./brought-content.ts";
import { contentMissing, sameContent } from "./locate-content.ts";
import type { PreparedLanding, SentObject, VouchedFile } from "./prepared-landing.ts";

/** Look-ups under way at once, and thereby loose objects in memory. */
const LOOKUPS_AT_ONCE = 32;

interface Places {
  readonly loose: LooseContent;
  readonly uploads: UploadedPacks;
  snapshot(): Promise<Snapshot>;
  storeMs(): Promise<number>;
  /** Content may have been stored this long ago. */
  readonly sinceMs?: number;
  readonly signal?: AbortSignal;
}

/** Errors: `not-found` for content that is neither here nor there, `corrupt`. */
export async function attachLoose(landing: PreparedLanding, places: Places): Promise<PreparedLanding> {
  const wanted = await unsentContent(landing, places);
  if (wanted.length === 0) return landing;
  const { loose, uploads, sinceMs, signal } = places;
  const options = {
    ...(sinceMs === undefined ? {} : { sinceMs }),
    ...(signal === undefined ? {} : { signal }),
  };
  const builder = new FrameBuilder({ rawTarget: BLOB_FRAME_RAW_BYTES });
  await using stream = new PackStream(async (pack) => (await uploads.putOwn(pack)).pack, {
    startBytes: 4 << 10,
  });
  const sent = new Map(landing.sent);
  const vouched = new Map<ObjectId, VouchedFile>();
  const packs = new Set<PackId>(landing.request.packs);
  const absent = new Set<ObjectId>();
  for (let start = 0; start < wanted.length; start += LOOKUPS_AT_ONCE) {
    const ids = wanted.slice(start, start + LOOKUPS_AT_ONCE);
    const found = await Promise.all(ids.map((id) => loose.find(id, options)));
    for (let i = 0; i < ids.length; i++) {
      const object = found[i];
      if (object === undefined || !(await hasPacks(object))) {
        absent.add(ids[i]!);
        continue;
      }
      add(ids[i]!, object);
      for (const frame of builder.takeFull()) await stream.add(frame);
    }
  }
  for (const frame of builder.finish()) await stream.add(frame);
  await stream.finish(INLINE_CONTENT_BYTES_MAX - landing.frameBytes);
  for (const pack of stream.packs) packs.add(pack);
  const frames = stream.open;
  return {
    ...landing,
    request: { ...landing.request, packs: [...packs] },
    frames: [...landing.frames, ...frames],
    frameBytes: landing.frameBytes + stream.openBytes,
    sent,
    vouched,
    located: await locateAbsent(landing, absent, places),
  };

  function add(id: ObjectId, object: LooseObject): void {
    sent.set(id, sentObject(object));
    if (object.kind === "blob") {
      builder.add("blob", id, object.content);
      return;
    }
    builder.add("chunk-list", id, object.content, object.sidecar);
    vouched.set(id, object.file);
    for (const { pack } of object.packs) packs.add(pack);
  }

  async function hasPacks(object: LooseObject): Promise<boolean> {
    if (object.kind === "blob") return true;
    return (await uploads.findAll(object.packs, await places.storeMs())) !== undefined;
  }
}

function sentObject(object: LooseObject): SentObject {
  return { kind: object.kind, length: object.content.length };
}

/** Where the project has content that was not stored by itself. */
async function locateAbsent(
  { request, edits }: PreparedLanding,
  absent: ReadonlySet<ObjectId>,
  places: Places,
): Promise<ReadonlyMap<ObjectId, Position>> {
  const located = new Map<ObjectId, Position>();
  if (absent.size === 0) return located;
  const snapshot = await places.snapshot();
  const tree = snapshot.headTree();
  for (let i = 0; i < edits.length; i++) {
    const operation = request.operations.at(i)!;
    if (operation.kind === "delete") continue;
    const id = operation.entry.chunks ?? operation.entry.id;
    if (!absent.has(id) || located.has(id)) continue;
    throwIfAborted(places.signal);
    const before = await tree.get(edits.key(i));
    const isSame = before !== undefined && before.hint !== 0 && sameContent(before.value, edits.value(i)!);
    const hint = isSame ? before.hint : 0;
    const found = await snapshot.reader.has({ id, hint });
    if (found === undefined) throw contentMissing(operation.path, id);
    const { first, last } = found.entry;
    located.set(id, first <= hint && hint <= last ? (hint as Position) : last);
  }
  return located;
}

/** Content that the landing claims to introduce and does not bring along, each once. */
async function unsentContent(landing: PreparedLanding, places: Places): Promise<ObjectId[]> {
  const { request, sent, edits } = landing;
  const uploads = await knownPacks(request.packs, places);
  // A pack that is gone is the first thing to say.
  if (uploads.length < request.packs.length) return [];
  const brought = new BroughtContent(sent, uploads);
  const wanted = new Set<ObjectId>();
  for (let i = 0; i < edits.length; i++) {
    const value = edits.value(i);
    if (value === undefined || brought.lengthOf(value) !== -1) continue;
    const operation = request.operations.at(i)!;
    if (operation.kind === "put" && operation.hint === 0) {
      wanted.add(operation.entry.chunks ?? operation.entry.id);
    }
  }
  return [...wanted];
}

async function knownPacks(ids: readonly PackId[], places: Places): Promise<UploadedPack[]> {
  const packs: UploadedPack[] = [];
  if (ids.length === 0) return packs;
  const storeMs = await places.storeMs();
  for (const id of ids) {
    const pack = await places.uploads.find(id, storeMs);
    if (pack !== undefined) packs.push(pack);
  }
  return packs;
}
