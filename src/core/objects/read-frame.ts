/**
 * From stored frames to objects, wherever the frame came from: a store, the wire, or a pack file beside a
 * workspace.
 */
import { equalBytes } from "../base/bytes.ts";
import { decompress } from "../base/compress.ts";
import { corrupt } from "../base/errors.ts";
import { verifyObject } from "../base/hash.ts";
import type { ObjectId } from "../base/ids.ts";
import { FRAME_RAW_BYTES_MAX } from "../base/limits.ts";
import type { FrameLocation } from "../codec/pack-index.ts";
import { frameChecksum } from "../codec/pack-rows.ts";
import type { Frame, FrameObject, ObjectKind } from "./frame.ts";

export interface ObjectContent {
  readonly kind: ObjectKind;
  /** A view into the raw frame: not to be changed. */
  readonly content: Uint8Array;
  readonly sidecar: Uint8Array;
}

type ObjectSpan = Pick<FrameObject, "kind" | "offset" | "length" | "sidecarLength">;

/** The raw bytes of a frame, not yet verified; a view of the stored ones where they are not compressed. */
export function expandFrame(frame: Pick<Frame, "compressed" | "rawLength" | "stored">): Uint8Array {
  const { rawLength, stored } = frame;
  if (rawLength > FRAME_RAW_BYTES_MAX) throw corrupt("frame", `claims ${rawLength} raw bytes`);
  if (frame.compressed) return decompress(stored, rawLength, "frame");
  if (stored.length !== rawLength) throw corrupt("frame", `${stored.length} bytes, not ${rawLength}`);
  return stored;
}

/** One object of an expanded frame, verified against its id. */
export function readObjectFromFrame(raw: Uint8Array, location: ObjectSpan, id: ObjectId): ObjectContent {
  const object = sliceObject(raw, location);
  verifyObject(id, object.content, "in a frame");
  return object;
}

/** The same without the verification, for frames whose objects have been verified. */
export function sliceObject(raw: Uint8Array, location: ObjectSpan): ObjectContent {
  const end = location.offset + location.length;
  if (end + location.sidecarLength > raw.length) throw corrupt("frame", "an object passes its end", end);
  return {
    kind: location.kind,
    content: raw.subarray(location.offset, end),
    sidecar: raw.subarray(end, end + location.sidecarLength),
  };
}

/** Whether stored bytes are those that the index was made for. */
export function isFrame(location: FrameLocation, stored: Uint8Array): boolean {
  return stored.length === location.storedLength && equalBytes(frameChecksum(stored), location.checksum);
}

/** Throws `corrupt` when stored bytes read from a pack are not those that its index was made for. */
export function checkFrameBytes(location: FrameLocation, stored: Uint8Array): void {
  if (stored.length !== location.storedLength) {
    throw corrupt("frame", `${stored.length} stored bytes, not ${location.storedLength}`, location.offset);
  }
  if (!equalBytes(frameChecksum(stored), location.checksum)) {
    throw corrupt("frame", "does not match its checksum", location.offset);
  }
}

/** Expands a frame, checks that its objects fill it, and verifies every one. Returns the raw bytes. */
export function openVerifiedFrame(frame: Frame): Uint8Array {
  const raw = expandFrame(frame);
  let offset = 0;
  for (const object of frame.objects) {
    if (object.offset !== offset || object.length < 0 || object.sidecarLength < 0) {
      throw corrupt("frame", "objects with a gap or an overlap", offset);
    }
    offset += object.length + object.sidecarLength;
    if (offset > raw.length) throw corrupt("frame", "an object passes its end", object.offset);
    verifyObject(object.id, raw.subarray(object.offset, object.offset + object.length), "in a frame");
  }
  if (frame.objects.length === 0 || offset !== raw.length) {
    throw corrupt("frame", "objects that do not fill it", offset);
  }
  return raw;
}
