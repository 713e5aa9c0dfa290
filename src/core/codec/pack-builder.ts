/**
 * Makes one pack after the other in the same memory: frames are copied to their place in the pack as they come,
 * so that neither they nor the finished packs add up to garbage that waits for the collector.
 */
import { asPlainBytes, releaseBytes } from "../base/bytes.ts";
import type { Frame } from "./frame.ts";
import { checkPackLength, PACK_HEADER_BYTES, packIndexLength, writeAroundFrames } from "./pack.ts";

export class PackBuilder {
  readonly #capacity: number;
  #bytes: Buffer | undefined;
  /** Their stored bytes are views of `#bytes`. */
  #frames: Frame[] = [];
  #length = PACK_HEADER_BYTES;

  /** `capacity`: bytes of a usual pack. It grows when it has to. */
  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  /** Stored bytes of the frames so far. */
  get storedLength(): number {
    return this.#length - PACK_HEADER_BYTES;
  }

  /** The frames so far, in order. Valid until `clear`. */
  get frames(): readonly Frame[] {
    return this.#frames;
  }

  /** Copies the stored bytes. */
  add(frame: Frame): void {
    const end = this.#length + frame.stored.length;
    const bytes = this.#reserve(end);
    bytes.set(frame.stored, this.#length);
    this.#frames.push({ ...frame, stored: asPlainBytes(bytes.subarray(this.#length, end)) });
    this.#length = end;
  }

  /** The pack, the same as `encodePack` makes. Valid until `clear`. Throws `too-large`. */
  finish(): Uint8Array {
    const end = this.#length + packIndexLength(this.#frames);
    checkPackLength(end);
    const bytes = this.#reserve(end).subarray(0, end);
    writeAroundFrames(bytes, this.#length, this.#frames);
    return asPlainBytes(bytes);
  }

  /** Begins the next pack. */
  clear(): void {
    this.#frames = [];
    this.#length = PACK_HEADER_BYTES;
  }

  /** `clear`, and gives the memory back. */
  release(): void {
    this.clear();
    if (this.#bytes !== undefined) releaseBytes(this.#bytes);
    this.#bytes = undefined;
  }

  #reserve(end: number): Buffer {
    const old = this.#bytes;
    if (old !== undefined && end <= old.length) return old;
    const bytes = Buffer.allocUnsafeSlow(Math.max(end, this.#capacity, 2 * (old?.length ?? 0)));
    if (old !== undefined) {
      bytes.set(old.subarray(0, this.#length));
      let at = PACK_HEADER_BYTES;
      this.#frames = this.#frames.map((frame) => {
        const start = at;
        at += frame.stored.length;
        return { ...frame, stored: asPlainBytes(bytes.subarray(start, at)) };
      });
    }
    this.#bytes = bytes;
    return bytes;
  }
}
