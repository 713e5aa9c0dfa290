/** What a forge does with content from somebody else before it stores it. */
import { asPlainBytes } from "../base/bytes.ts";
import { corrupt, MicError } from "../base/errors.ts";
import { GarbagePace } from "../base/garbage.ts";
import type { PackId } from "../base/ids.ts";
import { PACK_BYTES_MAX } from "../base/limits.ts";
import { LazyList, type List } from "../base/list.ts";
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
  /** In file order, each made when it is asked for; `stored` are views of the pack's bytes. */
  readonly frames: List<Frame>;
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
  const frames = new LazyList(index.frameCount, (i) => {
    const { offset, storedLength } = index.frame(i);
    return index.frameWith(i, plain.subarray(offset, offset + storedLength));
  });
  if (!options.trusted) {
    let rawBytes = 0;
    for (let i = 0; i < index.frameCount; i++) rawBytes += index.frame(i).rawLength;
    if (rawBytes > (options.rawBytesMax ?? Number.POSITIVE_INFINITY)) {
      throw new MicError("too-large", `the pack expands to ${rawBytes} bytes`);
    }
    const pace = new GarbagePace();
    for (let i = 0; i < frames.length; i++) {
      const frame = frames.at(i)!;
      checkFrameBytes(index.frame(i), frame.stored);
      verifyFrame(frame);
      pace.passed(frame.objects.length);
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
