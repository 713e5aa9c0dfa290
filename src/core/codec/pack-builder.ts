/**
 * Makes one pack after the other in the same memory: frames are copied to their place in the pack as they come,
 * so that neither they nor the finished packs add up to garbage that waits for the collector.
 */
import { asPlainBytes, releaseBytes } from "../base/bytes.ts";
import type { Frame } from "./frame.ts";
import { checkPackLength, PACK_HEADER_BYTES, packIndexLength, writeAroundFrames } from "./pack.ts";
import { PackRows } from "./pack-rows.ts";

export class PackBuilder {
  readonly #capacity: number;
  #bytes: Buffer | undefined;
  #rows = new PackRows();
  #length = PACK_HEADER_BYTES;

  /** `capacity`: bytes of a usual pack. It grows when it has to. */
  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  /** Stored bytes of the frames so far. */
  get storedLength(): number {
    return this.#length - PACK_HEADER_BYTES;
  }

  /** True without any frame. */
  get isEmpty(): boolean {
    return this.#rows.frameCount === 0;
  }

  get objectCount(): number {
    return this.#rows.objectCount;
  }

  /** The frames so far, in order, made anew; their stored bytes are views of the pack's. Valid until `clear`. */
  get frames(): readonly Frame[] {
    return this.#bytes === undefined ? [] : this.#rows.framesIn(asPlainBytes(this.#bytes), PACK_HEADER_BYTES);
  }

  /** Copies the stored bytes. */
  add(frame: Frame): void {
    const end = this.#length + frame.stored.length;
    this.#rows.add(frame);
    this.#reserve(end).set(frame.stored, this.#length);
    this.#length = end;
  }

  /** The pack, the same as `encodePack` makes. Valid until `clear`. Throws `too-large`. */
  finish(): Uint8Array {
    const end = this.#length + packIndexLength(this.#rows);
    checkPackLength(end);
    const bytes = this.#reserve(end).subarray(0, end);
    writeAroundFrames(bytes, this.#length, this.#rows);
    return asPlainBytes(bytes);
  }

  /** Begins the next pack. */
  clear(): void {
    this.#rows = new PackRows();
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
    if (old !== undefined) bytes.set(old.subarray(0, this.#length));
    this.#bytes = bytes;
    return bytes;
  }
}
