/** Puts objects into frames, in the order given, and compresses each frame while it is still in cache. */
import { EMPTY_BYTES, releaseBytes } from "../base/bytes.ts";
import { compress } from "../base/compress.ts";
import { MicError } from "../base/errors.ts";
import type { ObjectId } from "../base/ids.ts";
import { FRAME_RAW_BYTES_MAX } from "../base/limits.ts";
import type { Frame, FrameObject, ObjectKind } from "./frame.ts";

export interface FrameBuilderOptions {
  /** Raw bytes above which a frame takes no further object. A larger object has a frame of its own. */
  readonly rawTarget: number;
  /** zstd level; `store`: leave frames uncompressed, for readers in the same process. */
  readonly level?: number | "store";
}

export class FrameBuilder {
  readonly #rawTarget: number;
  readonly #level: number | "store" | undefined;
  /** Raw bytes of the open frame; used again for every frame. */
  #raw: Uint8Array | undefined;
  #rawLength = 0;
  #objects: FrameObject[] = [];
  #full: Frame[] = [];

  constructor(options: FrameBuilderOptions) {
    this.#rawTarget = options.rawTarget;
    this.#level = options.level;
  }

  /** Raw bytes of the open frame. */
  get openLength(): number {
    return this.#rawLength;
  }

  /**
   * Copies content and sidecar. The caller has hashed the content and adds an object once. Throws `too-large`
   * for an object that fits no frame.
   */
  add(kind: ObjectKind, id: ObjectId, content: Uint8Array, sidecar: Uint8Array = EMPTY_BYTES): void {
    const length = content.length + sidecar.length;
    if (this.#rawLength + length > this.#rawTarget && this.#objects.length > 0) this.#close();
    if (length > this.#rawTarget) {
      this.#addAlone(kind, id, content, sidecar);
      return;
    }
    this.#raw ??= new Uint8Array(this.#rawTarget);
    const offset = this.#rawLength;
    this.#raw.set(content, offset);
    this.#raw.set(sidecar, offset + content.length);
    this.#objects.push({ id, kind, offset, length: content.length, sidecarLength: sidecar.length });
    this.#rawLength = offset + length;
  }

  /** Frames completed since the last call. */
  takeFull(): Frame[] {
    const full = this.#full;
    this.#full = [];
    return full;
  }

  /** Closes the open frame and returns what `takeFull` has not. The builder can be used again. */
  finish(): Frame[] {
    if (this.#objects.length > 0) this.#close();
    return this.takeFull();
  }

  #addAlone(kind: ObjectKind, id: ObjectId, content: Uint8Array, sidecar: Uint8Array): void {
    const rawLength = content.length + sidecar.length;
    if (rawLength > FRAME_RAW_BYTES_MAX) {
      throw new MicError("too-large", `a ${kind} of ${rawLength} bytes does not fit a frame`);
    }
    let raw = content;
    if (sidecar.length > 0) {
      raw = new Uint8Array(rawLength);
      raw.set(content);
      raw.set(sidecar, content.length);
    }
    const object = { id, kind, offset: 0, length: content.length, sidecarLength: sidecar.length };
    this.#full.push(makeFrame(raw, [object], this.#level));
  }

  #close(): void {
    this.#full.push(makeFrame(this.#raw!.subarray(0, this.#rawLength), this.#objects, this.#level));
    this.#rawLength = 0;
    this.#objects = [];
  }
}

/** `raw` is copied where it is not compressed. */
function makeFrame(raw: Uint8Array, objects: FrameObject[], level: number | "store" | undefined): Frame {
  const rawLength = raw.length;
  if (level !== "store" && rawLength > 0) {
    const stored = compress(raw, level);
    if (stored.length < rawLength) return { compressed: true, rawLength, stored, objects };
    releaseBytes(stored);
  }
  return { compressed: false, rawLength, stored: new Uint8Array(raw), objects };
}
