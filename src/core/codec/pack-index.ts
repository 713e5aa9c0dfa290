/**
 * A pack's index, read where it is stored: a command that wants a hundred of a million objects does not decode the
 * rest. What is read is checked when it is read.
 */
import { asBuffer } from "../base/bytes.ts";
import { corrupt } from "../base/errors.ts";
import { type ObjectId, objectIdFromBytes } from "../base/ids.ts";
import type { Frame, FrameObject, ObjectKind } from "./frame.ts";

export const OBJECT_KINDS: readonly ObjectKind[] = ["blob", "chunk-list", "node", "record", "operations"];

export const FRAME_ROW_BYTES = 21;
export const OBJECT_ROW_BYTES = 9;
export const ID_BYTES = 32;
export const WHAT = "pack index";

const NO_RANK = 0xffffffff;
/** Lookups after which a table of first bytes has paid for itself. */
const FAN_OUT_LOOKUPS = 256;

export interface FrameLocation {
  /** Of the stored bytes in the pack. */
  readonly offset: number;
  readonly storedLength: number;
  readonly rawLength: number;
  readonly compressed: boolean;
  readonly objectCount: number;
  /** First bytes of the BLAKE3 of the stored bytes. */
  readonly checksum: Uint8Array;
}

export interface ObjectLocation {
  /** Index of the frame in the pack. */
  readonly frame: number;
  readonly kind: ObjectKind;
  /** Byte offset of the content in the raw frame. */
  readonly offset: number;
  readonly length: number;
  /** Bytes of sidecar that follow the content. */
  readonly sidecarLength: number;
}

/** Ids of rows that the caller has looked up: text that need not be made again. Used as far as rows ascend. */
export interface KnownIds {
  readonly rows: readonly number[];
  readonly ids: readonly ObjectId[];
}

/** The frame table, checked. `firstRow` and `frameOffset` have one element more than there are frames. */
export interface FrameColumns {
  readonly frameStored: Uint32Array;
  readonly frameRaw: Uint32Array;
  readonly frameCompressed: Uint8Array;
  readonly frameChecksums: Uint8Array;
  readonly frameOffset: Float64Array;
  readonly firstRow: Uint32Array;
}

export class PackIndex {
  readonly frameCount: number;
  readonly objectCount: number;
  /** Bytes of the whole pack that has this index. */
  readonly packSize: number;
  /** Bytes of memory, near enough for a cache's budget. */
  readonly memoryBytes: number;
  readonly #frames: FrameColumns;
  /** Index and trailer as they are stored. */
  readonly #tail: DataView;
  readonly #tailBytes: Uint8Array;
  readonly #objectsAt: number;
  readonly #idsAt: number;
  readonly #rowsAt: number;
  /** Of objects in their frame, where the frame's rows have been checked. */
  readonly #offsets: Uint32Array;
  readonly #isFrameChecked: Uint8Array;
  /** Row → rank of its id, made when a row is asked for its id. */
  #ranks: Uint32Array | undefined;
  /** Rank of the first id that starts with each byte; one more at the end. Made when it pays. */
  #fanOut: Uint32Array | undefined;
  #lookups = 0;

  /** `tail` is kept, not copied. */
  constructor(tail: Uint8Array, frames: FrameColumns, objectCount: number) {
    this.#frames = frames;
    this.#tail = new DataView(tail.buffer, tail.byteOffset, tail.byteLength);
    this.#tailBytes = tail;
    this.frameCount = frames.frameStored.length;
    this.objectCount = objectCount;
    this.#objectsAt = this.frameCount * FRAME_ROW_BYTES;
    this.#idsAt = this.#objectsAt + objectCount * OBJECT_ROW_BYTES;
    this.#rowsAt = this.#idsAt + objectCount * ID_BYTES;
    this.#offsets = new Uint32Array(objectCount);
    this.#isFrameChecked = new Uint8Array(this.frameCount);
    this.packSize = frames.frameOffset[this.frameCount]! + tail.length;
    this.memoryBytes = 2048 + this.frameCount * 30 + objectCount * 8 + tail.length;
  }

  /** Errors: `corrupt` unless every row is one that `encodePack` writes. */
  checkRows(): void {
    for (let frame = 0; frame < this.frameCount; frame++) this.#checkFrame(frame);
    this.#rankOfRow();
    const ids = asBuffer(this.#tailBytes).subarray(this.#idsAt, this.#rowsAt);
    for (let rank = 1; rank < this.objectCount; rank++) {
      const order = compareIds(ids, rank - 1, rank);
      if (order > 0 || (order === 0 && this.#rowOfRank(rank - 1) > this.#rowOfRank(rank))) {
        throw corrupt(WHAT, "unsorted ids", this.#idsAt + rank * ID_BYTES);
      }
    }
  }

  /** The object rows of a frame: kinds that are known, and lengths that fill it. */
  #checkFrame(frame: number): void {
    if (this.#isFrameChecked[frame] === 1) return;
    const { firstRow, frameRaw } = this.#frames;
    const raw = frameRaw[frame]!;
    const end = firstRow[frame + 1]!;
    let offset = 0;
    for (let row = firstRow[frame]!; row < end; row++) {
      const at = this.#objectsAt + row * OBJECT_ROW_BYTES;
      const kind = this.#tail.getUint8(at + 8);
      if (kind >= OBJECT_KINDS.length) throw corrupt(WHAT, `unknown object kind ${kind}`, at + 8);
      this.#offsets[row] = offset;
      offset += this.#tail.getUint32(at, true) + this.#tail.getUint32(at + 4, true);
      if (offset > raw) throw corrupt(WHAT, "an object that passes its frame's end", at);
    }
    if (offset !== raw) throw corrupt(WHAT, `objects that do not fill frame ${frame}`);
    this.#isFrameChecked[frame] = 1;
  }

  #rankOfRow(): Uint32Array {
    if (this.#ranks !== undefined) return this.#ranks;
    const count = this.objectCount;
    const ranks = new Uint32Array(count).fill(NO_RANK);
    for (let rank = 0; rank < count; rank++) {
      const row = this.#rowOfRank(rank);
      if (ranks[row] !== NO_RANK) {
        throw corrupt(WHAT, `row ${row} is named twice`, this.#rowsAt + rank * 4);
      }
      ranks[row] = rank;
    }
    this.#ranks = ranks;
    return ranks;
  }

  #rowOfRank(rank: number): number {
    const at = this.#rowsAt + rank * 4;
    const row = this.#tail.getUint32(at, true);
    if (row >= this.objectCount) throw corrupt(WHAT, `there is no row ${row}`, at);
    return row;
  }

  find(id: ObjectId): ObjectLocation | undefined {
    scratch.write(id, 0, ID_BYTES, "hex");
    const row = this.findRow(scratch);
    return row === -1 ? undefined : this.locate(row);
  }

  /** Row of the object table for an id of 32 raw bytes at `at`, -1 when the pack does not hold it. */
  findRow(id: Uint8Array, at = 0): number {
    const rank = this.#findRank(id, at);
    return rank === -1 ? -1 : this.#rowOfRank(rank);
  }

  /** Whether an id of 32 raw bytes is that of a row; without making what `idBytesOfRow` needs. */
  isIdOfRow(id: Uint8Array, row: number): boolean {
    let rank = this.#findRank(id, 0);
    if (rank === -1) return false;
    for (; rank < this.objectCount && this.#compareId(rank, id, 0) === 0; rank++) {
      if (this.#rowOfRank(rank) === row) return true;
    }
    return false;
  }

  /** As `isIdOfRow`, at the cost of one comparison once what `idBytesOfRow` needs is made: for walks. */
  hasIdAt(row: number, id: Uint8Array): boolean {
    return row < this.objectCount && this.#compareId(this.#rankOfRow()[row]!, id, 0) === 0;
  }

  /** The first of equal ids: of equal objects the first row is the answer. */
  #findRank(id: Uint8Array, at: number): number {
    let low = 0;
    let high = this.objectCount;
    const fanOut = this.#fanOut ?? this.#makeFanOut();
    if (fanOut !== undefined) {
      low = fanOut[id[at]!]!;
      high = fanOut[id[at]! + 1]!;
    }
    const end = high;
    const word = readWord(id, at);
    const idsAt = this.#idsAt;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const found = this.#tail.getUint32(idsAt + middle * ID_BYTES);
      if (found < word || (found === word && this.#compareId(middle, id, at) < 0)) low = middle + 1;
      else high = middle;
    }
    return low < end && this.#compareId(low, id, at) === 0 ? low : -1;
  }

  #compareId(rank: number, id: Uint8Array, at: number): number {
    const idAt = this.#idsAt + rank * ID_BYTES;
    for (let i = 0; i < ID_BYTES; i += 4) {
      const found = this.#tail.getUint32(idAt + i);
      const wanted = readWord(id, at + i);
      if (found !== wanted) return found < wanted ? -1 : 1;
    }
    return 0;
  }

  #makeFanOut(): Uint32Array | undefined {
    if (++this.#lookups < FAN_OUT_LOOKUPS) return undefined;
    const fanOut = new Uint32Array(257);
    for (let rank = 0; rank < this.objectCount; rank++) {
      fanOut[this.#tailBytes[this.#idsAt + rank * ID_BYTES]! + 1]!++;
    }
    for (let byte = 0; byte < 256; byte++) fanOut[byte + 1]! += fanOut[byte]!;
    this.#fanOut = fanOut;
    return fanOut;
  }

  locate(row: number): ObjectLocation {
    const frame = this.frameOfRow(row);
    this.#checkFrame(frame);
    return { frame, ...this.#spanOfRow(row) };
  }

  /** Of a frame that has been checked. */
  #spanOfRow(row: number): Omit<ObjectLocation, "frame"> {
    const at = this.#objectsAt + row * OBJECT_ROW_BYTES;
    return {
      kind: OBJECT_KINDS[this.#tail.getUint8(at + 8)]!,
      offset: this.#offsets[row]!,
      length: this.#tail.getUint32(at, true),
      sidecarLength: this.#tail.getUint32(at + 4, true),
    };
  }

  frameOfRow(row: number): number {
    const { firstRow } = this.#frames;
    let low = 0;
    let high = this.frameCount;
    while (high - low > 1) {
      const middle = (low + high) >>> 1;
      if (firstRow[middle]! <= row) low = middle;
      else high = middle;
    }
    return low;
  }

  /** First row of a frame; the row after its last is `firstRow(frame + 1)`. */
  firstRow(frame: number): number {
    return this.#frames.firstRow[frame]!;
  }

  /** Content and sidecar bytes of a row. */
  rawLengthOfRow(row: number): number {
    const at = this.#objectsAt + row * OBJECT_ROW_BYTES;
    return this.#tail.getUint32(at, true) + this.#tail.getUint32(at + 4, true);
  }

  /** Bytes of content. */
  lengthOfRow(row: number): number {
    return this.#tail.getUint32(this.#objectsAt + row * OBJECT_ROW_BYTES, true);
  }

  /** Of a row that has been checked. */
  kindOfRow(row: number): ObjectKind {
    return OBJECT_KINDS[this.#tail.getUint8(this.#objectsAt + row * OBJECT_ROW_BYTES + 8)]!;
  }

  idOfRow(row: number): ObjectId {
    return objectIdFromBytes(this.#tailBytes, this.#idsAt + this.#rankOfRow()[row]! * ID_BYTES);
  }

  /** A view of 32 bytes. */
  idBytesOfRow(row: number): Uint8Array {
    const start = this.#idsAt + this.#rankOfRow()[row]! * ID_BYTES;
    return this.#tailBytes.subarray(start, start + ID_BYTES);
  }

  frame(index: number): FrameLocation {
    const columns = this.#frames;
    return {
      offset: columns.frameOffset[index]!,
      storedLength: columns.frameStored[index]!,
      rawLength: columns.frameRaw[index]!,
      compressed: columns.frameCompressed[index] === 1,
      objectCount: columns.firstRow[index + 1]! - columns.firstRow[index]!,
      checksum: columns.frameChecksums.subarray(index * 8, index * 8 + 8),
    };
  }

  /** In file order. */
  frames(): readonly FrameLocation[] {
    return Array.from({ length: this.frameCount }, (_, index) => this.frame(index));
  }

  /** By offset in the raw frame. */
  objectsOfFrame(index: number, known?: KnownIds): readonly FrameObject[] {
    this.#checkFrame(index);
    const first = this.#frames.firstRow[index]!;
    const count = this.#frames.firstRow[index + 1]! - first;
    const objects: FrameObject[] = new Array(count);
    let next = 0;
    for (let i = 0; i < count; i++) {
      const row = first + i;
      const at = this.#objectsAt + row * OBJECT_ROW_BYTES;
      objects[i] = {
        id: known !== undefined && known.rows[next] === row ? known.ids[next++]! : this.idOfRow(row),
        kind: OBJECT_KINDS[this.#tail.getUint8(at + 8)]!,
        offset: this.#offsets[row]!,
        length: this.#tail.getUint32(at, true),
        sidecarLength: this.#tail.getUint32(at + 4, true),
      };
    }
    return objects;
  }

  /** A frame with its stored bytes, which the caller has cut out of the pack at `frame(index).offset`. */
  frameWith(index: number, stored: Uint8Array, known?: KnownIds): Frame {
    const { frameRaw, frameCompressed } = this.#frames;
    return {
      compressed: frameCompressed[index] === 1,
      rawLength: frameRaw[index]!,
      stored,
      objects: this.objectsOfFrame(index, known),
    };
  }

  /** Rows of one kind, in file order. */
  rowsOfKind(kind: ObjectKind): number[] {
    const code = OBJECT_KINDS.indexOf(kind);
    const rows: number[] = [];
    for (let row = 0; row < this.objectCount; row++) {
      if (this.#tail.getUint8(this.#objectsAt + row * OBJECT_ROW_BYTES + 8) === code) rows.push(row);
    }
    return rows;
  }

  /** In file order. */
  idsOfKind(kind: ObjectKind): ObjectId[] {
    return this.rowsOfKind(kind).map((row) => this.idOfRow(row));
  }

  /** Every id, in file order. */
  ids(): ObjectId[] {
    return Array.from({ length: this.objectCount }, (_, row) => this.idOfRow(row));
  }
}

const scratch = asBuffer(new Uint8Array(ID_BYTES));

function readWord(bytes: Uint8Array, offset: number): number {
  return (
    ((bytes[offset]! << 24) | (bytes[offset + 1]! << 16) | (bytes[offset + 2]! << 8) | bytes[offset + 3]!) >>>
    0
  );
}

/** Of the ids in two rows of 32 bytes. */
export function compareIds(ids: Buffer, a: number, b: number): number {
  const first = ids.readUInt32BE(a * ID_BYTES) - ids.readUInt32BE(b * ID_BYTES);
  if (first !== 0) return first;
  return ids.compare(ids, b * ID_BYTES, b * ID_BYTES + ID_BYTES, a * ID_BYTES, a * ID_BYTES + ID_BYTES);
}
