/**
 * The next version of an index where files come and go: old directories and new ones in path order. Files of
 * directories without edits are copied in bulk.
 */
import { asBuffer } from "../../base/bytes.ts";
import { GarbagePace } from "../../base/garbage.ts";
import { objectIdToBytes } from "../../base/ids.ts";
import type { List } from "../../base/list.ts";
import { comparePaths, type TreePath } from "../../base/path.ts";
import type { IndexColumns } from "../../codec/workspace-index.ts";
import type { FileStat } from "../disk/stat.ts";
import { type RowColumns, writeRow } from "./row.ts";
import { IndexRows, pathsOf } from "./rows.ts";
import type { IndexChange, IndexEntry, WorkspaceIndex } from "./workspace-index.ts";

/** Edits of one directory: the number of an upsert, or ~ the number of a remove. */
export type DirectoryEdits = readonly number[];

/** `old`: the index's columns, perhaps with fresher stat data. */
export function rebuildColumns(
  index: WorkspaceIndex,
  old: IndexColumns,
  change: IndexChange,
  edits: Map<string, DirectoryEdits>,
) {
  const builder = new ColumnsBuilder(old, change.upserts ?? [], change.removes ?? []);
  const plan = planDirectories(index, edits);
  const pace = new GarbagePace();
  for (const dir of plan) {
    const numbers = edits.get(dir.path);
    builder.directory(dir.path, dir.old, numbers);
    if (numbers !== undefined) pace.passed(numbers.length);
  }
  return builder.finish(change);
}

interface PlannedDirectory {
  readonly path: string;
  /** Number in the old index, or -1. */
  readonly old: number;
}

/** Old directories and those that edits may need, in path order. */
function planDirectories(index: WorkspaceIndex, edits: Map<string, DirectoryEdits>): PlannedDirectory[] {
  const fresh = new Set<string>();
  for (const [path, numbers] of edits) {
    if (!numbers.some((number) => number >= 0)) continue;
    for (let dir = path; !fresh.has(dir) && index.directoryNumber(dir) === -1; ) {
      fresh.add(dir);
      const slash = dir.lastIndexOf("/");
      if (slash === -1) break;
      dir = dir.slice(0, slash);
    }
  }
  const added = [...fresh].sort(comparePaths);
  const plan: PlannedDirectory[] = [];
  let next = 0;
  for (let old = 0; old < index.directoryCount; old++) {
    const path = index.directoryPath(old);
    while (next < added.length && comparePaths(added[next]!, path) < 0) {
      plan.push({ path: added[next++]!, old: -1 });
    }
    plan.push({ path, old });
  }
  while (next < added.length) plan.push({ path: added[next++]!, old: -1 });
  return plan;
}

interface NamedEdit {
  readonly name: string;
  /** Of an upsert, or ~ of a remove. */
  readonly number: number;
}

/** Takes directories in path order. Those that end up without a file below them are left out. */
class ColumnsBuilder {
  readonly #old: IndexColumns;
  readonly #upserts: List<IndexEntry>;
  readonly #removes: readonly TreePath[];

  readonly #nameParts: string[] = [];
  /** Parts that are not of single files. */
  #joined = 0;
  #nameLength = 0;
  readonly #nameEnd: Uint32Array;
  readonly #kind: Uint8Array;
  readonly #size: Float64Array;
  readonly #mtime: Float64Array;
  readonly #ctime: Float64Array;
  readonly #ino: Float64Array;
  readonly #hint: Float64Array;
  readonly #ids: Uint8Array;
  /** The columns above, as `writeRow` takes them. */
  readonly #row: RowColumns;
  #files = 0;
  readonly #chunkedFile: number[] = [];
  readonly #chunkLists: Uint8Array[] = [];
  #oldChunked = 0;

  /** Old files waiting to be copied, [start, end). */
  #runStart = 0;
  #runEnd = 0;

  readonly #dirPath: string[] = [];
  readonly #dirOld: number[] = [];
  readonly #dirFirst: number[] = [];

  constructor(old: IndexColumns, upserts: List<IndexEntry>, removes: readonly TreePath[]) {
    this.#old = old;
    this.#upserts = upserts;
    this.#removes = removes;
    const capacity = old.nameEnd.length + upserts.length;
    this.#nameEnd = new Uint32Array(capacity);
    this.#kind = new Uint8Array(capacity);
    this.#size = new Float64Array(capacity);
    this.#mtime = new Float64Array(capacity);
    this.#ctime = new Float64Array(capacity);
    this.#ino = new Float64Array(capacity);
    this.#hint = new Float64Array(capacity);
    this.#ids = new Uint8Array(capacity * 32);
    this.#row = {
      kind: this.#kind,
      size: this.#size,
      mtime: this.#mtime,
      ctime: this.#ctime,
      ino: this.#ino,
      hint: this.#hint,
      ids: asBuffer(this.#ids),
    };
  }

  directory(path: string, oldDir: number, edits: DirectoryEdits | undefined): void {
    this.#dirPath.push(path);
    this.#dirOld.push(oldDir);
    this.#dirFirst.push(this.#files + this.#runEnd - this.#runStart);
    const first = oldDir === -1 ? 0 : this.#old.dirFirst[oldDir]!;
    const after = oldDir === -1 ? 0 : this.#old.dirFirst[oldDir + 1]!;
    if (edits === undefined) {
      this.#copy(first, after);
      return;
    }
    this.#merge(first, after, edits);
    this.#joinNames();
  }

  #merge(first: number, after: number, edits: DirectoryEdits): void {
    const { nameText, nameEnd } = this.#old;
    let file = first;
    for (const { name, number } of this.#namedEdits(edits)) {
      for (; file < after; file++) {
        const oldName = nameText.slice(file === 0 ? 0 : nameEnd[file - 1], nameEnd[file]);
        const order = comparePaths(oldName, name);
        if (order > 0) break;
        if (order < 0) {
          this.#copy(file, file + 1);
        } else {
          file++;
          break;
        }
      }
      if (number >= 0) this.#append(name, number);
    }
    this.#copy(file, after);
  }

  /** One edit per name, by name. */
  #namedEdits(edits: DirectoryEdits): readonly NamedEdit[] {
    const named = edits.map((number): NamedEdit => {
      const path = number < 0 ? this.#removes[~number]! : this.#pathOf(number);
      return { name: path.slice(path.lastIndexOf("/") + 1), number };
    });
    // Upserts mostly come in path order, in which the names of one directory are sorted.
    const isSorted = named.every(({ name }, i) => i === 0 || comparePaths(named[i - 1]!.name, name) < 0);
    if (isSorted) return named;
    // Sorting keeps the order of equals, and upserts come after removes: the last one counts.
    named.sort((a, b) => comparePaths(a.name, b.name));
    return named.filter(({ name }, i) => name !== named[i + 1]?.name);
  }

  #copy(start: number, end: number): void {
    if (start === end) return;
    if (start !== this.#runEnd || this.#runStart === this.#runEnd) {
      this.#flush();
      this.#runStart = start;
    }
    this.#runEnd = end;
  }

  /** The names since the last time become one string. */
  #joinNames(): void {
    const { length } = this.#nameParts;
    if (length - this.#joined > 1) this.#nameParts.push(this.#nameParts.splice(this.#joined).join(""));
    this.#joined = this.#nameParts.length;
  }

  #flush(): void {
    const start = this.#runStart;
    const end = this.#runEnd;
    this.#runStart = this.#runEnd;
    if (start === end) return;
    const old = this.#old;
    const at = this.#files;
    const textStart = start === 0 ? 0 : old.nameEnd[start - 1]!;
    const shift = this.#nameLength - textStart;
    this.#nameParts.push(old.nameText.slice(textStart, old.nameEnd[end - 1]));
    for (let i = start; i < end; i++) this.#nameEnd[at + i - start] = old.nameEnd[i]! + shift;
    this.#nameLength = this.#nameEnd[at + end - start - 1]!;
    this.#kind.set(old.kind.subarray(start, end), at);
    this.#size.set(old.size.subarray(start, end), at);
    this.#mtime.set(old.mtime.subarray(start, end), at);
    this.#ctime.set(old.ctime.subarray(start, end), at);
    this.#ino.set(old.ino.subarray(start, end), at);
    this.#hint.set(old.hint.subarray(start, end), at);
    this.#ids.set(old.ids.subarray(start * 32, end * 32), at * 32);
    const { chunkedFile, chunkLists } = old;
    while (this.#oldChunked < chunkedFile.length && chunkedFile[this.#oldChunked]! < end) {
      const file = chunkedFile[this.#oldChunked]!;
      if (file >= start) {
        this.#chunkedFile.push(at + file - start);
        this.#chunkLists.push(chunkLists.subarray(this.#oldChunked * 32, this.#oldChunked * 32 + 32));
      }
      this.#oldChunked++;
    }
    this.#files = at + end - start;
  }

  #pathOf(upsert: number): TreePath {
    const upserts = this.#upserts;
    return upserts instanceof IndexRows ? upserts.path(upsert) : upserts.at(upsert)!.path;
  }

  #append(name: string, upsert: number): void {
    this.#flush();
    const file = this.#files++;
    this.#nameParts.push(name);
    this.#nameLength += name.length;
    this.#nameEnd[file] = this.#nameLength;
    const upserts = this.#upserts;
    if (upserts instanceof IndexRows && upserts.write(upsert, this.#row, file)) return;
    const row = upserts.at(upsert)!;
    const { entry } = row;
    writeRow(this.#row, file, row);
    if (entry.chunks !== undefined) {
      this.#chunkedFile.push(file);
      this.#chunkLists.push(objectIdToBytes(entry.chunks));
    }
  }

  finish(change: IndexChange): Omit<IndexColumns, "position" | "root"> {
    this.#flush();
    const files = this.#files;
    const chunkLists = new Uint8Array(this.#chunkLists.length * 32);
    this.#chunkLists.forEach((id, i) => {
      chunkLists.set(id, i * 32);
    });
    return {
      ...this.#finishDirectories(change),
      nameText: this.#nameParts.join(""),
      nameEnd: this.#nameEnd.subarray(0, files),
      kind: this.#kind.subarray(0, files),
      size: this.#size.subarray(0, files),
      mtime: this.#mtime.subarray(0, files),
      ctime: this.#ctime.subarray(0, files),
      ino: this.#ino.subarray(0, files),
      hint: this.#hint.subarray(0, files),
      ids: this.#ids.subarray(0, files * 32),
      chunkedFile: Uint32Array.from(this.#chunkedFile),
      chunkLists,
    };
  }

  #finishDirectories(change: IndexChange) {
    const keep = this.#directoriesWithFiles();
    const count = keep.length;
    const dirEnd = new Uint32Array(count);
    const dirFirst = new Uint32Array(count + 1);
    const dirAfter = new Uint32Array(count);
    const numbers = new Map<string, number>();
    const open: number[] = [];
    let length = 0;
    keep.forEach((dir, i) => {
      const path = this.#dirPath[dir]!;
      length += path.length;
      dirEnd[i] = length;
      dirFirst[i] = this.#dirFirst[dir]!;
      numbers.set(path, i);
      while (open.length > 0 && !contains(this.#dirPath[keep[open.at(-1)!]!]!, path))
        dirAfter[open.pop()!] = i;
      open.push(i);
    });
    for (const i of open) dirAfter[i] = count;
    dirFirst[count] = this.#files;
    return {
      dirText: keep.map((dir) => this.#dirPath[dir]!).join(""),
      dirEnd,
      dirFirst,
      dirAfter,
      ...this.#directoryStats(change, keep, numbers),
      ...this.#ignoreFiles(change, numbers),
    };
  }

  /** The root, and every directory with a file at any depth, by number in the plan. */
  #directoriesWithFiles(): number[] {
    const keep: number[] = [];
    let needed: string | undefined;
    for (let dir = this.#dirPath.length - 1; dir >= 0; dir--) {
      const path = this.#dirPath[dir]!;
      const end = dir + 1 < this.#dirFirst.length ? this.#dirFirst[dir + 1]! : this.#files;
      const hasFiles = end > this.#dirFirst[dir]!;
      if (!hasFiles && path !== "" && (needed === undefined || !contains(path, needed))) continue;
      keep.push(dir);
      // Going backwards, everything below `path` came before it, so the last one kept decides.
      needed = path;
    }
    return keep.reverse();
  }

  #directoryStats(change: IndexChange, keep: readonly number[], numbers: Map<string, number>) {
    const old = this.#old;
    const dirMtime = new Float64Array(keep.length).fill(Number.NaN);
    const dirCtime = new Float64Array(keep.length).fill(Number.NaN);
    const dirIno = new Float64Array(keep.length);
    keep.forEach((dir, i) => {
      const oldDir = this.#dirOld[dir]!;
      if (oldDir === -1) return;
      dirMtime[i] = old.dirMtime[oldDir]!;
      dirCtime[i] = old.dirCtime[oldDir]!;
      dirIno[i] = old.dirIno[oldDir]!;
    });
    for (const { path, stat } of change.scan?.directories ?? []) {
      const i = numbers.get(path);
      if (i === undefined) continue;
      dirMtime[i] = stat?.mtimeMs ?? Number.NaN;
      dirCtime[i] = stat?.ctimeMs ?? Number.NaN;
      dirIno[i] = stat?.ino ?? 0;
    }
    const distrust = (path: string): void => {
      dirMtime[deepest(numbers, path)] = Number.NaN;
    };
    // Whatever is on disk and not tracked must be found again: it is in a directory that has to be read.
    const untracked = change.scan?.untracked ?? [];
    const removes = change.removes ?? [];
    if (untracked.length + removes.length > 0) {
      const upserted = new Set<string>();
      for (const path of pathsOf(change.upserts ?? [])) upserted.add(path);
      const deleted = new Set<string>(change.scan?.deleted ?? []);
      for (const path of untracked) if (!upserted.has(path)) distrust(path);
      for (const path of removes) if (!upserted.has(path) && !deleted.has(path)) distrust(path);
    }
    if (keep.length < this.#dirPath.length) {
      for (const path of this.#dirPath) if (!numbers.has(path)) distrust(path);
    }
    return { dirMtime, dirCtime, dirIno };
  }

  #ignoreFiles(change: IndexChange, numbers: Map<string, number>) {
    const dirs: number[] = [];
    const names: number[] = [];
    const stats: number[] = [];
    const add = (path: string, name: number, stat: FileStat): void => {
      const dir = numbers.get(path);
      if (dir === undefined) return;
      dirs.push(dir);
      names.push(name);
      stats.push(stat.mtimeMs, stat.ctimeMs, stat.size, stat.ino);
    };
    if (change.scan !== undefined) {
      for (const file of change.scan.ignoreFiles) add(file.dir, file.name, file.stat);
    } else {
      const { ignoreDir, ignoreName, ignoreStat: s, dirText, dirEnd } = this.#old;
      for (let i = 0; i < ignoreDir.length; i++) {
        const dir = ignoreDir[i]!;
        const path = dirText.slice(dir === 0 ? 0 : dirEnd[dir - 1], dirEnd[dir]);
        const at = i * 4;
        add(path, ignoreName[i]!, {
          mtimeMs: s[at]!,
          ctimeMs: s[at + 1]!,
          size: s[at + 2]!,
          ino: s[at + 3]!,
        });
      }
    }
    return {
      ignoreDir: Uint32Array.from(dirs),
      ignoreName: Uint32Array.from(names),
      ignoreStat: Float64Array.from(stats),
    };
  }
}

/** True when `path` lies below `dir`. */
function contains(dir: string, path: string): boolean {
  return dir === "" || (path.length > dir.length && path[dir.length] === "/" && path.startsWith(dir));
}

/** Number of the deepest known directory that holds `path`, itself excluded. */
function deepest(numbers: Map<string, number>, path: string): number {
  for (let slash = path.lastIndexOf("/"); slash !== -1; slash = path.lastIndexOf("/", slash - 1)) {
    const dir = numbers.get(path.slice(0, slash));
    if (dir !== undefined) return dir;
  }
  return 0;
}
