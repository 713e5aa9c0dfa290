/** Cuts a rollup's stream into parts and stores each when it is full: one part is in memory at a time. */
import { concatBytes, releaseBytes } from "../../base/bytes.ts";
import { hashObject } from "../../base/hash.ts";
import { ROLLUP_INLINE_BYTES_MAX, ROLLUP_PART_BYTES_MAX, type RollupPart } from "../../codec/rollup.ts";

/** Stores a part; durable when it resolves. */
export type StorePart = (part: RollupPart, bytes: Uint8Array) => Promise<void>;

export class StreamWriter {
  readonly parts: RollupPart[] = [];
  readonly #store: StorePart;
  #open: Uint8Array[] = [];
  #openBytes = 0;
  #closedBytes = 0;

  constructor(store: StorePart) {
    this.#store = store;
  }

  /** Returns where it begins. What is appended at once is in one part. The writer keeps the bytes. */
  async append(bytes: Uint8Array): Promise<number> {
    if (this.#openBytes + bytes.length > ROLLUP_PART_BYTES_MAX) await this.#closePart();
    const offset = this.#closedBytes + this.#openBytes;
    this.#open.push(bytes);
    this.#openBytes += bytes.length;
    return offset;
  }

  /** Says that `bytes` follow and then the end. What is short enough for it will stand in the front. */
  async endsWith(bytes: number): Promise<void> {
    const isShort = this.parts.length === 0 && this.#openBytes + bytes <= ROLLUP_INLINE_BYTES_MAX;
    if (!isShort && bytes <= ROLLUP_INLINE_BYTES_MAX) await this.#closePart();
  }

  /** The inline end. */
  async finish(): Promise<Uint8Array> {
    if (this.#openBytes > ROLLUP_INLINE_BYTES_MAX) await this.#closePart();
    return concatBytes(this.#open);
  }

  async #closePart(): Promise<void> {
    if (this.#openBytes === 0) return;
    const bytes = concatBytes(this.#open);
    for (const written of this.#open) releaseBytes(written);
    this.#open = [];
    this.#openBytes = 0;
    const part = { hash: hashObject(bytes), length: bytes.length };
    await this.#store(part, bytes);
    this.parts.push(part);
    this.#closedBytes += bytes.length;
  }
}
