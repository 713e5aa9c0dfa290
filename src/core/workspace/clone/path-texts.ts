/**
 * A list of paths that only grows, in few strings: as a million strings of their own they take 100 MB, and what
 * was made beside them cannot be given back while they stand between.
 */
import type { TreePath } from "../../base/path.ts";

/** Paths in one text. */
const TEXT_PATHS = 256;
const CAPACITY_LEAST = 1024;

export class PathTexts {
  readonly #texts: string[] = [];
  /** Of each path, where it ends in its text. */
  #ends = new Uint32Array(CAPACITY_LEAST);
  /** Those that have no text yet. */
  #open: TreePath[] = [];
  #openLength = 0;
  #length = 0;

  get length(): number {
    return this.#length;
  }

  add(path: TreePath): void {
    if (this.#length === this.#ends.length) {
      const ends = new Uint32Array(this.#length * 2);
      ends.set(this.#ends);
      this.#ends = ends;
    }
    this.#open.push(path);
    this.#openLength += path.length;
    this.#ends[this.#length++] = this.#openLength;
    if (this.#open.length < TEXT_PATHS) return;
    this.#texts.push(this.#open.join(""));
    this.#open = [];
    this.#openLength = 0;
  }

  at(i: number): TreePath {
    const number = Math.floor(i / TEXT_PATHS);
    const text = this.#texts[number];
    if (text === undefined) return this.#open[i - number * TEXT_PATHS]!;
    const start = i % TEXT_PATHS === 0 ? 0 : this.#ends[i - 1]!;
    return text.slice(start, this.#ends[i]) as TreePath;
  }

  *[Symbol.iterator](): Generator<TreePath, void, undefined> {
    for (let i = 0; i < this.#length; i++) yield this.at(i);
  }
}
