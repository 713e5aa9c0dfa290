/** Content of many edits by its id: no object and no string for any of them. */
import { TREE_ENTRY_CHUNKS_OFFSET, TREE_ENTRY_ID_OFFSET } from "../../codec/tree-entry.ts";
import { IdNumbers } from "../../objects/id-numbers.ts";
import type { PreparedLanding } from "./prepared-landing.ts";

/** Content by its id, with every edit that puts it, in a few bytes for each. */
export class WantedContent {
  readonly #edits: number;
  readonly #idAt: number;
  readonly #ids = new IdNumbers();
  /** Of each content, the newest edit plus one; 0: none is wanted any more. */
  #heads = new Uint32Array(64);
  /** Of each edit, the one before it that puts the same, plus one. */
  #nexts: Uint32Array | undefined;

  /** `idAt`: where the id stands in an encoded entry. */
  constructor(edits: number, idAt: number) {
    this.#edits = edits;
    this.#idAt = idAt;
  }

  get count(): number {
    return this.#ids.count;
  }

  add(value: Uint8Array, edit: number): void {
    this.#nexts ??= new Uint32Array(this.#edits);
    const number = this.#ids.add(value, this.#idAt);
    if (number === this.#heads.length) {
      const heads = new Uint32Array(number * 2);
      heads.set(this.#heads);
      this.#heads = heads;
    }
    this.#nexts[edit] = this.#heads[number]!;
    this.#heads[number] = edit + 1;
  }

  /** The first of the edits that put a content, which is not wanted from then on; -1: it is not. */
  take(id: Uint8Array): number {
    const number = this.#ids.find(id);
    if (number === -1) return -1;
    const head = this.#heads[number]! - 1;
    this.#heads[number] = 0;
    return head;
  }

  /** -1 after the last. */
  next(edit: number): number {
    return this.#nexts![edit]! - 1;
  }

  /** Numbers of what is still wanted. */
  left(): Uint32Array {
    const left = new Uint32Array(this.count);
    let count = 0;
    for (let number = 0; number < left.length; number++)
      if (this.#heads[number] !== 0) left[count++] = number;
    return left.subarray(0, count);
  }

  /** 32 bytes. */
  idOf(number: number): Uint8Array {
    return this.#ids.bytesOf(number);
  }
}

/** Which of some landings is the first that puts a content. */
export class Introduced {
  readonly #ids = new IdNumbers();
  readonly #landings: number[] = [];

  constructor(landings: readonly PreparedLanding[]) {
    for (const [landing, { edits }] of landings.entries()) {
      for (let i = 0; i < edits.length; i++) {
        const value = edits.value(i);
        if (value === undefined) continue;
        const number = this.#ids.add(value, contentIdAt(value));
        if (number === this.#landings.length) this.#landings.push(landing);
      }
    }
  }

  landingOf(value: Uint8Array): number {
    return this.#landings[this.#ids.find(value, contentIdAt(value))]!;
  }
}

/** Where an encoded entry has the id of what is stored. */
export function contentIdAt(value: Uint8Array): number {
  return value.length > TREE_ENTRY_CHUNKS_OFFSET ? TREE_ENTRY_CHUNKS_OFFSET : TREE_ENTRY_ID_OFFSET;
}
