/** One file's row in the columns of an index. */
import type { EntryKind } from "../../codec/tree-entry.ts";
import type { IndexColumns } from "../../codec/workspace-index.ts";
import type { IndexEntry } from "./workspace-index.ts";

const KIND_NUMBER: Readonly<Record<EntryKind, number>> = { file: 0, executable: 1, symlink: 2 };

export type RowColumns = Pick<IndexColumns, "kind" | "size" | "mtime" | "ctime" | "ino" | "hint"> & {
  /** For hex. */
  readonly ids: Buffer;
};

export function writeRow(columns: RowColumns, file: number, { entry, hint, stat }: IndexEntry): void {
  columns.kind[file] = KIND_NUMBER[entry.kind];
  columns.size[file] = entry.size;
  // Stat data that do not belong to this content prove nothing.
  const usable = stat !== undefined && stat.size === entry.size;
  columns.mtime[file] = usable ? stat.mtimeMs : Number.NaN;
  columns.ctime[file] = usable ? stat.ctimeMs : Number.NaN;
  columns.ino[file] = usable ? stat.ino : 0;
  columns.hint[file] = hint;
  columns.ids.write(entry.id, file * 32, 32, "hex");
}
