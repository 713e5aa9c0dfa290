/** The next version of an index where no file comes or goes: the same rows, some of them with other content. */
import { asBuffer } from "../../base/bytes.ts";
import type { IndexColumns } from "../../codec/workspace-index.ts";
import { writeRow } from "./row.ts";
import type { IndexChange, WorkspaceIndex } from "./workspace-index.ts";

/**
 * When every edit replaces a tracked file, as most moves between positions do, nothing shifts: the columns are
 * copied whole and the rows overwritten. Undefined when that is not so.
 */
export function patchColumns(
  index: WorkspaceIndex,
  old: IndexColumns,
  change: IndexChange,
  reuse: boolean,
): IndexColumns | undefined {
  const upserts = change.upserts ?? [];
  const directories = change.scan?.directories.length ?? 0;
  if ((change.removes?.length ?? 0) > 0 || upserts.length > index.count / 16) return undefined;
  if (directories > 16 + index.directoryCount / 16) return undefined;
  const chunked = new Set(old.chunkedFile);
  const files: number[] = [];
  for (const { path, entry } of upserts) {
    const file = index.fileNumber(path);
    if (file === -1 || entry.chunks !== undefined || chunked.has(file)) return undefined;
    files.push(file);
  }
  if (files.length === 0) return old;
  const isCopied = old.mtime !== index.columns.mtime;
  const columns = reuse
    ? old
    : {
        ...old,
        kind: old.kind.slice(),
        size: old.size.slice(),
        mtime: isCopied ? old.mtime : old.mtime.slice(),
        ctime: isCopied ? old.ctime : old.ctime.slice(),
        ino: isCopied ? old.ino : old.ino.slice(),
        hint: old.hint.slice(),
        ids: old.ids.slice(),
      };
  const row = { ...columns, ids: asBuffer(columns.ids) };
  let i = 0;
  for (const entry of upserts) writeRow(row, files[i++]!, entry);
  return columns;
}

type DirectoryColumns = Pick<
  IndexColumns,
  "dirMtime" | "dirCtime" | "dirIno" | "ignoreDir" | "ignoreName" | "ignoreStat"
>;

/** What a scan learned of directories, where they stay the same ones; as rebuild.ts does where they do not. */
export function patchDirectories(index: WorkspaceIndex, change: IndexChange): DirectoryColumns | undefined {
  const { scan } = change;
  if (scan === undefined) return undefined;
  const dirMtime = index.columns.dirMtime.slice();
  const dirCtime = index.columns.dirCtime.slice();
  const dirIno = index.columns.dirIno.slice();
  for (const { path, stat } of scan.directories) {
    const dir = index.directoryNumber(path);
    if (dir === -1) continue;
    dirMtime[dir] = stat?.mtimeMs ?? Number.NaN;
    dirCtime[dir] = stat?.ctimeMs ?? Number.NaN;
    dirIno[dir] = stat?.ino ?? 0;
  }
  const upserted = new Set<string>((change.upserts ?? []).map((entry) => entry.path));
  for (const path of scan.untracked) {
    if (upserted.has(path)) continue;
    let dir = -1;
    for (let end = path.lastIndexOf("/"); dir === -1 && end > 0; end = path.lastIndexOf("/", end - 1)) {
      dir = index.directoryNumber(path.slice(0, end));
    }
    dirMtime[dir === -1 ? 0 : dir] = Number.NaN;
  }
  const ignores = scan.ignoreFiles.filter((file) => index.directoryNumber(file.dir) !== -1);
  return {
    dirMtime,
    dirCtime,
    dirIno,
    ignoreDir: Uint32Array.from(ignores, (file) => index.directoryNumber(file.dir)),
    ignoreName: Uint32Array.from(ignores, (file) => file.name),
    ignoreStat: Float64Array.from(
      ignores.flatMap(({ stat }) => [stat.mtimeMs, stat.ctimeMs, stat.size, stat.ino]),
    ),
  };
}
