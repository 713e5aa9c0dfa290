/** The entries of a log, and those of a rollup's tables, one after the other. */
import { ByteReader, EMPTY_BYTES } from "../../base/bytes.ts";
import type { Position } from "../../base/ids.ts";
import { KEY_BYTES_MAX } from "../../base/limits.ts";
import type { RollupRef } from "../../codec/head.ts";
import type { LandingRecord } from "../../codec/landing-record.ts";
import { openOperations } from "../../codec/operations.ts";
import type { RollupExtent, RollupFront, RollupTableName } from "../../codec/rollup.ts";
import { decodeIdBlock, ID_BYTES, type IdBlock } from "../../codec/rollup-ids.ts";
import { decodeIndexPage } from "../../codec/rollup-index.ts";
import {
  decodeTouchedBlock,
  FINGERPRINT_BYTES,
  KIND_DELETE,
  type TouchedBlock,
  touchedKindOfTag,
} from "../../codec/rollup-touched.ts";
import type { Snapshot } from "../log/snapshot.ts";
import { decoding, type RollupPlace, readExtents } from "./extents.ts";
import type { EntryCursor } from "./merge.ts";

/** The operations of one landing, one segment at a time. */
export class OperationsCursor implements EntryCursor {
  readonly key: Uint8Array = new Uint8Array(KEY_BYTES_MAX);
  readonly keyStart = 0;
  keyEnd = 0;
  readonly position: number;
  kind = KIND_DELETE;
  readonly fingerprints: Uint8Array = new Uint8Array(FINGERPRINT_BYTES);
  readonly fingerprintAt = 0;
  readonly #snapshot: Snapshot;
  readonly #record: LandingRecord;
  #reader = new ByteReader(EMPTY_BYTES, "operations");
  /** Operations that are still in the reader. */
  #left = 0;
  /** Segments that were loaded; the inline operations count as one. */
  #loaded = 0;

  /** `position`: of the record in the rollup. */
  constructor(snapshot: Snapshot, record: LandingRecord, position: number) {
    this.#snapshot = snapshot;
    this.#record = record;
    this.position = position;
  }

  advance(): boolean {
    if (this.#left === 0) return false;
    this.#left--;
    const reader = this.#reader;
    const shared = reader.varint();
    const rest = reader.prefixed();
    if (shared > this.keyEnd || shared + rest.length > KEY_BYTES_MAX) {
      throw reader.fail(`a key of ${shared} + ${rest.length} bytes`);
    }
    this.key.set(rest, shared);
    this.keyEnd = shared + rest.length;
    const isPut = reader.u8();
    if (isPut === 0) {
      this.kind = KIND_DELETE;
      return true;
    }
    reader.varint();
    const tag = reader.u8();
    const { kind, bytes } = touchedKindOfTag(tag);
    if (isPut !== 1 || kind === undefined) throw reader.fail(`unknown operation ${isPut} of ${tag}`);
    this.kind = kind;
    // The size stands before the id, the id of a chunk list after it.
    reader.bytes(8);
    this.fingerprints.set(reader.bytes(FINGERPRINT_BYTES));
    reader.bytes(bytes - 9 - FINGERPRINT_BYTES);
    return true;
  }

  async load(): Promise<boolean> {
    for (;;) {
      const bytes = await this.#next();
      if (bytes === undefined) return false;
      const { reader, count } = openOperations(bytes);
      this.#reader = reader;
      this.#left = count;
      this.keyEnd = 0;
      if (this.advance()) return true;
    }
  }

  async #next(): Promise<Uint8Array | undefined> {
    const { operations, position } = this.#record;
    const index = this.#loaded++;
    if (operations.kind === "inline") return index === 0 ? operations.bytes : undefined;
    const segment = operations.segments[index];
    if (segment === undefined) return undefined;
    return (await this.#snapshot.reader.read({ id: segment.id, hint: position })).content;
  }
}

/** Ids that are in memory, in order. */
export class IdsCursor implements EntryCursor {
  readonly keyStart = 0;
  readonly keyEnd = ID_BYTES;
  readonly kind = KIND_DELETE;
  readonly fingerprints = EMPTY_BYTES;
  readonly fingerprintAt = 0;
  readonly #ids: readonly { readonly id: Uint8Array; readonly position: number }[];
  #at = -1;

  constructor(ids: readonly { readonly id: Uint8Array; readonly position: number }[]) {
    this.#ids = ids;
  }

  get key(): Uint8Array {
    return this.#ids[this.#at]!.id;
  }

  get position(): number {
    return this.#ids[this.#at]!.position;
  }

  advance(): boolean {
    return ++this.#at < this.#ids.length;
  }

  async load(): Promise<boolean> {
    return this.#at < 0 && this.advance();
  }
}

/** A rollup that is read from its beginning to its end. */
export interface ReadableRollup {
  readonly ref: RollupRef;
  readonly front: RollupFront;
}

const READ_AHEAD_BYTES = 1 << 20;

/** The blocks of a table, a megabyte at a time. Errors: DamagedRollupError, `unreachable`. */
export async function* blocksOf<Block>(
  place: RollupPlace,
  rollup: ReadableRollup,
  table: RollupTableName,
  decode: (bytes: Uint8Array) => Block,
): AsyncGenerator<Block, void, undefined> {
  const { ref, front } = rollup;
  const where = `${table} of ${ref.first}`;
  for (const page of front.tables[table].pages) {
    const [bytes] = await readExtents(place, ref, front, [page]);
    const { blocks } = decoding(ref, where, () => decodeIndexPage(bytes!));
    for (let from = 0; from < blocks.length; ) {
      const together: RollupExtent[] = [];
      for (let size = 0; from < blocks.length && size < READ_AHEAD_BYTES; size += together.at(-1)!.length) {
        together.push(blocks[from++]!);
      }
      const read = await readExtents(place, ref, front, together);
      for (const block of read) yield decoding(ref, where, () => decode(block));
    }
  }
}

/** A rollup's touched paths as part of one above it. */
export class TouchedCursor implements EntryCursor {
  key: Uint8Array = EMPTY_BYTES;
  keyStart = 0;
  keyEnd = 0;
  position = 0;
  kind = KIND_DELETE;
  fingerprints: Uint8Array = EMPTY_BYTES;
  fingerprintAt = 0;
  readonly #blocks: AsyncGenerator<TouchedBlock, void, undefined>;
  readonly #shift: number;
  #block: TouchedBlock | undefined;
  #keyIndex = 0;
  #entry = 0;

  /** `parentFirst`: first position of the rollup above. */
  constructor(place: RollupPlace, rollup: ReadableRollup, parentFirst: Position) {
    this.#blocks = blocksOf(place, rollup, "touched", decodeTouchedBlock);
    this.#shift = rollup.ref.first - parentFirst;
  }

  advance(): boolean {
    const block = this.#block;
    if (block === undefined || ++this.#entry >= block.positions.length) return false;
    if (this.#entry >= block.entryEnds[this.#keyIndex]!) this.#enterKey(block, this.#keyIndex + 1);
    this.#enter(block);
    return true;
  }

  async load(): Promise<boolean> {
    const next = await this.#blocks.next();
    if (next.done === true) return false;
    this.#block = next.value;
    this.key = next.value.keys.bytes;
    this.fingerprints = next.value.fingerprints;
    this.#entry = 0;
    this.#enterKey(next.value, 0);
    this.#enter(next.value);
    return true;
  }

  #enterKey({ keys }: TouchedBlock, index: number): void {
    this.#keyIndex = index;
    this.keyStart = keys.start(index);
    this.keyEnd = keys.ends[index]!;
  }

  #enter(block: TouchedBlock): void {
    const entry = this.#entry;
    this.position = block.positions[entry]! + this.#shift;
    this.kind = block.kinds[entry]!;
    this.fingerprintAt = block.puts[entry]! * FINGERPRINT_BYTES;
  }
}

/** A rollup's landing or session ids as part of one above it. */
export class IdTableCursor implements EntryCursor {
  key: Uint8Array = EMPTY_BYTES;
  keyStart = 0;
  keyEnd = 0;
  position = 0;
  readonly kind = KIND_DELETE;
  readonly fingerprints = EMPTY_BYTES;
  readonly fingerprintAt = 0;
  readonly #blocks: AsyncGenerator<IdBlock, void, undefined>;
  readonly #shift: number;
  #block: IdBlock | undefined;
  #entry = 0;

  constructor(
    place: RollupPlace,
    rollup: ReadableRollup,
    table: "landings" | "sessions",
    parentFirst: Position,
  ) {
    this.#blocks = blocksOf(place, rollup, table, decodeIdBlock);
    this.#shift = rollup.ref.first - parentFirst;
  }

  advance(): boolean {
    const block = this.#block;
    if (block === undefined || ++this.#entry >= block.positions.length) return false;
    this.#enter(block);
    return true;
  }

  async load(): Promise<boolean> {
    const next = await this.#blocks.next();
    if (next.done === true) return false;
    this.#block = next.value;
    this.key = next.value.keys.bytes;
    this.#entry = 0;
    this.#enter(next.value);
    return true;
  }

  #enter({ positions }: IdBlock): void {
    this.keyStart = this.#entry * ID_BYTES;
    this.keyEnd = this.keyStart + ID_BYTES;
    this.position = positions[this.#entry]! + this.#shift;
  }
}
