/** Every object that the head leads to, for a check: columns, since a project may have millions. */
import { asBuffer, bytesToHex } from "../../base/bytes.ts";
import { corrupt } from "../../base/errors.ts";
import { OBJECT_ID_BYTES, type ObjectId } from "../../base/ids.ts";
import type { PackIndex } from "../../codec/pack-index.ts";
import type { ObjectKind } from "../../objects/frame.ts";
import { IdNumbers } from "../../objects/id-numbers.ts";

const KINDS: readonly ObjectKind[] = ["blob", "chunk-list", "node", "record", "operations"];
const CAPACITY_LEAST = 1024;

/** First and last position of a pack. */
export interface PositionRange {
  readonly first: number;
  readonly last: number;
}

export class ObjectTable {
  readonly #ids = new IdNumbers();
  /** By number of the object: index into KINDS, bytes of content, the first pack that holds it. */
  #kinds = new Uint8Array(CAPACITY_LEAST);
  #lengths = new Uint32Array(CAPACITY_LEAST);
  #packs = new Uint32Array(CAPACITY_LEAST);
  /** Further packs of objects that stand in several. */
  readonly #morePacks = new Map<number, number[]>();
  readonly #ranges: PositionRange[] = [];

  get size(): number {
    return this.#ids.count;
  }

  /** Takes in a pack whose rows have been checked. Errors: `corrupt` for an object of two kinds. */
  addPack(index: PackIndex, range: PositionRange): void {
    const pack = this.#ranges.push(range) - 1;
    for (let row = 0; row < index.objectCount; row++) {
      const known = this.#ids.count;
      const kind = KINDS.indexOf(index.kindOfRow(row));
      const number = this.#ids.add(index.idBytesOfRow(row));
      if (number === known) {
        this.#reserve(number);
        this.#kinds[number] = kind;
        this.#lengths[number] = index.lengthOfRow(row);
        this.#packs[number] = pack;
      } else if (this.#kinds[number] === kind) {
        const more = this.#morePacks.get(number);
        if (more === undefined) this.#morePacks.set(number, [pack]);
        else more.push(pack);
      } else {
        const id = bytesToHex(this.#ids.bytesOf(number));
        throw corrupt(`object ${id}`, `is a ${KINDS[this.#kinds[number]!]} and a ${KINDS[kind]}`);
      }
    }
  }

  /** Number of the object whose id stands at `at`, -1 when it is in no pack. */
  find(id: Uint8Array, at = 0): number {
    return this.#ids.find(id, at);
  }

  findId(id: ObjectId): number {
    scratch.write(id, 0, OBJECT_ID_BYTES, "hex");
    return this.#ids.find(scratch);
  }

  kind(number: number): ObjectKind {
    return KINDS[this.#kinds[number]!]!;
  }

  /** Bytes of content. */
  contentLength(number: number): number {
    return this.#lengths[number]!;
  }

  /** Whether a hint leads to a pack that has the object; 0 says that nothing is known. */
  isHintRight(number: number, hint: number): boolean {
    if (hint === 0 || this.#holds(this.#packs[number]!, hint)) return true;
    return this.#morePacks.get(number)?.some((pack) => this.#holds(pack, hint)) ?? false;
  }

  #holds(pack: number, position: number): boolean {
    const { first, last } = this.#ranges[pack]!;
    return first <= position && position <= last;
  }

  #reserve(number: number): void {
    if (number < this.#kinds.length) return;
    const capacity = this.#kinds.length * 2;
    const kinds = new Uint8Array(capacity);
    const lengths = new Uint32Array(capacity);
    const packs = new Uint32Array(capacity);
    kinds.set(this.#kinds);
    lengths.set(this.#lengths);
    packs.set(this.#packs);
    this.#kinds = kinds;
    this.#lengths = lengths;
    this.#packs = packs;
  }
}

const scratch = asBuffer(new Uint8Array(OBJECT_ID_BYTES));
