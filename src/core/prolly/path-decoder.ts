/**
 * Tree keys to paths in bulk. Neighbours in a tree share most of their directories, whose text has then been
 * decoded and checked already: only the names that differ are new.
 */
import { asBuffer } from "../base/bytes.ts";
import { KEY_BYTES_MAX } from "../base/limits.ts";
import { findComponentProblem, keyToPath, type TreePath } from "../base/path.ts";

const NO_KEY = new Uint8Array(0);
const ASCII_LENGTH_MAX = 48;

export class PathDecoder {
  #previous: Uint8Array = NO_KEY;
  /** Of each directory of the previous key: where its separator ends in the key, and its text with a slash. */
  readonly #ends: number[] = [];
  readonly #texts: string[] = [];

  /** As `keyToPath`, which judges whatever is not plain. The key must not change before the next call. */
  decode(key: Uint8Array): TreePath {
    const previous = this.#previous;
    this.#previous = NO_KEY;
    if (key.length > KEY_BYTES_MAX) return keyToPath(key);
    let depth = this.#sharedDepth(previous, key);
    let start = depth === 0 ? 0 : this.#ends[depth - 1]!;
    let text = depth === 0 ? "" : this.#texts[depth - 1]!;
    for (;;) {
      const separator = key.indexOf(0, start);
      const end = separator === -1 ? key.length : separator;
      const name = readName(key, start, end);
      // What only matters at the start of a path is left to the full check too.
      if (name === undefined || (start === 0 && name[1] === ":")) return keyToPath(key);
      text += name;
      if (separator === -1) break;
      start = separator + 1;
      text += "/";
      this.#ends[depth] = start;
      this.#texts[depth++] = text;
    }
    this.#ends.length = depth;
    this.#texts.length = depth;
    this.#previous = key;
    return text as TreePath;
  }

  /** How many directories of the previous key are directories of this one. */
  #sharedDepth(previous: Uint8Array, key: Uint8Array): number {
    const ends = this.#ends;
    let depth = previous.length === 0 ? 0 : ends.length;
    const limit = Math.min(previous.length, key.length);
    let shared = 0;
    while (shared < limit && previous[shared] === key[shared]) shared++;
    while (depth > 0 && ends[depth - 1]! > shared) depth--;
    return depth;
  }
}

/** A name that may stand in a path; undefined for any other, and for some that are too rare to care. */
function readName(key: Uint8Array, start: number, end: number): string | undefined {
  const name = asciiName(key, start, end) ?? asBuffer(key).toString("utf8", start, end);
  if (name.includes("\ufffd") || name.includes("/") || name.includes("\\")) return undefined;
  return findComponentProblem(name) === undefined ? name : undefined;
}

/** A short ASCII name without a call into the decoder; undefined for any other. */
function asciiName(key: Uint8Array, start: number, end: number): string | undefined {
  if (end - start > ASCII_LENGTH_MAX) return undefined;
  let name = "";
  for (let i = start; i < end; i++) {
    const code = key[i]!;
    if (code >= 0x80) return undefined;
    name += String.fromCharCode(code);
  }
  return name;
}
