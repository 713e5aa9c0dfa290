/** Frames that become packs. Packs are stored while the next is made, in pieces of memory that take turns. */
import { releaseBytes } from "../base/bytes.ts";
import type { PackId } from "../base/ids.ts";
import { PACK_TARGET_BYTES } from "../base/limits.ts";
import { PackBuilder } from "../codec/pack-builder.ts";
import type { Frame } from "./frame.ts";

/** A pack with its last frame and its index. */
const PACK_BUILDER_BYTES = PACK_TARGET_BYTES + (5 << 20);

/** An object that is in no pack takes some hundred bytes of memory, however small it is. */
const OPEN_OBJECTS_MAX = 8_192;

export class PackStream implements AsyncDisposable {
  /** In the order of their frames; complete once `finish` resolves. */
  readonly packs: PackId[] = [];
  readonly #store: (pack: Uint8Array) => Promise<PackId>;
  readonly #storesAtOnce: number;
  #open: PackBuilder;
  #made = 0;
  /** Packs that are being stored, in order. Each resolves to its memory. */
  readonly #storing: Promise<PackBuilder>[] = [];

  /**
   * `store`: the bytes may be used again when it resolves. `startBytes`: memory to begin with, where mostly there is
   * too little for a pack. `storesAtOnce`: default 1.
   */
  constructor(
    store: (pack: Uint8Array) => Promise<PackId>,
    options: { readonly startBytes?: number; readonly storesAtOnce?: number } = {},
  ) {
    this.#store = store;
    this.#storesAtOnce = options.storesAtOnce ?? 1;
    this.#open = new PackBuilder(options.startBytes ?? PACK_BUILDER_BYTES);
  }

  /** Frames that are in no pack yet. */
  get open(): readonly Frame[] {
    return this.#open.frames;
  }

  /** Stored bytes of the frames that are in no pack yet. */
  get openBytes(): number {
    return this.#open.storedLength;
  }

  /** Takes the frame's bytes over: they are gone afterwards. Resolves when there is room for more. */
  add(frame: Frame): void | Promise<void> {
    this.#open.add(frame);
    releaseBytes(frame.stored);
    if (this.#open.storedLength >= PACK_TARGET_BYTES) return this.#next();
  }

  /**
   * Makes a pack of what is open, when that is more than `openBytesMax` or very many objects, and waits for every
   * pack.
   */
  async finish(openBytesMax = 0): Promise<void> {
    const { storedLength, objectCount } = this.#open;
    if (storedLength > openBytesMax || objectCount > OPEN_OBJECTS_MAX) await this.#next();
    for (let next = this.#storing.shift(); next !== undefined; next = this.#storing.shift()) {
      (await next).release();
    }
    if (this.#open.isEmpty) this.#open.release();
  }

  async #next(): Promise<void> {
    const spare = this.#storing.length < this.#storesAtOnce ? undefined : await this.#storing.shift();
    const full = this.#open;
    this.#open = spare ?? new PackBuilder(PACK_BUILDER_BYTES);
    const storing = this.#storeFull(full, this.#made++);
    // Whoever waits for it next gets its error.
    storing.catch(() => undefined);
    this.#storing.push(storing);
  }

  async #storeFull(full: PackBuilder, number: number): Promise<PackBuilder> {
    this.packs[number] = await this.#store(full.finish());
    full.clear();
    return full;
  }

  /** Leaves no pack being stored behind the caller's back. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.allSettled(this.#storing);
  }
}
