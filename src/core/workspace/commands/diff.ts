/** What differs between two positions, or between a position and the workspace's files. */
import { EMPTY_BYTES } from "../../base/bytes.ts";
import type { ObjectId, Position } from "../../base/ids.ts";
import { comparePaths, type TreePath } from "../../base/path.ts";
import type { ContentSide } from "../../codec/content-side.ts";
import type { EntryKind } from "../../codec/tree-entry.ts";
import { detectRenames, type RenameInput } from "../../merge/renames.ts";
import { changesBetween } from "../checkout/base-changes.ts";
import { readContent } from "../content/content.ts";
import type { ChangeOp, FileDiff } from "../results.ts";
import { baseSide, findChanges } from "../scan/changes.ts";
import { readWorkspaceFile } from "../scan/disk-state.ts";
import type { Workspace } from "../workspace.ts";

export interface DiffOptions {
  /** Default: the base. */
  readonly from?: Position;
  /** Default: the workspace's files. Needs `from`. */
  readonly to?: Position;
  /** Only at or below these. */
  readonly paths?: readonly TreePath[];
}

/** One side of a difference, stored or on disk. */
interface Side {
  readonly kind: EntryKind;
  readonly size: number;
  /** Of the content, where it is known. */
  readonly id: ObjectId | undefined;
  /** Absent for a file of the workspace. */
  readonly stored: ContentSide | undefined;
}

interface Difference {
  readonly path: TreePath;
  readonly before: Side | undefined;
  readonly after: Side | undefined;
}

const DIFF_BYTES_MAX = 256 << 20;

/** In path order, with renames found among what was deleted and added. Takes no lock. */
export async function* workspaceDiff(ws: Workspace, options: DiffOptions = {}): AsyncGenerator<FileDiff> {
  ws.requireComplete();
  const { from, to, paths } = options;
  const differences =
    to !== undefined
      ? await betweenPositions(ws, from ?? ws.index.base.position, to, paths)
      : await againstFiles(ws, from ?? ws.index.base.position, paths);
  const renames = await detectRenames(differences.map(toRenameInput), (input, side) =>
    readSide(ws, input.difference, side),
  );
  const sources = new Set(renames.map(({ from }) => from.difference));
  const sourceOf = new Map(renames.map((rename) => [rename.to.difference, rename.from.difference]));
  for (const difference of differences) {
    if (sources.has(difference)) continue;
    yield toFileDiff(ws, difference, sourceOf.get(difference));
  }
}

interface RenameCandidate extends RenameInput {
  readonly difference: Difference;
}

/** A file that was not hashed has an id that nothing else has: it is compared by content. */
function toRenameInput(difference: Difference, number: number): RenameCandidate {
  const entryOf = (side: Side | undefined) => {
    if (side === undefined) return undefined;
    const id = side.id ?? (number.toString(16).padStart(64, "f") as ObjectId);
    return { entry: side.stored?.entry ?? { kind: side.kind, size: side.size, id } };
  };
  const { path, before, after } = difference;
  return { path, before: entryOf(before), after: entryOf(after), difference };
}

function readSide(ws: Workspace, difference: Difference, which: "before" | "after"): Promise<Uint8Array> {
  const side = difference[which];
  if (side === undefined) return Promise.resolve(EMPTY_BYTES);
  if (side.stored !== undefined) return readContent(ws, side.stored, DIFF_BYTES_MAX);
  return Promise.resolve(readWorkspaceFile(ws.root, difference.path, DIFF_BYTES_MAX));
}

async function betweenPositions(
  ws: Workspace,
  from: Position,
  to: Position,
  paths: readonly TreePath[] | undefined,
): Promise<Difference[]> {
  const changes = await changesBetween(ws, from, to, paths);
  return changes.map(({ path, before, after }) => ({ path, before: stored(before), after: stored(after) }));
}

async function againstFiles(
  ws: Workspace,
  from: Position,
  paths: readonly TreePath[] | undefined,
): Promise<Difference[]> {
  const byPath = new Map<TreePath, Difference>();
  for (const { path, before, after } of await changesBetween(ws, from, ws.index.base.position, paths)) {
    byPath.set(path, { path, before: stored(before), after: stored(after) });
  }
  for (const { op, path, before: indexed, after } of (await findChanges(ws, paths)).changes) {
    const known = byPath.get(path);
    const before = known === undefined ? stored(baseSide(ws, path)) : known.before;
    const id = after?.id ?? (op === "mode" ? indexed?.entry.id : undefined);
    const side = after && { kind: after.kind, size: after.size, id, stored: undefined };
    const isBack = id !== undefined && before?.id === id && before.kind === after?.kind;
    if (isBack || (before === undefined && side === undefined)) byPath.delete(path);
    else byPath.set(path, { path, before, after: side });
  }
  return [...byPath.values()].sort((a, b) => comparePaths(a.path, b.path));
}

function stored(side: ContentSide | undefined): Side | undefined {
  return side && { kind: side.entry.kind, size: side.entry.size, id: side.entry.id, stored: side };
}

function toFileDiff(ws: Workspace, difference: Difference, source: Difference | undefined): FileDiff {
  const { path, after } = difference;
  const before = source === undefined ? difference.before : source.before;
  return {
    op: source === undefined ? opOf(before, after) : "rename",
    path,
    ...(source === undefined ? {} : { from: source.path }),
    ...(before === undefined ? {} : { before: { kind: before.kind, size: before.size } }),
    ...(after === undefined ? {} : { after: { kind: after.kind, size: after.size } }),
    readBefore: () => readSide(ws, source ?? difference, "before"),
    readAfter: () => readSide(ws, difference, "after"),
  };
}

function opOf(before: Side | undefined, after: Side | undefined): ChangeOp {
  if (before === undefined) return "add";
  if (after === undefined) return "delete";
  if ((before.kind === "symlink") !== (after.kind === "symlink")) return "type";
  const sameContent = before.id !== undefined && before.id === after.id;
  return sameContent && before.kind !== after.kind ? "mode" : "modify";
}
