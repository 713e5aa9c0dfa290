/**
 * Tree keys to paths in bulk. Neighbours in a tree mostly share their directory, whose text has then been
 * decoded and checked already: only the last name is new.
 */
import { compareBytes, fromUtf8 } from "../base/bytes.ts";
import { MicError } from "../base/errors.ts";
import { KEY_BYTES_MAX } from "../base/limits.ts";
import { findComponentProblem, keyToPath, type TreePath } from "../base/path.ts";

export class PathDecoder {
  /** The key of the current directory with its final 0x00, and its text with the final slash. */
  #directoryKey: Uint8Array = new Uint8Array(0);
  #directory = "";

  /** As `keyToPath`. */
  decode(key: Uint8Array): TreePath {
    const nameStart = key.lastIndexOf(0) + 1;
    if (nameStart > 0 && nameStart === this.#directoryKey.length && key.length <= KEY_BYTES_MAX) {
      if (compareBytes(this.#directoryKey, key.subarray(0, nameStart)) === 0) {
        return `${this.#directory}${checkedName(key, nameStart)}` as TreePath;
      }
    }
    const path = keyToPath(key);
    this.#directoryKey = key.slice(0, nameStart);
    this.#directory = path.slice(0, path.lastIndexOf("/") + 1);
    return path;
  }
}

function checkedName(key: Uint8Array, start: number): string {
  const name = latin1Name(key, start) ?? fromUtf8(key.subarray(start), "a path");
  const problem =
    name.includes("/") || name.includes("\\") ? "has a slash in a name" : findComponentProblem(name);
  if (problem === undefined) return name;
  throw new MicError("unsafe-path", `a stored name ${problem}`, { data: { paths: [name] } });
}

/** A short ASCII name without a call into the decoder; undefined for any other. */
function latin1Name(key: Uint8Array, start: number): string | undefined {
  if (key.length - start > 24) return undefined;
  let name = "";
  for (let i = start; i < key.length; i++) {
    const code = key[i]!;
    if (code >= 0x80) return undefined;
    name += String.fromCharCode(code);
  }
  return name;
}
