/** What is sound in a pack that is damaged: the objects of frames that match their checksums, and files by their ids. */
import { isMicError } from "../../base/errors.ts";
import { hashObject } from "../../base/hash.ts";
import type { ObjectId } from "../../base/ids.ts";
import { checkPackHeader, decodePackIndex, decodePackTrailer } from "../../codec/pack.ts";
import type { PackIndex } from "../../codec/pack-index.ts";
import { checkFrameBytes, expandFrame, type ObjectContent, sliceObject } from "../../objects/read-frame.ts";

export interface SalvagedObject extends ObjectContent {
  readonly id: ObjectId;
}

/** In the order of the pack; none without a sound index. Views of one frame each, to be used before the next. */
export function* salvage(bytes: Uint8Array): Generator<SalvagedObject, void, undefined> {
  const index = soundIndex(bytes);
  if (index === undefined) return;
  for (let frame = 0; frame < index.frameCount; frame++) yield* salvageFrame(bytes, index, frame);
}

/** What it held; `undefined` when that cannot be known. */
export function idsOfPack(bytes: Uint8Array): ObjectId[] | undefined {
  const index = soundIndex(bytes);
  if (index === undefined) return undefined;
  return Array.from({ length: index.objectCount }, (_, row) => index.idOfRow(row));
}

function soundIndex(bytes: Uint8Array): PackIndex | undefined {
  const index = soundly(() => {
    checkPackHeader(bytes);
    const { tailLength } = decodePackTrailer(bytes);
    return decodePackIndex(bytes.subarray(bytes.length - tailLength));
  });
  return index?.packSize === bytes.length ? index : undefined;
}

function* salvageFrame(
  bytes: Uint8Array,
  index: PackIndex,
  frame: number,
): Generator<SalvagedObject, void, undefined> {
  const location = index.frame(frame);
  const stored = bytes.subarray(location.offset, location.offset + location.storedLength);
  const isSound = soundly(() => {
    checkFrameBytes(location, stored);
    return true;
  });
  const raw = soundly(() => expandFrame({ ...location, stored }));
  if (raw === undefined) return;
  for (let row = index.firstRow(frame); row < index.firstRow(frame + 1); row++) {
    const id = index.idOfRow(row);
    const object = soundly(() => sliceObject(raw, index.locate(row)));
    if (object === undefined || hashObject(object.content) !== id) continue;
    // What stands beside an object is not covered by its id, only by the checksum.
    if (isSound === true || object.kind === "blob" || object.kind === "record") yield { ...object, id };
  }
}

/** `undefined` where damage is met. */
function soundly<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (isMicError(error)) return undefined;
    throw error;
  }
}
