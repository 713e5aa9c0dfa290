/** The files of a clone, in path order: columns, since there may be millions of them. */
import { asBuffer, EMPTY_BYTES, releaseBytes } from "../../base/bytes.ts";
import { MicError } from "../../base/errors.ts";
import { OBJECT_ID_BYTES, type ObjectId, objectIdFromBytes } from "../../base/ids.ts";
import { KEY_BYTES_MAX } from "../../base/limits.ts";
import { type TreePath, writePathKey } from "../../base/path.ts";
import type { ContentSide } from "../../codec/content-side.ts";
import { TREE_ENTRY_BYTES_MAX, writePlainEntry, writeTreeEntry } from "../../codec/tree-entry.ts";
import { buildTree } from "../../prolly/build.ts";
import type { LeafEntry } from "../../prolly/types.ts";
import type { RowColumns } from "../index/row.ts";
import { IndexRows } from "../index/rows.ts";
import { PathTexts } from "./path-texts.ts";
import { CLONE_KINDS, STAT_FIELDS } from "./writer.ts";

const CAPACITY_LEAST = 1024;
/** Encoded entries of a tree in the making share pieces of memory of this size. */
const VALUES_BYTES = 64 << 10;

export class CloneList {
  readonly #paths = new PathTexts();
  /** Index into CLONE_KINDS. */
  #kinds = new Uint8Array(CAPACITY_LEAST);
  #sizes = new Float64Array(CAPACITY_LEAST);
  #hints = new Float64Array(CAPACITY_LEAST);
  #ids = asBuffer(new Uint8Array(CAPACITY_LEAST * OBJECT_ID_BYTES));
  readonly #chunks = new Map<number, ObjectId>();

  get length(): number {
    return this.#paths.length;
  }

  add(path: TreePath, { entry, hint }: ContentSide): void {
    const file = this.#paths.length;
    this.#paths.add(path);
    if (file === this.#kinds.length) this.#grow();
    this.#kinds[file] = CLONE_KINDS.indexOf(entry.kind);
    this.#sizes[file] = entry.size;
    this.#hints[file] = hint;
    this.#ids.write(entry.id, file * OBJECT_ID_BYTES, OBJECT_ID_BYTES, "hex");
    if (entry.chunks !== undefined) this.#chunks.set(file, entry.chunks);
  }

  /** In path order. */
  get paths(): Iterable<TreePath> {
    return this.#paths;
  }

  path(file: number): TreePath {
    return this.#paths.at(file);
  }

  /** Index into CLONE_KINDS. */
  kind(file: number): number {
    return this.#kinds[file]!;
  }

  /** Bytes. */
  size(file: number): number {
    return this.#sizes[file]!;
  }

  hint(file: number): number {
    return this.#hints[file]!;
  }

  id(file: number): ObjectId {
    return objectIdFromBytes(this.#ids, file * OBJECT_ID_BYTES);
  }

  /** 32 bytes for each file, valid until the next `add`. */
  get ids(): Buffer {
    return this.#ids;
  }

  /** A view of 32 bytes, valid until the next `add`. */
  idBytes(file: number): Uint8Array {
    return this.#ids.subarray(file * OBJECT_ID_BYTES, (file + 1) * OBJECT_ID_BYTES);
  }

  isChunked(file: number): boolean {
    return this.#chunks.has(file);
  }

  side(file: number): ContentSide {
    const entry = { kind: CLONE_KINDS[this.kind(file)]!, size: this.size(file), id: this.id(file) };
    const chunks = this.#chunks.get(file);
    return { entry: chunks === undefined ? entry : { ...entry, chunks }, hint: this.hint(file) };
  }

  /** Bytes of all files. */
  totalBytes(): number {
    let total = 0;
    for (let file = 0; file < this.length; file++) total += this.size(file);
    return total;
  }

  /** Of the tree that holds these files and no others. */
  async root(salt: Uint8Array): Promise<ObjectId> {
    const load = (): never => {
      throw new MicError("internal", "bug: a tree that is built is not read");
    };
    const context = { salt, nodes: { load } };
    const options = { position: 0, emit: () => undefined, retain: false };
    return (await buildTree(this.#leaves(), context, options)).root;
  }

  *#leaves(): Generator<LeafEntry> {
    const scratch = new Uint8Array(KEY_BYTES_MAX);
    const key = asBuffer(scratch);
    let values = asBuffer(EMPTY_BYTES);
    let start = 0;
    for (let file = 0; file < this.length; file++) {
      // Values go with their leaf. Some keys stay longer, so each has memory of its own.
      if (start + TREE_ENTRY_BYTES_MAX > values.length) {
        values = Buffer.allocUnsafeSlow(VALUES_BYTES);
        start = 0;
      }
      const end = this.#chunks.has(file)
        ? writeTreeEntry(values, start, this.side(file).entry)
        : writePlainEntry(values, start, CLONE_KINDS[this.kind(file)]!, this.size(file), this.idBytes(file));
      yield {
        key: scratch.slice(0, writePathKey(key, 0, this.path(file))),
        value: new Uint8Array(values.buffer, start, end - start),
        hint: this.hint(file),
      };
      start = end;
    }
  }

  /**
   * For the index. `stats`: STAT_FIELDS numbers per file, NaN where they are not known. Renaming a top-level file
   * changes its ctime, so its content will be compared once.
   */
  rows(stats: Float64Array): IndexRows {
    return new IndexRows(
      this.length,
      (file) => this.path(file),
      (file) => {
        const at = file * STAT_FIELDS;
        const stat = this.#hasStat(file, stats)
          ? { mtimeMs: stats[at]!, ctimeMs: stats[at + 1]!, size: stats[at + 2]!, ino: stats[at + 3]! }
          : undefined;
        return { path: this.path(file), ...this.side(file), stat };
      },
      (file, columns, row) => this.#writeRow(file, stats, columns, row),
    );
  }

  #hasStat(file: number, stats: Float64Array): boolean {
    return !Number.isNaN(stats[file * STAT_FIELDS]!) && this.path(file).includes("/");
  }

  /** What `writeRow` does with the row that `rows` makes. */
  #writeRow(file: number, stats: Float64Array, columns: RowColumns, row: number): boolean {
    if (this.#chunks.has(file)) return false;
    const at = file * STAT_FIELDS;
    const size = this.size(file);
    const usable = stats[at + 2] === size && this.#hasStat(file, stats);
    // The same numbers as CLONE_KINDS.
    columns.kind[row] = this.kind(file);
    columns.size[row] = size;
    columns.mtime[row] = usable ? stats[at]! : Number.NaN;
    columns.ctime[row] = usable ? stats[at + 1]! : Number.NaN;
    columns.ino[row] = usable ? stats[at + 3]! : 0;
    columns.hint[row] = this.hint(file);
    columns.ids.set(this.idBytes(file), row * OBJECT_ID_BYTES);
    return true;
  }

  #grow(): void {
    const capacity = this.#kinds.length * 2;
    const kinds = new Uint8Array(capacity);
    const sizes = new Float64Array(capacity);
    const hints = new Float64Array(capacity);
    const ids = asBuffer(new Uint8Array(capacity * OBJECT_ID_BYTES));
    kinds.set(this.#kinds);
    sizes.set(this.#sizes);
    hints.set(this.#hints);
    ids.set(this.#ids);
    releaseBytes(this.#ids);
    this.#kinds = kinds;
    this.#sizes = sizes;
    this.#hints = hints;
    this.#ids = ids;
  }
}
