/**
 * The walk itself, synchronous, run by the main thread and the scan's worker over parts of the tree. For a
 * clean workspace it does one lstat per directory and file and nothing else.
 */
import { lstatSync, readdirSync, type Stats } from "node:fs";
import { asBuffer } from "../../base/bytes.ts";
import { isMicError } from "../../base/errors.ts";
import {
  type FileKind,
  type FileStat,
  fileStatOf,
  kindOfMode,
  lstatIfExists,
  trustedStat,
} from "../disk/stat.ts";
import { IGNORE_FILE_NAMES } from "../index/scan-findings.ts";
import type { WorkspaceIndex } from "../index/workspace-index.ts";
import { isMissing } from "../layout.ts";
import { sparseRelation } from "../sparse.ts";
import { ScanBatch } from "./batch.ts";
import { type IgnoreScope, isIgnored, openIgnoreScope } from "./ignore.ts";
import { asMicError, findProblem, ignoreFilesAmong, numbersOf, showBytes } from "./names.ts";

/** As in the index's kind column. */
const KIND_NUMBER: Readonly<Partial<Record<FileKind, number>>> = { file: 0, executable: 1, symlink: 2 };
const SYMLINK = 2;
/** Directories of version control systems, in any case: passed over without a word. */
const OWN_DIRECTORY = /^\.(?:mic|git|hg|jj)$/i;
/** What a decoder puts where a name is not UTF-8; a name may also hold it honestly. */
const REPLACEMENT = "\ufffd";

/** A tracked file whose stat data say nothing: its content decides. */
export interface Suspect {
  readonly file: number;
  readonly path: string;
  readonly kind: number;
  readonly stat: FileStat;
}

export interface WalkOptions {
  readonly root: string;
  readonly index: WorkspaceIndex;
  readonly sparse: readonly string[] | undefined;
  /** Time of the file system before the walk: see stat.ts. */
  readonly stampMs: number;
  /** The file system knows no execute bit: a tracked file keeps its kind. */
  readonly keepModes: boolean;
}

export class ScanWalk {
  readonly batch = new ScanBatch();
  /** To be compared by content by the caller, who empties it. */
  readonly suspects: Suspect[] = [];
  /** Untracked directories to walk, when `deferring`. */
  pending: string[] = [];
  deferring = false;

  readonly #root: string;
  readonly #index: WorkspaceIndex;
  readonly #sparse: readonly string[] | undefined;
  readonly #stampMs: number;
  readonly #keepModes: boolean;
  /** 1 for each directory whose ignore rules may have changed since it was read. */
  readonly #mustRead: Uint8Array;
  /** Bit i: the directory had ignore file i when the index was made. */
  readonly #knownIgnoreFiles = new Map<number, number>();
  readonly #scopes = new Map<string, IgnoreScope>();

  constructor(options: WalkOptions) {
    this.#root = options.root;
    this.#index = options.index;
    this.#sparse = options.sparse;
    this.#stampMs = options.stampMs;
    this.#keepModes = options.keepModes;
    this.#mustRead = new Uint8Array(options.index.directoryCount);
    this.#checkIgnoreFiles();
  }

  #absolute(path: string): string {
    return path === "" ? this.#root : `${this.#root}/${path}`;
  }

  /** An ignore file that is not what it was: everything at and below its directory is read again. */
  #checkIgnoreFiles(): void {
    const { ignoreDir, ignoreName, ignoreStat, dirAfter } = this.#index.columns;
    for (let i = 0; i < ignoreDir.length; i++) {
      const dir = ignoreDir[i]!;
      const name = ignoreName[i]!;
      this.#knownIgnoreFiles.set(dir, (this.#knownIgnoreFiles.get(dir) ?? 0) | (1 << name));
      const dirPath = this.#index.directoryPath(dir);
      const stats = lstatIfExists(`${this.#absolute(dirPath)}/${IGNORE_FILE_NAMES[name]}`);
      const same =
        stats !== undefined &&
        stats.mtimeMs === ignoreStat[i * 4] &&
        stats.ctimeMs === ignoreStat[i * 4 + 1] &&
        stats.size === ignoreStat[i * 4 + 2] &&
        stats.ino === ignoreStat[i * 4 + 3];
      if (!same) this.#mustRead.fill(1, dir, dirAfter[dir]!);
    }
  }

  // Tracked directories

  /** Tracked directories [from, to) of the index, and whatever untracked is in them. */
  tracked(from: number, to: number): void {
    let dir = this.#enter(from, to);
    while (dir < to) dir = this.#trackedDirectory(dir, to);
  }

  /**
   * A part of the tree that starts below other directories: those are another part's, but whether they are
   * still there, and with the same ignore rules, matters here too. Returns the first directory to look at.
   */
  #enter(from: number, to: number): number {
    const { dirAfter } = this.#index.columns;
    if (from === 0) return from;
    const path = this.#index.directoryPath(from);
    for (let slash = -1; ; ) {
      const ancestor = slash === -1 ? "" : path.slice(0, slash);
      const dir = this.#index.directoryNumber(ancestor);
      const stats = lstatIfExists(this.#absolute(ancestor));
      if (!stats?.isDirectory()) {
        const end = Math.min(dirAfter[dir]!, to);
        this.#deleted(from, end);
        return end;
      }
      if (!this.#isUnchanged(dir, stats)) {
        this.#noteIgnoreFiles(dir, this.#readNames(ancestor));
      }
      slash = path.indexOf("/", slash + 1);
      if (slash === -1) return from;
    }
  }

  #isUnchanged(dir: number, stats: Stats): boolean {
    const { dirMtime, dirCtime, dirIno } = this.#index.columns;
    return (
      stats.mtimeMs === dirMtime[dir] &&
      stats.ctimeMs === dirCtime[dir] &&
      stats.ino === dirIno[dir] &&
      this.#mustRead[dir] === 0
    );
  }

  /** Looks at one directory and returns the next; `to` bounds what is reported as deleted. */
  #trackedDirectory(dir: number, to: number): number {
    const path = this.#index.directoryPath(dir);
    const { dirAfter } = this.#index.columns;
    const relation = sparseRelation(this.#sparse, path);
    if (relation === "outside") return dirAfter[dir]!;
    const absolute = this.#absolute(path);
    const stats = this.#lstat(absolute);
    if (stats === undefined || !stats.isDirectory()) {
      this.#deleted(dir, Math.min(dirAfter[dir]!, to));
      const slash = path.lastIndexOf("/");
      if (stats !== undefined) {
        this.#untracked(slash === -1 ? "" : path.slice(0, slash), path.slice(slash + 1));
      }
      return dirAfter[dir]!;
    }
    this.batch.directoriesSeen++;
    if (relation === "inside" && this.#isUnchanged(dir, stats)) this.#statFiles(dir, path, absolute);
    else this.#readTracked(dir, path, absolute, stats, relation === "inside");
    return dir + 1;
  }

  /** The hot loop: a directory whose names are known to be the tracked ones. */
  #statFiles(dir: number, path: string, absolute: string): void {
    const { dirFirst, mtime, ctime, size, ino, nameText, nameEnd } = this.#index.columns;
    const prefix = `${absolute}/`;
    const first = dirFirst[dir]!;
    const end = dirFirst[dir + 1]!;
    let start = first === 0 ? 0 : nameEnd[first - 1]!;
    for (let file = first; file < end; file++) {
      const nextStart = nameEnd[file]!;
      const name = nameText.slice(start, nextStart);
      start = nextStart;
      const stats = this.#lstatKnown(prefix + name);
      if (
        stats === undefined ||
        stats.mtimeMs !== mtime[file] ||
        stats.ctimeMs !== ctime[file] ||
        stats.size !== size[file] ||
        stats.ino !== ino[file]
      ) {
        this.#differs(file, path, name, stats);
      }
      if (stats !== undefined && stats.nlink > 1) this.batch.linked.push(file);
    }
    this.batch.filesSeen += end - first;
  }

  #readTracked(dir: number, path: string, absolute: string, stats: Stats, inside: boolean): void {
    const names = new Set(this.#readNames(path));
    const ignoreFiles = this.#noteIgnoreFiles(dir, names);
    this.#record(path, absolute, inside ? stats : undefined, ignoreFiles);
    const { columns } = this.#index;
    for (let file = columns.dirFirst[dir]!; file < columns.dirFirst[dir + 1]!; file++) {
      const name = this.#index.fileName(file);
      if (!inside && sparseRelation(this.#sparse, join(path, name)) !== "inside") {
        names.delete(name);
        continue;
      }
      this.batch.filesSeen++;
      this.#compare(
        file,
        path,
        name,
        names.delete(name) ? this.#lstatKnown(`${absolute}/${name}`) : undefined,
      );
    }
    const skip = path === "" ? 0 : path.length + 1;
    for (let child = dir + 1; child < columns.dirAfter[dir]!; child = columns.dirAfter[child]!) {
      names.delete(this.#index.directoryPath(child).slice(skip));
    }
    this.#untrackedNames(path, names);
  }

  #compare(file: number, dirPath: string, name: string, stats: Stats | undefined): void {
    const { mtime, ctime, size, ino } = this.#index.columns;
    if (stats !== undefined && stats.nlink > 1) this.batch.linked.push(file);
    if (
      stats === undefined ||
      stats.mtimeMs !== mtime[file] ||
      stats.ctimeMs !== ctime[file] ||
      stats.size !== size[file] ||
      stats.ino !== ino[file]
    ) {
      this.#differs(file, dirPath, name, stats);
    }
  }

  /** Every tracked file of directories [from, to) is gone. */
  #deleted(from: number, to: number): void {
    const { dirFirst } = this.#index.columns;
    for (let dir = from; dir < to; dir++) {
      const path = this.#index.directoryPath(dir);
      if (sparseRelation(this.#sparse, path) === "outside") continue;
      for (let file = dirFirst[dir]!; file < dirFirst[dir + 1]!; file++) {
        const filePath = join(path, this.#index.fileName(file));
        if (sparseRelation(this.#sparse, filePath) !== "inside") continue;
        this.batch.change("delete", filePath, file, -1, undefined);
      }
    }
  }

  #differs(file: number, dirPath: string, name: string, stats: Stats | undefined): void {
    const path = join(dirPath, name);
    if (stats === undefined) {
      this.batch.change("delete", path, file, -1, undefined);
      return;
    }
    let kind = KIND_NUMBER[kindOfMode(stats.mode)];
    if (kind === undefined) {
      this.batch.change("delete", path, file, -1, undefined);
      this.#untracked(dirPath, name);
      return;
    }
    const { columns } = this.#index;
    const stat = fileStatOf(stats);
    const before = columns.kind[file]!;
    if (this.#keepModes && kind !== SYMLINK && before !== SYMLINK) kind = before;
    if ((kind === SYMLINK) !== (before === SYMLINK)) this.batch.change("type", path, file, kind, stat);
    else if (stats.size !== columns.size[file]) this.batch.change("modify", path, file, kind, stat);
    else this.suspects.push({ file, path, kind, stat });
  }

  // Untracked names

  /** The directories that are `pending`, at any depth or, when deferring, one level. */
  untrackedDirectory(path: string): void {
    const stats = this.#lstat(this.#absolute(path));
    if (stats?.isDirectory() && !this.#walkUntracked(path, stats)) this.batch.unseen.push(path);
  }

  /** True when something in it is visible: a file to add, or anything that has to be reported. */
  #walkUntracked(path: string, stats: Stats): boolean {
    let names: string[];
    try {
      names = this.#readNames(path);
    } catch (error) {
      if (!isMicError(error, "forbidden")) throw error;
      return this.#refuse(path, "cannot be read: permission denied");
    }
    this.batch.directoriesSeen++;
    names.sort();
    const present = ignoreFilesAmong(names);
    this.#scopes.set(
      path,
      openIgnoreScope(this.#root, path, this.#scopeOf(parentOf(path)), numbersOf(present)),
    );
    this.#record(path, this.#absolute(path), stats, present);
    const visible = this.#untrackedNames(path, names);
    // Its rules are not needed any more, unless its children were put off.
    if (!this.deferring) this.#scopes.delete(path);
    return visible;
  }

  #untrackedNames(dirPath: string, names: Iterable<string>): boolean {
    let visible = false;
    for (const name of names) if (this.#untracked(dirPath, name)) visible = true;
    return visible;
  }

  /** True when there is something to add or to report; false for what is ignored, and for empty directories. */
  #untracked(dirPath: string, name: string): boolean {
    if (OWN_DIRECTORY.test(name)) return false;
    const path = join(dirPath, name);
    const relation = sparseRelation(this.#sparse, path);
    if (relation === "outside") return false;
    let stats: Stats | undefined;
    try {
      stats = this.#lstatKnown(this.#absolute(path));
    } catch (error) {
      if (!isMicError(error, "too-large")) throw error;
      return this.#refuse(path, "is too long for the file system");
    }
    if (stats === undefined) return false;
    const kind = kindOfMode(stats.mode);
    if (isIgnored(this.#scopeOf(dirPath), name, kind === "directory")) return false;
    const problem = findProblem(path, name);
    if (problem !== undefined) return this.#refuse(path, problem);
    if (kind === "directory") return this.#foundDirectory(path, stats);
    if (relation !== "inside") return false;
    const number = KIND_NUMBER[kind];
    if (number === undefined) {
      this.batch.skipped.push({ path, reason: kind });
      this.batch.unseen.push(path);
      return true;
    }
    this.batch.filesSeen++;
    this.batch.change("add", path, -1, number, fileStatOf(stats));
    return true;
  }

  #foundDirectory(path: string, stats: Stats): boolean {
    if (this.deferring) {
      this.pending.push(path);
      return true;
    }
    const visible = this.#walkUntracked(path, stats);
    if (!visible) this.batch.unseen.push(path);
    return visible;
  }

  #refuse(path: string, reason: string): boolean {
    this.batch.refused.push({ path, reason });
    this.batch.unseen.push(path);
    return true;
  }

  // Reading directories

  /** Names that are not UTF-8 are reported and left out. */
  #readNames(path: string): string[] {
    const absolute = this.#absolute(path);
    let names: string[];
    try {
      names = readdirSync(absolute);
    } catch (error) {
      // It was there a moment ago: what vanishes during a scan was deleted.
      if (isMissing(error)) return [];
      throw asMicError(error, absolute);
    }
    if (!names.some((name) => name.includes(REPLACEMENT))) return names;
    const valid: string[] = [];
    for (const raw of readdirSync(absolute, "buffer")) {
      const name = asBuffer(raw).toString("utf8");
      if (Buffer.from(name, "utf8").equals(raw)) {
        valid.push(name);
      } else if (!isIgnored(this.#scopeOf(path), name, false)) {
        this.#refuse(join(path, showBytes(raw)), "has a name that is not UTF-8");
      }
    }
    return valid;
  }

  #record(path: string, absolute: string, stats: Stats | undefined, ignoreFiles: number): void {
    this.batch.directory(path, stats && trustedStat(fileStatOf(stats), this.#stampMs));
    for (const name of numbersOf(ignoreFiles)) {
      const file = this.#lstat(`${absolute}/${IGNORE_FILE_NAMES[name]}`);
      if (file === undefined) continue;
      const stat = fileStatOf(file);
      // Without trust no stat data will do: NaN equals nothing.
      const kept = trustedStat(stat, this.#stampMs) ?? { ...stat, ctimeMs: Number.NaN };
      this.batch.ignoreFiles.push({ dir: path, name, stat: kept });
    }
  }

  /** Which ignore files a directory that was read has; other than before, and everything below is read. */
  #noteIgnoreFiles(dir: number, names: Iterable<string>): number {
    const present = ignoreFilesAmong(names);
    if (present !== (this.#knownIgnoreFiles.get(dir) ?? 0)) {
      this.#mustRead.fill(1, dir, this.#index.columns.dirAfter[dir]!);
    }
    return present;
  }

  #scopeOf(dirPath: string): IgnoreScope {
    let scope = this.#scopes.get(dirPath);
    if (scope === undefined) {
      const parent = dirPath === "" ? undefined : this.#scopeOf(parentOf(dirPath));
      scope = openIgnoreScope(this.#root, dirPath, parent);
      this.#scopes.set(dirPath, scope);
    }
    return scope;
  }

  /**
   * For what should be there, since its directory says so: without the options that keep a miss from
   * throwing, which cost a quarter of the time that lstat spends outside the system.
   */
  #lstatKnown(path: string): Stats | undefined {
    try {
      return lstatSync(path);
    } catch {
      return this.#lstat(path);
    }
  }

  #lstat(path: string): Stats | undefined {
    try {
      return lstatIfExists(path);
    } catch (error) {
      throw asMicError(error, path);
    }
  }
}

function join(dir: string, name: string): string {
  return dir === "" ? name : `${dir}/${name}`;
}

function parentOf(path: string): string {
  const slash = path.lastIndexOf("/");
  return slash === -1 ? "" : path.slice(0, slash);
}
