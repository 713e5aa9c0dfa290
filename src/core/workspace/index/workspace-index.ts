/**
 * The index of a workspace: what its base position holds at each path, and the stat data that show whether a
 * file is still that. Immutable; `update` makes the next one. Base and entries are one file, so that they
 * change together.
 */
import { fstatSync, readSync } from "node:fs";
import { corrupt, isMicError, MicError } from "../../base/errors.ts";
import {
  EMPTY_ROOT,
  type ObjectId,
  objectIdFromBytes,
  objectIdToBytes,
  POSITION_ZERO,
} from "../../base/ids.ts";
import type { List } from "../../base/list.ts";
import { comparePaths, type TreePath } from "../../base/path.ts";
import type { EntryKind, TreeEntry } from "../../codec/tree-entry.ts";
import {
  decodeWorkspaceIndex,
  encodeWorkspaceIndex,
  type IndexColumns,
} from "../../codec/workspace-index.ts";
import type { PositionRef } from "../../forge/forge.ts";
import { writeFileAtomic } from "../disk/atomic-file.ts";
import { withFileIfExists } from "../disk/open-file.ts";
import type { FileStat } from "../disk/stat.ts";
import { INDEX_FILE, metaPath } from "../layout.ts";
import { IdTable } from "./id-table.ts";
import type { ScanFindings } from "./scan-findings.ts";
import { updateColumns } from "./update.ts";

export interface IndexEntry {
  readonly path: TreePath;
  readonly entry: TreeEntry;
  /** Position at which the content was introduced, 0 when unknown. */
  readonly hint: number;
  /** Trusted stat data of a file with exactly this content (see stat.ts); undefined: compare content. */
  readonly stat: FileStat | undefined;
}

export interface IndexChange {
  readonly base?: PositionRef;
  /** One per path, any order. */
  readonly upserts?: List<IndexEntry>;
  /** Any order; a path that is not there is left so. A path that is also upserted is upserted. */
  readonly removes?: readonly TreePath[];
  /** What a scan of this very index learned: refreshed stat data, and directories that need no reading. */
  readonly scan?: ScanFindings;
}

const KINDS: readonly EntryKind[] = ["file", "executable", "symlink"];
/** Above this the bytes are put in shared memory, for the scan's worker. */
const SHARE_BYTES_MIN = 256 << 10;

export class WorkspaceIndex {
  /** For the scan: views that must not be written to. */
  readonly columns: IndexColumns;
  /** The file as it was loaded, in shared memory when the index is large. */
  readonly sharedBytes: SharedArrayBuffer | undefined;
  #byId: IdTable | undefined;

  private constructor(columns: IndexColumns, sharedBytes?: SharedArrayBuffer) {
    this.columns = columns;
    this.sharedBytes = sharedBytes;
  }

  static empty(base: PositionRef = { position: POSITION_ZERO, root: EMPTY_ROOT }): WorkspaceIndex {
    return new WorkspaceIndex(emptyColumns(base));
  }

  /** Empty at position 0 when there is no index. Errors: `corrupt`, `unsupported`. */
  static load(root: string): WorkspaceIndex {
    const path = metaPath(root, INDEX_FILE);
    const bytes = readAligned(path);
    if (bytes === undefined) return WorkspaceIndex.empty();
    let columns: IndexColumns;
    try {
      columns = decodeWorkspaceIndex(bytes);
    } catch (error) {
      if (!isMicError(error, "corrupt")) throw error;
      throw new MicError("corrupt", `${path}: ${error.message}`, {
        hint: "no file of yours is affected; delete it and run `mic sync`: what differs from the newest position becomes a conflict",
        cause: error,
        data: error.data,
      });
    }
    return new WorkspaceIndex(columns, bytes.buffer instanceof SharedArrayBuffer ? bytes.buffer : undefined);
  }

  /** For the scan's worker: the index that another thread has loaded. */
  static fromShared(bytes: SharedArrayBuffer): WorkspaceIndex {
    return new WorkspaceIndex(decodeWorkspaceIndex(new Uint8Array(bytes), { verified: true }), bytes);
  }

  static fromBytes(bytes: Uint8Array): WorkspaceIndex {
    return new WorkspaceIndex(decodeWorkspaceIndex(bytes));
  }

  get base(): PositionRef {
    return { position: this.columns.position, root: this.columns.root };
  }

  /** Tracked entries. */
  get count(): number {
    return this.columns.nameEnd.length;
  }

  get directoryCount(): number {
    return this.columns.dirEnd.length;
  }

  find(path: string): IndexEntry | undefined {
    const file = this.fileNumber(path);
    return file === -1 ? undefined : this.#entryAt(file, path as TreePath);
  }

  /** True when some tracked entry lies below `path`. */
  hasDirectory(path: string): boolean {
    return this.directoryNumber(path) > 0 || (path === "" && this.count > 0);
  }

  /** Entries in path order: all of them, or those at or below `within`. */
  *entries(within: TreePath | "" = ""): Generator<IndexEntry, void, undefined> {
    if (within !== "") {
      const own = this.find(within);
      if (own !== undefined) yield own;
    }
    const dir = this.directoryNumber(within);
    if (dir !== -1) yield* this.#entriesBelow(dir);
  }

  *#entriesBelow(dir: number): Generator<IndexEntry, void, undefined> {
    const { dirFirst, dirAfter } = this.columns;
    const path = this.directoryPath(dir);
    const prefix = path === "" ? "" : `${path}/`;
    let file = dirFirst[dir]!;
    const files = dirFirst[dir + 1]!;
    for (let child = dir + 1; child < dirAfter[dir]!; child = dirAfter[child]!) {
      const childPath = this.directoryPath(child);
      for (; file < files; file++) {
        const filePath = prefix + this.fileName(file);
        if (comparePaths(filePath, childPath) > 0) break;
        yield this.#entryAt(file, filePath as TreePath);
      }
      yield* this.#entriesBelow(child);
    }
    for (; file < files; file++) yield this.#entryAt(file, (prefix + this.fileName(file)) as TreePath);
  }

  /** Some entry with this content: for renames, and for content that need not be sent again. */
  findById(id: ObjectId): IndexEntry | undefined {
    const file = this.#findId(id);
    return file === -1 ? undefined : this.#entryAt(file, this.filePath(file));
  }

  /** Hint of content that the base holds (0: position unknown), or undefined when it holds no such content. */
  hintOf(id: ObjectId): number | undefined {
    const file = this.#findId(id);
    return file === -1 ? undefined : this.columns.hint[file]!;
  }

  update(change: IndexChange): WorkspaceIndex {
    return new WorkspaceIndex(updateColumns(this, change));
  }

  /** The same where this index is not used any more: its columns may become those of the next. */
  become(change: IndexChange): WorkspaceIndex {
    return new WorkspaceIndex(updateColumns(this, change, true));
  }

  /**
   * Replaces the workspace's index in one rename. Only under the workspace's lock: the last writer wins. Not
   * synced to the device: after a power failure the index may be the old one, whose stat data no longer match,
   * or damaged, which is detected; `sync` avoids both where the base changes.
   */
  save(root: string, options: { readonly sync?: boolean } = {}): void {
    writeFileAtomic(metaPath(root, INDEX_FILE), encodeWorkspaceIndex(this.columns), options);
  }

  // Numbers, for this folder: directories in path order, files by directory and then by name.

  directoryPath(dir: number): string {
    const { dirText, dirEnd } = this.columns;
    return dirText.slice(dir === 0 ? 0 : dirEnd[dir - 1], dirEnd[dir]);
  }

  fileName(file: number): string {
    const { nameText, nameEnd } = this.columns;
    return nameText.slice(file === 0 ? 0 : nameEnd[file - 1], nameEnd[file]);
  }

  /** -1 when nothing tracked lies below `path`. The root is 0 even when nothing is tracked. */
  directoryNumber(path: string): number {
    let low = 0;
    let high = this.columns.dirEnd.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const order = comparePaths(this.directoryPath(middle), path);
      if (order === 0) return middle;
      if (order < 0) low = middle + 1;
      else high = middle;
    }
    return -1;
  }

  /** -1 when the path is not tracked. */
  fileNumber(path: string): number {
    const slash = path.lastIndexOf("/");
    const dir = this.directoryNumber(slash === -1 ? "" : path.slice(0, slash));
    return dir === -1 ? -1 : this.#fileNumber(dir, path.slice(slash + 1));
  }

  /** The directory that holds a file. */
  directoryOf(file: number): number {
    const { dirFirst } = this.columns;
    let low = 0;
    let high = dirFirst.length - 1;
    // The last directory whose first file is at or before this one; empty ones share their first with the next.
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (dirFirst[middle + 1]! <= file) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  filePath(file: number): TreePath {
    const dir = this.directoryPath(this.directoryOf(file));
    return (dir === "" ? this.fileName(file) : `${dir}/${this.fileName(file)}`) as TreePath;
  }

  entryOf(file: number): IndexEntry {
    return this.#entryAt(file, this.filePath(file));
  }

  idOf(file: number): ObjectId {
    return objectIdFromBytes(this.columns.ids, file * 32);
  }

  #fileNumber(dir: number, name: string): number {
    let low = this.columns.dirFirst[dir]!;
    let high = this.columns.dirFirst[dir + 1]!;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const order = comparePaths(this.fileName(middle), name);
      if (order === 0) return middle;
      if (order < 0) low = middle + 1;
      else high = middle;
    }
    return -1;
  }

  #entryAt(file: number, path: TreePath): IndexEntry {
    const { kind, size, hint } = this.columns;
    const chunks = this.#chunksOf(file);
    const entryKind = KINDS[kind[file]!];
    if (entryKind === undefined) throw corrupt("workspace index", `file ${file} has no known kind`);
    const entry = { kind: entryKind, size: size[file]!, id: this.idOf(file) };
    return {
      path,
      entry: chunks === undefined ? entry : { ...entry, chunks },
      hint: hint[file]!,
      stat: this.#statAt(file),
    };
  }

  #statAt(file: number): FileStat | undefined {
    const { mtime, ctime, size, ino } = this.columns;
    const ctimeMs = ctime[file]!;
    if (Number.isNaN(ctimeMs)) return undefined;
    return { mtimeMs: mtime[file]!, ctimeMs, size: size[file]!, ino: ino[file]! };
  }

  #chunksOf(file: number): ObjectId | undefined {
    const { chunkedFile, chunkLists } = this.columns;
    let low = 0;
    let high = chunkedFile.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (chunkedFile[middle]! < file) low = middle + 1;
      else high = middle;
    }
    return chunkedFile[low] === file ? objectIdFromBytes(chunkLists, low * 32) : undefined;
  }

  #findId(id: ObjectId): number {
    // A first landing asks for everything.
    if (this.count === 0) return -1;
    this.#byId ??= new IdTable(this.columns.ids);
    return this.#byId.find(objectIdToBytes(id));
  }
}

function emptyColumns(base: PositionRef): IndexColumns {
  const none = new Float64Array(0);
  return {
    position: base.position,
    root: base.root,
    dirText: "",
    dirEnd: Uint32Array.of(0),
    dirFirst: Uint32Array.of(0, 0),
    dirAfter: Uint32Array.of(1),
    dirMtime: Float64Array.of(Number.NaN),
    dirCtime: Float64Array.of(Number.NaN),
    dirIno: Float64Array.of(0),
    nameText: "",
    nameEnd: new Uint32Array(0),
    kind: new Uint8Array(0),
    size: none,
    mtime: none,
    ctime: none,
    ino: none,
    hint: none,
    ids: new Uint8Array(0),
    chunkedFile: new Uint32Array(0),
    chunkLists: new Uint8Array(0),
    ignoreDir: new Uint32Array(0),
    ignoreName: new Uint32Array(0),
    ignoreStat: none,
  };
}

/** The whole file at the start of a buffer of its own, as views need it. */
function readAligned(path: string): Uint8Array | undefined {
  return withFileIfExists(path, (file) => {
    const size = fstatSync(file).size;
    const bytes = new Uint8Array(
      size >= SHARE_BYTES_MIN ? new SharedArrayBuffer(size) : new ArrayBuffer(size),
    );
    let filled = 0;
    while (filled < size) {
      const count = readSync(file, bytes, filled, size - filled, filled);
      if (count === 0) break;
      filled += count;
    }
    return bytes.subarray(0, filled);
  });
}
