/** Rows for an index that are made when they are asked for, and whose paths can be had without the rest. */
import { LazyList, type List } from "../../base/list.ts";
import type { TreePath } from "../../base/path.ts";
import type { RowColumns } from "./row.ts";
import type { IndexEntry } from "./workspace-index.ts";

/** As `writeRow` for the row `i`; false for a row with a chunk list. */
export type WriteColumns = (i: number, columns: RowColumns, row: number) => boolean;

export class IndexRows extends LazyList<IndexEntry> {
  readonly #path: (i: number) => TreePath;
  readonly #write: WriteColumns | undefined;

  constructor(
    length: number,
    path: (i: number) => TreePath,
    row: (i: number) => IndexEntry,
    write?: WriteColumns,
  ) {
    super(length, row);
    this.#path = path;
    this.#write = write;
  }

  /** Into row `row` of an index, without making the item. False where nothing was written: make it. */
  write(i: number, columns: RowColumns, row: number): boolean {
    return this.#write?.(i, columns, row) ?? false;
  }

  path(i: number): TreePath {
    return this.#path(i);
  }
}

/** The path of each row. */
export function* pathsOf(rows: List<IndexEntry>): Generator<TreePath, void, undefined> {
  if (!(rows instanceof IndexRows)) {
    for (const { path } of rows) yield path;
    return;
  }
  for (let i = 0; i < rows.length; i++) yield rows.path(i);
}
