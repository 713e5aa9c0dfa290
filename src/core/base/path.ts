/**
 * Tree paths: `/`-separated, relative, UTF-8. A `TreePath` has passed every check that holds on all platforms,
 * so it can neither leave the workspace nor name a version control system's own directory, under any file
 * system's idea of equal names. The same rules are applied when landing, when receiving a tree and when
 * writing files.
 */
import { asBuffer, fromUtf8, utf8 } from "./bytes.ts";
import { MicError } from "./errors.ts";
import { KEY_BYTES_MAX } from "./limits.ts";

declare const treePathBrand: unique symbol;
export type TreePath = string & { readonly [treePathBrand]: true };

const SEPARATOR = 0x2f;
const FORBIDDEN = new Set([".mic", ".git", ".hg", ".jj"]);
/** NTFS short names of the forbidden directories: `GIT~1`. */
const SHORT_NAME = /^(?:mic|git|hg|jj)~\d+$/;
const DRIVE_LETTER = /^[A-Za-z]:/;
/** Code points that HFS+ ignores when it compares names, and other invisible ones. */
const IGNORABLE =
  // biome-ignore lint/suspicious/noMisleadingCharacterClass: single code points, never clusters
  /[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8]/g;
/** The two marks of an ordinary name that cannot be a disguise: nothing to fold, nothing to strip. */
const PLAIN = /^[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*$/;

/** A whole path of such names. */
const PLAIN_PATH = /^[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*(?:\/[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*)*$/;

/** `unsafe-path` (or `too-large`) with the reason, or the path with its type. */
export function parseTreePath(text: string): TreePath {
  const problem = findPathProblem(text);
  if (problem !== undefined) {
    const shown = text.length > 200 ? `${text.slice(0, 200)}…` : text;
    throw new MicError(problem.code, `path ${JSON.stringify(shown)} ${problem.reason}`, {
      hint: problem.code === "too-large" ? "shorten the path" : "rename it, or exclude it with .micignore",
      data: { paths: [shown] },
    });
  }
  return text as TreePath;
}

export function isTreePath(text: string): text is TreePath {
  return findPathProblem(text) === undefined;
}

interface PathProblem {
  readonly code: "unsafe-path" | "too-large";
  readonly reason: string;
}

function unsafe(reason: string): PathProblem {
  return { code: "unsafe-path", reason };
}

function findPathProblem(text: string): PathProblem | undefined {
  if (text.length <= KEY_BYTES_MAX && PLAIN_PATH.test(text)) return undefined;
  if (text.length === 0) return unsafe("is empty");
  // The UTF-8 form is at least as long as the UTF-16 one, so this bounds the work below.
  if (text.length > KEY_BYTES_MAX || Buffer.byteLength(text) > KEY_BYTES_MAX) {
    return { code: "too-large", reason: `is longer than ${KEY_BYTES_MAX} bytes` };
  }
  if (text.includes("\0")) return unsafe("contains NUL");
  if (text.includes("\\")) return unsafe("contains a backslash");
  if (DRIVE_LETTER.test(text)) return unsafe("starts with a drive letter");
  if (!text.isWellFormed()) return unsafe("is not valid Unicode");
  for (const component of text.split("/")) {
    const reason = findComponentProblem(component);
    if (reason !== undefined) return unsafe(reason);
  }
  return undefined;
}

/** Why a single name may not be part of a tree path, or undefined. */
export function findComponentProblem(component: string): string | undefined {
  if (PLAIN.test(component)) return undefined;
  if (component === "") return "has an empty component";
  if (component === "." || component === "..") return `has a ${JSON.stringify(component)} component`;
  if (isForbiddenName(component)) {
    return `has the reserved component ${JSON.stringify(component)}`;
  }
  return undefined;
}

/** True for `.mic`, `.git`, `.hg`, `.jj` and every name that some file system takes for one of them. */
export function isForbiddenName(component: string): boolean {
  const visible = component.replace(IGNORABLE, "").normalize("NFKC").toLowerCase();
  const colon = visible.indexOf(":");
  const withoutStream = colon === -1 ? visible : visible.slice(0, colon);
  const name = withoutStream.replace(/[. ]+$/, "");
  return FORBIDDEN.has(name) || SHORT_NAME.test(name);
}

/**
 * The tree key of a path: UTF-8 with `/` stored as 0x00, so that key order is the order of a sorted walk and
 * everything below directory D is the range [D·00, D·01).
 */
export function pathToKey(path: TreePath): Uint8Array {
  const key = utf8(path);
  for (let i = 0; i < key.length; i++) if (key[i] === SEPARATOR) key[i] = 0;
  return key;
}

/**
 * `pathToKey` into `target`, for many keys in one buffer; returns the offset after it. There are at least
 * KEY_BYTES_MAX bytes of room.
 */
export function writePathKey(target: Buffer, offset: number, path: TreePath): number {
  const end = offset + target.write(path, offset, "utf8");
  for (let i = offset; i < end; i++) if (target[i] === SEPARATOR) target[i] = 0;
  return end;
}

/** The inverse, for keys from stored trees: checks everything that `parseTreePath` checks. */
export function keyToPath(key: Uint8Array): TreePath {
  const bytes = asBuffer(key);
  if (bytes.includes(SEPARATOR)) throw new MicError("unsafe-path", "a tree key contains a slash");
  const text = fromUtf8(bytes, "a path").replaceAll("\0", "/");
  return parseTreePath(text);
}

/** Key order, as `compareBytes(pathToKey(a), pathToKey(b))` without making the keys. */
export function comparePaths(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    let x = a.charCodeAt(i);
    let y = b.charCodeAt(i);
    if (x === y) continue;
    if (x === SEPARATOR) x = 0;
    if (y === SEPARATOR) y = 0;
    // UTF-16 order differs from UTF-8 order only where surrogates meet U+E000 to U+FFFF.
    if (x >= 0xd800 && y >= 0xd800) {
      const xSurrogate = x < 0xe000;
      const ySurrogate = y < 0xe000;
      if (xSurrogate !== ySurrogate) return xSurrogate ? 1 : -1;
    }
    return x - y;
  }
  return a.length - b.length;
}

/** `a/b/c` → [`a`, `a/b`]. */
export function ancestorsOf(path: TreePath): TreePath[] {
  const ancestors: TreePath[] = [];
  for (let i = path.indexOf("/"); i !== -1; i = path.indexOf("/", i + 1)) {
    ancestors.push(path.slice(0, i) as TreePath);
  }
  return ancestors;
}

/** True when `path` is `dir` or lies below it. */
export function isWithin(path: string, dir: string): boolean {
  return (
    dir === "" ||
    path === dir ||
    (path.length > dir.length && path.startsWith(dir) && path.charCodeAt(dir.length) === SEPARATOR)
  );
}

/** True when `path` is one of `paths` or lies below one; without any, every path is. */
export function withinPaths(path: string, paths: readonly TreePath[] | undefined): boolean {
  return paths === undefined || paths.length === 0 || paths.some((dir) => isWithin(path, dir));
}
