/**
 * Directories of the workspace held by handle while something in them is changed. A path is resolved once, one
 * component at a time and never through a symlink; what follows goes through the handle, so that a directory
 * that is swapped for a symlink meanwhile leads nowhere else.
 *
 * Node has no `openat`. On Linux `/proc/self/fd/N/name` is one; elsewhere the components are checked just
 * before each use, which leaves the moment between check and use.
 */
import { closeSync, constants, existsSync, fstatSync, mkdirSync, openSync } from "node:fs";
import { join } from "node:path";
import { MicError } from "../../base/errors.ts";
import { errorCode } from "../layout.ts";
import { lstatIfExists } from "./stat.ts";

const HANDLES_MAX = 64;
const OPEN_DIRECTORY = constants.O_RDONLY | (constants.O_DIRECTORY ?? 0) | (constants.O_NOFOLLOW ?? 0);

let hasHandlePaths: boolean | undefined;

function handlePathsWork(): boolean {
  hasHandlePaths ??= existsSync("/proc/self/fd/0/..") || existsSync("/proc/self/fd");
  return hasHandlePaths;
}

export class SafePaths implements Disposable {
  readonly #root: string;
  readonly #useHandles: boolean;
  /** Directory of the workspace (`""` is its root) → open handle; oldest use first. */
  readonly #handles = new Map<string, number>();

  /** `useHandles` is for tests of the other way. */
  constructor(root: string, useHandles: boolean = handlePathsWork()) {
    this.#root = root;
    this.#useHandles = useHandles;
  }

  /**
   * A path by which the system reaches `path`, with its parents resolved safely; `create` makes missing ones.
   * Valid until the next call. Undefined when a parent is missing. `unsafe-path` when a parent is no directory.
   */
  locate(path: string, create: boolean): string | undefined {
    const slash = path.lastIndexOf("/");
    const dir = slash === -1 ? "" : path.slice(0, slash);
    const name = path.slice(slash + 1);
    if (!this.#useHandles) {
      if (!this.#checkParents(dir, create)) return undefined;
      return join(this.#root, path);
    }
    const handle = this.#open(dir, create);
    return handle === undefined ? undefined : `/proc/self/fd/${handle}/${name}`;
  }

  /** To be called after a directory was removed or replaced by this process. */
  forget(dir: string): void {
    for (const [known, handle] of this.#handles) {
      if (known !== dir && !known.startsWith(`${dir}/`)) continue;
      this.#handles.delete(known);
      closeSync(handle);
    }
  }

  #open(dir: string, create: boolean): number | undefined {
    const known = this.#handles.get(dir);
    // One that was removed meanwhile has no names, and takes none.
    if (known !== undefined && create && fstatSync(known).nlink === 0) this.forget(dir);
    else if (known !== undefined) {
      this.#handles.delete(dir);
      this.#handles.set(dir, known);
      return known;
    }
    let handle: number;
    if (dir === "") handle = openSync(this.#root, constants.O_RDONLY);
    else {
      const slash = dir.lastIndexOf("/");
      const parent = this.#open(slash === -1 ? "" : dir.slice(0, slash), create);
      if (parent === undefined) return undefined;
      const opened = openChild(`/proc/self/fd/${parent}/${dir.slice(slash + 1)}`, dir, create);
      if (opened === undefined) return undefined;
      handle = opened;
    }
    this.#handles.set(dir, handle);
    // The oldest may be an ancestor that is still needed by the caller's own recursion: it has been used.
    if (this.#handles.size > HANDLES_MAX) {
      for (const [old, oldHandle] of this.#handles) {
        this.#handles.delete(old);
        closeSync(oldHandle);
        break;
      }
    }
    return handle;
  }

  #checkParents(dir: string, create: boolean): boolean {
    if (dir === "") return true;
    let checked = "";
    for (const component of dir.split("/")) {
      checked = checked === "" ? component : `${checked}/${component}`;
      const absolute = join(this.#root, checked);
      const stats = lstatIfExists(absolute);
      if (stats === undefined) {
        if (!create) return false;
        mkdirSync(absolute);
      } else if (!stats.isDirectory()) throw notADirectory(checked);
    }
    return true;
  }

  [Symbol.dispose](): void {
    for (const handle of this.#handles.values()) closeSync(handle);
    this.#handles.clear();
  }
}

function openChild(path: string, dir: string, create: boolean): number | undefined {
  for (;;) {
    try {
      return openSync(path, OPEN_DIRECTORY);
    } catch (error) {
      const code = errorCode(error);
      if (code === "ELOOP" || code === "ENOTDIR") throw notADirectory(dir, error);
      if (code !== "ENOENT") throw error;
      if (!create) return undefined;
    }
    try {
      mkdirSync(path);
    } catch (error) {
      // Somebody else made it: look again.
      if (errorCode(error) !== "EEXIST") throw error;
    }
  }
}

function notADirectory(dir: string, cause?: unknown): MicError {
  return new MicError("unsafe-path", `${JSON.stringify(dir)} is not a directory (a link or a file)`, {
    hint: "something changed it while mic was writing; move it away and run the command again",
    cause,
    data: { paths: [dir] },
  });
}
