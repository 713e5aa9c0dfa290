/** What packing found out about files, in columns: a million of them take 90 MB. */
import { asBuffer } from "../../base/bytes.ts";
import { type ObjectId, objectIdFromBytes } from "../../base/ids.ts";
import { LazyList, type List } from "../../base/list.ts";
import type { TreePath } from "../../base/path.ts";
import type { EntryKind, TreeEntry } from "../../codec/tree-entry.ts";
import type { FoundSecret } from "../../secrets/scanner.ts";
import type { FileStat } from "../disk/stat.ts";
import { FILE_KINDS, type PackedResults } from "./messages.ts";

export interface SizedFile {
  readonly path: TreePath;
  readonly kind: EntryKind;
  /** For planning; what is read counts. */
  readonly size: number;
}

export interface PackedFile {
  readonly path: TreePath;
  readonly entry: TreeEntry;
  /** Where known content was introduced; 0: with the landing that these frames are for. */
  readonly hint: number;
  /** Trusted stat data of exactly this content (see stat.ts), or undefined. */
  readonly stat: FileStat | undefined;
}

const ID_BYTES = 32;
const STAT_FIELDS = 4;

export class PackedFiles extends LazyList<PackedFile> {
  /** Index into FILE_KINDS. */
  readonly #kinds: Uint8Array;
  readonly #sizes: Float64Array;
  readonly #ids: Uint8Array;
  readonly #hints: Float64Array;
  /** mtime, ctime, size, inode; a NaN ctime where the stat data are not trusted. */
  readonly #stats: Float64Array;
  readonly #chunks = new Map<number, ObjectId>();
  readonly #secrets: (FoundSecret & { readonly file: number })[] = [];

  constructor(files: List<SizedFile>) {
    super(files.length, (i) => ({
      path: files.at(i)!.path,
      entry: this.entry(i),
      hint: this.hint(i),
      stat: this.stat(i),
    }));
    const count = files.length;
    this.#kinds = new Uint8Array(count);
    this.#sizes = new Float64Array(count);
    this.#ids = new Uint8Array(count * ID_BYTES);
    this.#hints = new Float64Array(count);
    this.#stats = new Float64Array(count * STAT_FIELDS);
  }

  /** Results of the files from number `from` on. `hintOf`: where known content was introduced. */
  store(from: number, results: PackedResults, hintOf: (id: ObjectId) => number): void {
    this.#kinds.set(results.kinds, from);
    this.#sizes.set(results.sizes, from);
    asBuffer(this.#ids).write(results.ids, from * ID_BYTES, results.kinds.length * ID_BYTES, "hex");
    this.#stats.set(results.stats, from * STAT_FIELDS);
    for (const [i, list] of results.chunks) this.#chunks.set(from + i, list);
    for (const [i, secret] of results.secrets) this.#secrets.push({ ...secret, file: from + i });
    results.known.forEach((isKnown, i) => {
      if (isKnown === 1) this.#hints[from + i] = hintOf(this.#idOf(from + i));
    });
  }

  #idOf(i: number): ObjectId {
    return objectIdFromBytes(this.#ids, i * ID_BYTES);
  }

  entry(i: number): TreeEntry {
    const entry = { kind: FILE_KINDS[this.#kinds[i]!]!, size: this.#sizes[i]!, id: this.#idOf(i) };
    const chunks = this.#chunks.get(i);
    return chunks === undefined ? entry : { ...entry, chunks };
  }

  /** What was found in new content, by number of the file. */
  secrets(): readonly (FoundSecret & { readonly file: number })[] {
    return this.#secrets.toSorted((a, b) => a.file - b.file || a.line - b.line);
  }

  hint(i: number): number {
    return this.#hints[i]!;
  }

  stat(i: number): FileStat | undefined {
    const stats = this.#stats;
    const at = i * STAT_FIELDS;
    const ctimeMs = stats[at + 1]!;
    if (Number.isNaN(ctimeMs)) return undefined;
    return { mtimeMs: stats[at]!, ctimeMs, size: stats[at + 2]!, ino: stats[at + 3]! };
  }
}
