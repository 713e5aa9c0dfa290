/**
 * The tables of a rollup while they are written: entries come in order, full blocks go to the stream, what finds
 * them again stays here until the end. Where blocks are cut depends on the entries alone.
 */
import { bytesToHex } from "../../base/bytes.ts";
import { corrupt } from "../../base/errors.ts";
import { StreamHasher } from "../../base/hash.ts";
import { KEY_BYTES_MAX } from "../../base/limits.ts";
import { KeyColumn } from "../../codec/key-column.ts";
import { PathFilterBuilder } from "../../codec/path-filter.ts";
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
  readonly #block = new TouchedBlockWriter();
  /** Of the open block: its keys, and the directories above them. */
  readonly #filter = new PathFilterBuilder();
  #first: { readonly key: Uint8Array; readonly position: number } | undefined;
  /** The key whose entries are being added. */
  readonly #key = new Uint8Array(KEY_BYTES_MAX);
  #keyLength = 0;
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

  /** `key[start..end)` is copied. */
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
    const isSame = this.#keyLength === end - start && endsEqual(this.#key, key, start, end);
    if (!isSame || this.#block.isEmpty) this.#begin(key, start, end);
    this.#first ??= { key: key.slice(start, end), position: entry.position };
    this.#block.add(entry.position, entry.kind, entry.fingerprints, entry.fingerprintAt);
    this.#entries++;
  }

  #begin(key: Uint8Array, start: number, end: number): void {
    this.#key.set(key.subarray(start, end));
    this.#keyLength = end - start;
    const shared = this.#block.beginKey(key, start, end);
    this.#filter.add("touched", key, start, end);
    // Directories that it shares with the key before are in already: those that end below the shared part.
    for (let at = start + shared; at < end; at++) {
      if (key[at] === 0) this.#filter.add("ancestor", key, start, at);
    }
  }

  async flush(): Promise<void> {
    if (this.#first === undefined) return;
    const filter = this.#filter.finish(ROLLUP_FILTER);
    const { stored, raw } = this.#block.finish();
    await this.#index.add({ ...this.#first, filter }, stored, raw);
    this.#first = undefined;
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

/** Neighbours differ at their ends. */
function endsEqual(a: Uint8Array, b: Uint8Array, start: number, end: number): boolean {
  for (let i = end - start - 1; i >= 0; i--) if (a[i] !== b[start + i]) return false;
  return true;
}

/** Ids in order. Of one that comes again the newest place counts, unless every one is to be different. */
export class IdTableWriter {
  readonly #index: TableIndex;
  readonly #mayRepeat: boolean;
  readonly #filter = new PathFilterBuilder();
  #block = new IdBlockWriter();
  #firstId: Uint8Array | undefined;
  #firstPosition = 0;
  /** The last id, which is not in the block yet: it may come again. */
  readonly #id = new Uint8Array(ID_BYTES);
  #position = -1;
  #entries = 0;

  constructor(stream: StreamWriter, options: { readonly mayRepeat: boolean }) {
    this.#index = new TableIndex(stream);
    this.#mayRepeat = options.mayRepeat;
  }

  get pageBytes(): number {
    return this.#index.pageBytes;
  }

  get isFull(): boolean {
    return this.#block.count === IDS_PER_BLOCK;
  }

  /** Errors: `corrupt` for an id that comes again and may not. */
  add(ids: Uint8Array, start: number, position: number): void {
    if (this.#position >= 0 && endsEqual(this.#id, ids, start, start + ID_BYTES)) {
      if (!this.#mayRepeat) throw corrupt("the log", `landing ${bytesToHex(this.#id)} has two positions`);
      this.#position = Math.max(this.#position, position);
      return;
    }
    this.#addLast();
    this.#id.set(ids.subarray(start, start + ID_BYTES));
    this.#position = position;
    this.#entries++;
  }

  #addLast(): void {
    if (this.#position < 0) return;
    if (this.#firstId === undefined) {
      this.#firstId = this.#id.slice();
      this.#firstPosition = this.#position;
    }
    this.#block.add(this.#id, this.#position);
    this.#filter.add("touched", this.#id, 0, ID_BYTES);
  }

  /** Closes the open block. */
  async flush(): Promise<void> {
    if (this.#firstId === undefined) return;
    const block = { key: this.#firstId, position: this.#firstPosition };
    const stored = this.#block.finish();
    await this.#index.add({ ...block, filter: this.#filter.finish(ROLLUP_FILTER) }, stored, [stored]);
    this.#block = new IdBlockWriter();
    this.#firstId = undefined;
  }

  /** No ids follow. */
  async close(): Promise<void> {
    this.#addLast();
    this.#position = -1;
    await this.flush();
    this.#index.closePage();
  }

  finish(): Promise<RollupTable> {
    return this.#index.finish(this.#entries);
  }
}
