/** Rows for an index that are made when they are asked for, and whose paths can be had without the rest. */
import { LazyList, type List } from "../base/list.ts";
import type { TreePath } from "../base/path.ts";
import type { IndexEntry } from "./index.ts";

export class IndexRows extends LazyList<IndexEntry> {
  readonly #path: (i: number) => TreePath;

  constructor(length: number, path: (i: number) => TreePath, row: (i: number) => IndexEntry) {
    super(length, row);
    this.#path = path;
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
