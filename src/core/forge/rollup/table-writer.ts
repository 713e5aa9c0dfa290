/**
 * The tables of a rollup while they are written: entries come in order, full blocks go to the stream, what finds
 * them again stays here until the end. Where blocks are cut depends on the entries alone.
 */
import { bytesToHex } from "../../base/bytes.ts";
import { corrupt } from "../../base/errors.ts";
import { StreamHasher } from "../../base/hash.ts";
import { KeyColumn } from "../../codec/key-column.ts";
import { encodePathFilter } from "../../codec/path-filter.ts";
import { checksumOf, type RollupExtent, type RollupTable } from "../../codec/rollup.ts";
import { ID_BYTES, IDS_PER_BLOCK, IdBlockWriter } from "../../codec/rollup-ids.ts";
import {
  encodeIndexPage,
  INDEX_PAGE_BYTES,
  type IndexedBlock,
  ROLLUP_FILTER,
} from "../../codec/rollup-index.ts";
import { TouchedBlockWriter } from "../../codec/rollup-touched.ts";
import type { StreamWriter } from "./stream-writer.ts";

/** Of a block's place in its page, beside key and filter. */
const INDEXED_BYTES = 32;

interface Page {
  readonly key: Uint8Array;
  readonly position: number;
  readonly bytes: Uint8Array;
}

/** What finds the blocks of one table. */
class TableIndex {
  readonly #stream: StreamWriter;
  readonly #hasher = new StreamHasher();
  readonly #pages: Page[] = [];
  #open: IndexedBlock[] = [];
  #openBytes = 0;
  /** Of all pages, once the last is closed. */
  pageBytes = 0;

  constructor(stream: StreamWriter) {
    this.#stream = stream;
  }

  async add(
    block: { readonly key: Uint8Array; readonly position: number; readonly filter: Uint8Array },
    stored: Uint8Array,
    raw: readonly Uint8Array[],
  ): Promise<void> {
    for (const bytes of raw) this.#hasher.update(bytes);
    const checksum = checksumOf(stored).slice();
    const offset = await this.#stream.append(stored);
    this.#open.push({ ...block, offset, length: stored.length, checksum });
    this.#openBytes += block.key.length + block.filter.length + INDEXED_BYTES;
    if (this.#openBytes >= INDEX_PAGE_BYTES) this.closePage();
  }

  closePage(): void {
    const first = this.#open[0];
    if (first === undefined) return;
    const bytes = encodeIndexPage(this.#open);
    this.#pages.push({ key: first.key, position: first.position, bytes });
    this.pageBytes += bytes.length;
    this.#open = [];
    this.#openBytes = 0;
  }

  /** Appends the pages to the stream. */
  async finish(entries: number): Promise<RollupTable> {
    const pages: RollupExtent[] = [];
    for (const { bytes } of this.#pages) {
      const offset = await this.#stream.append(bytes);
      pages.push({ offset, length: bytes.length, checksum: checksumOf(bytes).slice() });
    }
    const keys = columnOf(this.#pages.map(({ key }) => key));
    const positions = this.#pages.map(({ position }) => position);
    return { entries, content: this.#hasher.digest(), keys, positions, pages };
  }
}

function columnOf(keys: readonly Uint8Array[]): KeyColumn {
  const ends = new Uint32Array(keys.length);
  let end = 0;
  for (const [i, key] of keys.entries()) ends[i] = end += key.length;
  const bytes = new Uint8Array(end);
  for (const [i, key] of keys.entries()) bytes.set(key, ends[i]! - key.length);
  return new KeyColumn(bytes, ends);
}

/** Every (path, position) once, in that order. */
export class TouchedTableWriter {
  readonly #index: TableIndex;
  #block = new TouchedBlockWriter();
  #first: { readonly key: Uint8Array; readonly position: number } | undefined;
  /** The key whose entries are being added. */
  #key: Uint8Array | undefined;
  /** Of the open block: its keys, and the directories above them. */
  #keys: Uint8Array[] = [];
  #ancestors: Uint8Array[] = [];
  #entries = 0;

  constructor(stream: StreamWriter) {
    this.#index = new TableIndex(stream);
  }

  /** Bytes of its pages, after `close`. */
  get pageBytes(): number {
    return this.#index.pageBytes;
  }

  /** A block is complete: `flush` comes before the next entry. */
  get isFull(): boolean {
    return this.#block.isFull;
  }

  /** `key[start..end)` is copied when it is new. */
  add(
    key: Uint8Array,
    start: number,
    end: number,
    entry: {
      readonly position: number;
      readonly kind: number;
      readonly fingerprints: Uint8Array;
      readonly fingerprintAt: number;
    },
  ): void {
    if (this.#key === undefined || !equalsSlice(this.#key, key, start, end)) {
      const previous = this.#keys.at(-1);
      this.#key = key.slice(start, end);
      this.#begin(this.#key, previous);
    } else if (this.#block.isEmpty) this.#begin(this.#key, undefined);
    this.#first ??= { key: this.#key, position: entry.position };
    this.#block.add(entry.position, entry.kind, entry.fingerprints, entry.fingerprintAt);
    this.#entries++;
  }

  #begin(key: Uint8Array, previous: Uint8Array | undefined): void {
    this.#block.beginKey(key);
    this.#keys.push(key);
    // Directories that it shares with the key before are in already: those that end below the shared part.
    let shared = 0;
    if (previous !== undefined) while (previous[shared] === key[shared] && shared < key.length) shared++;
    for (let at = key.indexOf(0, shared); at !== -1; at = key.indexOf(0, at + 1)) {
      this.#ancestors.push(key.subarray(0, at));
    }
  }

  async flush(): Promise<void> {
    if (this.#first === undefined) return;
    const filter = encodePathFilter(this.#keys, this.#ancestors, ROLLUP_FILTER);
    const { stored, raw } = this.#block.finish();
    await this.#index.add({ ...this.#first, filter }, stored, raw);
    this.#block = new TouchedBlockWriter();
    this.#first = undefined;
    this.#keys = [];
    this.#ancestors = [];
  }

  /** No entries follow. */
  async close(): Promise<void> {
    await this.flush();
    this.#index.closePage();
  }

  finish(): Promise<RollupTable> {
    return this.#index.finish(this.#entries);
  }
}

function equalsSlice(a: Uint8Array, b: Uint8Array, start: number, end: number): boolean {
  if (a.length !== end - start) return false;
  // Neighbours differ at their ends.
  for (let i = a.length - 1; i >= 0; i--) if (a[i] !== b[start + i]) return false;
  return true;
}

/** Ids in order. Of one that comes again the newest place counts, unless every one is to be different. */
export class IdTableWriter {
  readonly #index: TableIndex;
  readonly #mayRepeat: boolean;
  #block = new IdBlockWriter();
  #keys: Uint8Array[] = [];
  #positions: number[] = [];
  #entries = 0;

  constructor(stream: StreamWriter, options: { readonly mayRepeat: boolean }) {
    this.#index = new TableIndex(stream);
    this.#mayRepeat = options.mayRepeat;
  }

  get pageBytes(): number {
    return this.#index.pageBytes;
  }

  get isFull(): boolean {
    return this.#keys.length > IDS_PER_BLOCK;
  }

  /** Errors: `corrupt` for an id that comes again and may not. */
  add(ids: Uint8Array, start: number, position: number): void {
    const last = this.#keys.at(-1);
    if (last !== undefined && equalsSlice(last, ids, start, start + ID_BYTES)) {
      if (!this.#mayRepeat) throw corrupt("the log", `landing ${bytesToHex(last)} has two positions`);
      this.#positions[this.#positions.length - 1] = Math.max(this.#positions.at(-1)!, position);
      return;
    }
    this.#keys.push(ids.slice(start, start + ID_BYTES));
    this.#positions.push(position);
    this.#entries++;
  }

  /** Closes a full block. The last id stays: it may come again. */
  async flush(): Promise<void> {
    await this.#closeBlock(Math.min(IDS_PER_BLOCK, this.#keys.length));
  }

  async #closeBlock(count: number): Promise<void> {
    if (count === 0) return;
    const keys = this.#keys.slice(0, count);
    for (let i = 0; i < count; i++) this.#block.add(keys[i]!, this.#positions[i]!);
    const block = { key: keys[0]!, position: this.#positions[0]! };
    const filter = encodePathFilter(keys, [], ROLLUP_FILTER);
    const stored = this.#block.finish();
    await this.#index.add({ ...block, filter }, stored, [stored]);
    this.#block = new IdBlockWriter();
    this.#keys = this.#keys.slice(count);
    this.#positions = this.#positions.slice(count);
  }

  async close(): Promise<void> {
    await this.flush();
    this.#index.closePage();
  }

  finish(): Promise<RollupTable> {
    return this.#index.finish(this.#entries);
  }
}
