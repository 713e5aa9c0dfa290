/** What a forge does with content from somebody else before it stores it. */
import { asPlainBytes } from "../base/bytes.ts";
import { corrupt, MicError } from "../base/errors.ts";
import type { PackId } from "../base/ids.ts";
import { PACK_BYTES_MAX } from "../base/limits.ts";
import { decodeChunkList } from "../codec/chunk-list.ts";
import { checkPackHeader, decodePackIndex, decodePackTrailer, packIdOf } from "../codec/pack.ts";
import type { PackIndex } from "../codec/pack-index.ts";
import type { Frame } from "./frame.ts";
import { checkFrameBytes, openVerifiedFrame, sliceObject } from "./read-frame.ts";

export interface VerifyPackOptions {
  /** True when this process made the bytes: the structure is read, content is not expanded. */
  readonly trusted: boolean;
  /** Raw bytes that an untrusted pack may expand to in total; refused before anything is expanded. */
  readonly rawBytesMax?: number;
}

export interface VerifiedPack {
  readonly id: PackId;
  readonly index: PackIndex;
  /** In file order; `stored` are views of the pack's bytes. */
  readonly frames: readonly Frame[];
  readonly indexLength: number;
}

/**
 * Untrusted: every frame is expanded under its cap, every object hashed, and every byte of the pack accounted
 * for. The index follows from the frames (sorted, no offsets of its own), so one that passes is the one that
 * would be built from them. Errors: `corrupt`, `unsupported`, `too-large`.
 */
export function verifyPack(bytes: Uint8Array, options: VerifyPackOptions): VerifiedPack {
  if (bytes.length > PACK_BYTES_MAX) {
    throw new MicError("too-large", `a pack of ${bytes.length} bytes is above ${PACK_BYTES_MAX}`);
  }
  checkPackHeader(bytes);
  const plain = asPlainBytes(bytes);
  const { tailLength } = decodePackTrailer(bytes);
  if (tailLength > bytes.length) throw corrupt("pack", `an index of ${tailLength} bytes`, bytes.length);
  const index = decodePackIndex(bytes.subarray(bytes.length - tailLength));
  if (index.packSize !== bytes.length) {
    throw corrupt("pack", `is ${bytes.length} bytes long, its index says ${index.packSize}`);
  }
  const frames: Frame[] = [];
  let rawBytes = 0;
  for (let i = 0; i < index.frameCount; i++) {
    const location = index.frame(i);
    rawBytes += location.rawLength;
    frames.push(index.frameWith(i, plain.subarray(location.offset, location.offset + location.storedLength)));
  }
  if (!options.trusted) {
    if (rawBytes > (options.rawBytesMax ?? Number.POSITIVE_INFINITY)) {
      throw new MicError("too-large", `the pack expands to ${rawBytes} bytes`);
    }
    for (let i = 0; i < frames.length; i++) {
      checkFrameBytes(index.frame(i), frames[i]!.stored);
      verifyFrame(frames[i]!);
    }
  }
  return { id: packIdOf(bytes), index, frames, indexLength: tailLength };
}

/**
 * Expands a frame under its cap, hashes every object, and decodes chunk lists with their sidecars, which no
 * hash covers. Nodes and records are for the forge to judge: it makes its own.
 */
export function verifyFrame(frame: Frame): void {
  const raw = openVerifiedFrame(frame);
  for (const object of frame.objects) {
    if (object.kind !== "chunk-list") continue;
    const { content, sidecar } = sliceObject(raw, object);
    decodeChunkList(content, sidecar);
  }
}
