/** What differs between two positions of a project, read from its forge: for `show`, and for diffs without a workspace. */
import { concatBytes, EMPTY_BYTES } from "../core/base/bytes.ts";
import { MicError } from "../core/base/errors.ts";
import type { Position } from "../core/base/ids.ts";
import { comparePaths, type TreePath } from "../core/base/path.ts";
import type { TreeChange } from "../core/forge/forge.ts";
import { detectRenames } from "../core/merge/renames.ts";
import type { ChangeOp, FileDiff } from "../core/workspace/results.ts";
import type { OpenedProject } from "./invocation.ts";

type Located = NonNullable<TreeChange["before"]>;

const DIFF_BYTES_MAX = 256 << 20;

/** In path order; renames detected. */
export async function projectDiff(
  project: OpenedProject,
  range: { readonly from: Position; readonly to: Position; readonly paths?: readonly TreePath[] },
  signal: AbortSignal,
): Promise<readonly FileDiff[]> {
  const changes: TreeChange[] = [];
  for await (const page of project.forge.diff(project.id, range, { signal })) changes.push(...page);
  const read = (located: Located | undefined, path: string): Promise<Uint8Array> =>
    readLocated(project, located, path, signal);
  const renames = await detectRenames(changes, (change, side) => read(change[side], change.path), { signal });
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
        ...(old === undefined ? {} : { before: { kind: old.entry.kind, size: old.entry.size } }),
        ...(after === undefined ? {} : { after: { kind: after.entry.kind, size: after.entry.size } }),
        readBefore: () => read(old, from?.path ?? path),
        readAfter: () => read(after, path),
      };
    });
}

async function readLocated(
  project: OpenedProject,
  located: Located | undefined,
  path: string,
  signal: AbortSignal,
): Promise<Uint8Array> {
  if (located === undefined) return EMPTY_BYTES;
  if (located.entry.size > DIFF_BYTES_MAX) {
    throw new MicError("too-large", `${path} is too large to be compared line by line`, {
      hint: "use --name-status",
      data: { paths: [path] },
    });
  }
  const parts: Uint8Array[] = [];
  for await (const part of project.forge.readFile(project.id, located, { signal })) parts.push(part);
  return parts.length === 1 ? parts[0]! : concatBytes(parts);
}

function opOf(before: Located | undefined, after: Located | undefined): ChangeOp {
  if (before === undefined) return "add";
  if (after === undefined) return "delete";
  const [was, is] = [before.entry, after.entry];
  if ((was.kind === "symlink") !== (is.kind === "symlink")) return "type";
  return was.id === is.id ? "mode" : "modify";
}
