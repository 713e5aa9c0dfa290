/**
 * What a tree must satisfy before any of it is written: checked over the whole list, so that a tree with one
 * bad path makes a checkout write nothing at all. The forge checked the same at landing; a client does not
 * take its word for it.
 */
import { sep } from "node:path";
import { MicError } from "../../base/errors.ts";
import { ancestorsOf, comparePaths, isWithin, parseTreePath, type TreePath } from "../../base/path.ts";
import type { NameFolding } from "../../codec/workspace-settings.ts";

export interface NameRules {
  readonly folding: NameFolding;
  /** True: device names, `<>:"|?*` and names that end in a dot or space cannot be files here. */
  readonly windows: boolean;
}

export const NO_FOLDING: NameFolding = { case: false, normalization: false };

export function nameRules(folding: NameFolding): NameRules {
  return { folding, windows: sep === "\\" };
}

/**
 * Refuses (`unsafe-path`, with `paths`) forbidden or unsorted paths, a file that is also a directory, and names
 * that this platform cannot hold. `paths` are to be written, in key order.
 */
export function checkTreePaths(paths: Iterable<TreePath>, rules: NameRules): void {
  let previous: TreePath | undefined;
  for (const path of paths) {
    parseTreePath(path);
    if (previous !== undefined) {
      if (comparePaths(previous, path) >= 0) {
        throw new MicError("corrupt", `the project's paths are not in order at ${JSON.stringify(path)}`);
      }
      // Everything below a directory follows it at once, so looking at the neighbour is enough.
      if (isWithin(path, previous)) throw clash(previous, path, "is both a file and a directory");
    }
    if (rules.windows) checkWindowsName(path);
    previous = path;
  }
}

/** How a change of the base looks from here: `before` absent means that the path is new. */
interface BaseChange {
  readonly path: TreePath;
  readonly before?: unknown;
  readonly after?: unknown;
}

/** What the base holds, in path order. */
interface BaseEntries {
  find(path: string): unknown;
  entries(within: TreePath): Iterable<{ readonly path: TreePath }>;
}

/**
 * Refuses (`unsafe-path`, with `paths`) changes that would make a path of the base both a file and a directory:
 * a link to elsewhere that stays, and a file below it that comes.
 */
export function checkDirectories(changes: readonly BaseChange[], base: BaseEntries): void {
  const gone = new Set<string>();
  for (const { path, after } of changes) if (after === undefined) gone.add(path);
  const checked = new Set<TreePath>();
  for (const { path, before, after } of changes) {
    if (before !== undefined || after === undefined) continue;
    for (const ancestor of ancestorsOf(parseTreePath(path)).reverse()) {
      if (checked.has(ancestor)) break;
      checked.add(ancestor);
      if (!gone.has(ancestor) && base.find(ancestor) !== undefined) {
        throw clash(ancestor, path, "is below a path that is a file");
      }
    }
    for (const below of base.entries(path)) {
      if (below.path !== path && !gone.has(below.path)) throw clash(below.path, path, "is also a directory");
    }
  }
}

/**
 * Refuses two paths that the file system takes for one: `README` and `readme`, an NFC and an NFD spelling, or
 * directories that differ so. `present`: every path that will exist. Free where nothing folds.
 */
export function checkCollisions(present: Iterable<TreePath>, rules: NameRules): void {
  const { folding } = rules;
  if (!folding.case && !folding.normalization) return;
  const spelling = new Map<string, string>();
  for (const path of present) {
    for (const part of [...ancestorsOf(path), path]) {
      const folded = foldName(part, folding);
      const other = spelling.get(folded);
      if (other === undefined) spelling.set(folded, part);
      else if (other !== part) {
        throw clash(other, part, "and another name are one file on this file system");
      }
    }
  }
}

export function foldName(name: string, folding: NameFolding): string {
  let folded = folding.normalization ? name.normalize("NFD") : name;
  // Upper-casing first joins letters (ſ, ß) that lower-casing alone keeps apart.
  if (folding.case) folded = folded.toUpperCase().toLowerCase();
  return folded;
}

const WINDOWS_DEVICE = /^(?:con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$)(?:[. ].*|:.*)?$/i;
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what Windows refuses in a name
const WINDOWS_FORBIDDEN = /[<>:"|?*\u0000-\u001f]|[. ]$/;

function checkWindowsName(path: TreePath): void {
  for (const component of path.split("/")) {
    if (WINDOWS_DEVICE.test(component) || WINDOWS_FORBIDDEN.test(component)) {
      throw new MicError("unsafe-path", `path ${JSON.stringify(path)} cannot be a file on Windows`, {
        hint: "rename it on another platform, or use --path to leave it out",
        data: { paths: [path] },
      });
    }
  }
}

function clash(a: string, b: string, what: string): MicError {
  return new MicError("unsafe-path", `path ${JSON.stringify(b)} ${what} (${JSON.stringify(a)})`, {
    hint: "nothing was written; use --path to take only one of them",
    data: { paths: [a, b] },
  });
}
