/** What differs between two positions as files with their content, renames detected: for patches and counts of lines. */
import { concatBytes, EMPTY_BYTES } from "../../base/bytes.ts";
import { throwIfAborted } from "../../base/clock.ts";
import { MicError } from "../../base/errors.ts";
import type { ProjectId } from "../../base/ids.ts";
import { comparePaths, type TreePath } from "../../base/path.ts";
import type { TreeEntry } from "../../codec/tree-entry.ts";
import { detectRenames } from "../../merge/renames.ts";
import type { CallOptions, DiffRequest, Forge, TreeChange } from "../forge.ts";

type Located = NonNullable<TreeChange["before"]>;

export interface FileDiff {
  readonly op: "add" | "modify" | "delete" | "mode" | "type" | "rename";
  readonly path: TreePath;
  /** Of a rename. */
  readonly from?: TreePath;
  /** Absent: the file is new. */
  readonly before?: TreeEntry;
  /** Absent: the file was deleted. */
  readonly after?: TreeEntry;
  /** Errors: `too-large` above DIFF_BYTES_MAX. */
  readBefore(): Promise<Uint8Array>;
  readAfter(): Promise<Uint8Array>;
}

/** A file whose lines are compared is in memory at once, with the one it is compared to. */
export const DIFF_BYTES_MAX = 256 << 20;

/** In path order. */
export async function fileDiffs(
  forge: Forge,
  project: ProjectId,
  request: DiffRequest,
  options: CallOptions & { readonly changesMax?: number } = {},
): Promise<readonly FileDiff[]> {
  const { signal, changesMax = Number.POSITIVE_INFINITY } = options;
  const callOptions = signal === undefined ? {} : { signal };
  const changes: TreeChange[] = [];
  for await (const page of forge.diff(project, request, callOptions)) {
    throwIfAborted(signal);
    for (const change of page) changes.push(change);
    if (changes.length > changesMax) throw tooMany(changesMax);
  }
  const read = (located: Located | undefined, path: string): Promise<Uint8Array> =>
    readLocated(forge, project, located, path, callOptions);
  const renames = await detectRenames(
    changes,
    (change, side) => read(change[side], change.path),
    callOptions,
  );
  const gone = new Set(renames.map((rename) => rename.from.path));
  const origin = new Map(renames.map((rename) => [rename.to.path, rename.from]));
  return changes
    .filter((change) => !gone.has(change.path))
    .sort((a, b) => comparePaths(a.path, b.path))
    .map(({ path, before, after }): FileDiff => {
      const from = origin.get(path);
      const old = from === undefined ? before : from.before;
      return {
        op: from === undefined ? opOf(before, after) : "rename",
        path,
        ...(from === undefined ? {} : { from: from.path }),
        ...(old === undefined ? {} : { before: old.entry }),
        ...(after === undefined ? {} : { after: after.entry }),
        readBefore: () => read(old, from?.path ?? path),
        readAfter: () => read(after, path),
      };
    });
}

async function readLocated(
  forge: Forge,
  project: ProjectId,
  located: Located | undefined,
  path: string,
  options: CallOptions,
): Promise<Uint8Array> {
  if (located === undefined) return EMPTY_BYTES;
  if (located.entry.size > DIFF_BYTES_MAX) {
    throw new MicError("too-large", `${path} is too large to be compared line by line`, {
      hint: "compare names only",
      data: { paths: [path] },
    });
  }
  const parts: Uint8Array[] = [];
  for await (const part of forge.readFile(project, located, options)) parts.push(part);
  return parts.length === 1 ? parts[0]! : concatBytes(parts);
}

function opOf(before: Located | undefined, after: Located | undefined): FileDiff["op"] {
  if (before === undefined) return "add";
  if (after === undefined) return "delete";
  const [was, is] = [before.entry, after.entry];
  if ((was.kind === "symlink") !== (is.kind === "symlink")) return "type";
  return was.id === is.id ? "mode" : "modify";
}

function tooMany(changesMax: number): MicError {
  return new MicError("too-large", `more than ${changesMax} files differ`, {
    hint: "compare fewer positions, or only some paths",
  });
}
