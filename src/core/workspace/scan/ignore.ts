/**
 * Which untracked names a scan passes over. Rules come from `.micignore` and `.gitignore`, in every directory
 * from the root down; the deepest file that says something about a path decides, and in one directory
 * `.micignore` comes first. What lies below an ignored directory is ignored, whatever rules say about it.
 * Tracked files are never ignored: that is the scan's business.
 */
import { fstatSync, readSync } from "node:fs";
import { asBuffer } from "../../base/bytes.ts";
import { MicError } from "../../base/errors.ts";
import { withFileIfExists } from "../disk/open-file.ts";
import { kindOfMode, lstatIfExists } from "../disk/stat.ts";
import { IGNORE_FILE_NAMES } from "../index/scan-findings.ts";
import { IgnoreRules } from "./ignore-rules.ts";

const IGNORE_BYTES_MAX = 8 << 20;

/** The rules that hold in one directory. */
export interface IgnoreScope {
  /** Empty for the root. */
  readonly dir: string;
  readonly parent: IgnoreScope | undefined;
  /** The directory itself is ignored. */
  readonly ignored: boolean;
  /** Of this directory's own files, `.micignore` first. */
  readonly rules: readonly IgnoreRules[];
}

/** `files`: numbers in IGNORE_FILE_NAMES of those that exist, or undefined to look. Throws `too-large`. */
export function openIgnoreScope(
  root: string,
  dir: string,
  parent: IgnoreScope | undefined,
  files?: readonly number[],
): IgnoreScope {
  const slash = dir.lastIndexOf("/");
  const ignored = parent !== undefined && isIgnored(parent, dir.slice(slash + 1), true);
  // Nothing below an ignored directory can be brought back, so its rules are not even read.
  if (ignored || files?.length === 0) return { dir, parent, ignored, rules: [] };
  const rules: IgnoreRules[] = [];
  for (let name = IGNORE_FILE_NAMES.length - 1; name >= 0; name--) {
    if (files !== undefined && !files.includes(name)) continue;
    const text = readIgnoreFile(`${root}/${dir === "" ? "" : `${dir}/`}${IGNORE_FILE_NAMES[name]}`);
    if (text !== undefined) rules.push(IgnoreRules.parse(text));
  }
  return { dir, parent, ignored, rules };
}

/** Whether the untracked `name` in the scope's directory is ignored. */
export function isIgnored(scope: IgnoreScope, name: string, isDirectory: boolean): boolean {
  if (scope.ignored) return true;
  let path: string | undefined;
  for (let at: IgnoreScope | undefined = scope; at !== undefined; at = at.parent) {
    for (const rules of at.rules) {
      if (rules.needsPath) path ??= scope.dir === "" ? name : `${scope.dir}/${name}`;
      const relative = path === undefined ? name : at.dir === "" ? path : path.slice(at.dir.length + 1);
      const verdict = rules.verdict(relative, name, isDirectory);
      if (verdict !== undefined) return verdict === "ignore";
    }
  }
  return false;
}

/** The same question for one path, reading the ignore files of every directory above it. */
export function isPathIgnored(root: string, path: string, isDirectory: boolean): boolean {
  let scope = openIgnoreScope(root, "", undefined);
  for (let slash = path.indexOf("/"); slash !== -1; slash = path.indexOf("/", slash + 1)) {
    scope = openIgnoreScope(root, path.slice(0, slash), scope);
  }
  return isIgnored(scope, path.slice(path.lastIndexOf("/") + 1), isDirectory);
}

/** Undefined when there is none; a symlink or anything else under that name holds no rules. */
function readIgnoreFile(path: string): string | undefined {
  const stats = lstatIfExists(path);
  if (stats === undefined || !isRegular(stats.mode)) return undefined;
  return withFileIfExists(path, (file) => {
    const size = fstatSync(file).size;
    if (size > IGNORE_BYTES_MAX) {
      throw new MicError("too-large", `${path} is larger than ${IGNORE_BYTES_MAX} bytes`, {
        hint: "an ignore file holds patterns, one per line",
      });
    }
    const bytes = new Uint8Array(size);
    return asBuffer(bytes.subarray(0, readSync(file, bytes, 0, size, 0))).toString("utf8");
  });
}

function isRegular(mode: number): boolean {
  const kind = kindOfMode(mode);
  return kind === "file" || kind === "executable";
}
