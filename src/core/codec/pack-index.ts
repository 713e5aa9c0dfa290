/** A pack's decoded index: columns of numbers instead of one object per entry, since a pack holds up to millions. */
import { asBuffer } from "../base/bytes.ts";
import { type ObjectId, objectIdFromBytes } from "../base/ids.ts";
import type { Frame, FrameObject, ObjectKind } from "./frame.ts";

export const OBJECT_KINDS: readonly ObjectKind[] = ["blob", "chunk-list", "node", "record", "operations"];

const ID_BYTES = 32;
const ID_WORDS = ID_BYTES / 4;

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

/**
 * What `decodePackIndex` has checked. Rows of the object table are in file order; `firstRow` and `frameOffset`
 * have one element more than there are frames.
 */
export interface PackColumns {
  readonly frameStored: Uint32Array;
  readonly frameRaw: Uint32Array;
  readonly frameCompressed: Uint8Array;
  readonly frameChecksums: Uint8Array;
  readonly frameOffset: Float64Array;
  readonly firstRow: Uint32Array;
  readonly objectLength: Uint32Array;
  readonly objectSidecar: Uint32Array;
  readonly objectKind: Uint8Array;
  readonly objectOffset: Uint32Array;
  /** 32 bytes each, sorted. */
  readonly ids: Uint8Array;
  /** Rank of an id → row. */
  readonly rowOfRank: Uint32Array;
  /** Row → rank of its id. */
  readonly rankOfRow: Uint32Array;
}

export class PackIndex {
  readonly frameCount: number;
  readonly objectCount: number;
  /** Bytes of the whole pack that has this index. */
  readonly packSize: number;
  /** Bytes of memory, near enough for a cache's budget. */
  readonly memoryBytes: number;
  readonly #columns: PackColumns;
  readonly #idView: DataView;
  /** Rank of the first id that starts with each byte; one more at the end. */
  readonly #fanOut: Uint32Array;

  constructor(columns: PackColumns, tailLength: number) {
    this.#columns = columns;
    this.frameCount = columns.frameStored.length;
    this.objectCount = columns.objectKind.length;
    this.packSize = columns.frameOffset[this.frameCount]! + tailLength;
    this.memoryBytes = 2048 + this.frameCount * 29 + this.objectCount * 53;
    const { ids } = columns;
    this.#idView = new DataView(ids.buffer, ids.byteOffset, ids.byteLength);
    this.#fanOut = fanOutOf(ids, this.objectCount);
  }

  find(id: ObjectId): ObjectLocation | undefined {
    scratch.write(id, 0, ID_BYTES, "hex");
    const row = this.findRow(scratch);
    return row === -1 ? undefined : this.locate(row);
  }

  /** Row of the object table for an id of 32 raw bytes at `at`, -1 when the pack does not hold it. */
  findRow(id: Uint8Array, at = 0): number {
    const first = id[at]!;
    let low = this.#fanOut[first]!;
    let high = this.#fanOut[first + 1]!;
    if (low === high) return -1;
    const word = readWord(id, at);
    const view = this.#idView;
    // Leftmost rank that is not below the id: of equal ids the first row is the answer.
    while (low < high) {
      const middle = (low + high) >>> 1;
      const found = view.getUint32(middle * ID_BYTES);
      if (found < word || (found === word && this.#compareRest(middle, id, at) < 0)) low = middle + 1;
      else high = middle;
    }
    if (low === this.objectCount || view.getUint32(low * ID_BYTES) !== word) return -1;
    return this.#compareRest(low, id, at) === 0 ? this.#columns.rowOfRank[low]! : -1;
  }

  #compareRest(rank: number, id: Uint8Array, at: number): number {
    for (let i = 1; i < ID_WORDS; i++) {
      const found = this.#idView.getUint32(rank * ID_BYTES + i * 4);
      const wanted = readWord(id, at + i * 4);
      if (found !== wanted) return found < wanted ? -1 : 1;
    }
    return 0;
  }

  locate(row: number): ObjectLocation {
    const columns = this.#columns;
    return {
      frame: this.frameOfRow(row),
      kind: OBJECT_KINDS[columns.objectKind[row]!]!,
      offset: columns.objectOffset[row]!,
      length: columns.objectLength[row]!,
      sidecarLength: columns.objectSidecar[row]!,
    };
  }

  frameOfRow(row: number): number {
    const { firstRow } = this.#columns;
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
    return this.#columns.firstRow[frame]!;
  }

  /** Content and sidecar bytes of a row. */
  rawLengthOfRow(row: number): number {
    return this.#columns.objectLength[row]! + this.#columns.objectSidecar[row]!;
  }

  idOfRow(row: number): ObjectId {
    return objectIdFromBytes(this.#columns.ids, this.#columns.rankOfRow[row]! * ID_BYTES);
  }

  /** A view of 32 bytes. */
  idBytesOfRow(row: number): Uint8Array {
    const start = this.#columns.rankOfRow[row]! * ID_BYTES;
    return this.#columns.ids.subarray(start, start + ID_BYTES);
  }

  frame(index: number): FrameLocation {
    const columns = this.#columns;
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
  objectsOfFrame(index: number): readonly FrameObject[] {
    const columns = this.#columns;
    const objects: FrameObject[] = [];
    for (let row = columns.firstRow[index]!; row < columns.firstRow[index + 1]!; row++) {
      objects.push({
        id: this.idOfRow(row),
        kind: OBJECT_KINDS[columns.objectKind[row]!]!,
        offset: columns.objectOffset[row]!,
        length: columns.objectLength[row]!,
        sidecarLength: columns.objectSidecar[row]!,
      });
    }
    return objects;
  }

  /** A frame with its stored bytes, which the caller has cut out of the pack at `frame(index).offset`. */
  frameWith(index: number, stored: Uint8Array): Frame {
    const { compressed, rawLength } = this.frame(index);
    return { compressed, rawLength, stored, objects: this.objectsOfFrame(index) };
  }

  /** Rows of one kind, in file order. */
  rowsOfKind(kind: ObjectKind): number[] {
    const code = OBJECT_KINDS.indexOf(kind);
    const rows: number[] = [];
    const { objectKind } = this.#columns;
    for (let row = 0; row < objectKind.length; row++) if (objectKind[row] === code) rows.push(row);
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

function fanOutOf(ids: Uint8Array, count: number): Uint32Array {
  const fanOut = new Uint32Array(257);
  for (let rank = 0; rank < count; rank++) fanOut[ids[rank * ID_BYTES]! + 1]!++;
  for (let byte = 0; byte < 256; byte++) fanOut[byte + 1]! += fanOut[byte]!;
  return fanOut;
}
