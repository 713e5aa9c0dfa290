/**
 * Plans a move of the workspace to another base: compares each path that the move changes with what is on
 * disk, and decides per path whether to take the project's version, keep ours, merge, or stop. Writes nothing
 * in the workspace; content that a later step overwrites is put into `.mic/objects` first.
 */
import { type Dirent, readdirSync } from "node:fs";
import { join } from "node:path";
import { throwIfAborted } from "../../base/clock.ts";
import { isMicError, MicError } from "../../base/errors.ts";
import { hashObject } from "../../base/hash.ts";
import type { ObjectId } from "../../base/ids.ts";
import { comparePaths, isTreePath, parseTreePath, type TreePath } from "../../base/path.ts";
import type { Conflict } from "../../codec/conflict-state.ts";
import { type ContentSide, sameSide } from "../../codec/content-side.ts";
import type { TransitionStep } from "../../codec/transition.ts";
import { readContent } from "../content/content.ts";
import { prefetch } from "../content/prefetch.ts";
import type { FileStat } from "../disk/stat.ts";
import { isMissing } from "../layout.ts";
import { packFiles } from "../packing/pack-files.ts";
import { DirectoryGuard, type DiskState, inspectPath, readWorkspaceFile } from "../scan/disk-state.ts";
import type { Workspace } from "../workspace.ts";
import { MERGE_BYTES_MAX, type MergeLabels, mergePath } from "./merge-path.ts";

/** What the base has at a path before and after the move. */
export interface PathChange {
  readonly path: TreePath;
  readonly before: ContentSide | undefined;
  readonly after: ContentSide | undefined;
}

/**
 * What to do with unlanded edits at a path that the move changes: `refuse` lists them, `merge` merges three
 * ways, `discard` keeps their content for `undo` and overwrites them.
 */
export type EditPolicy = "refuse" | "merge" | "discard";

export interface MovePlan {
  /** Sorted by tree key. */
  readonly steps: readonly TransitionStep[];
  /** Stat data of files that were looked at, by path: what `apply` expects to find. */
  readonly stats: ReadonlyMap<TreePath, FileStat>;
  /** With `refuse`: what is in the way. With `discard`: what cannot be discarded (a device, a socket). */
  readonly inTheWay: readonly TreePath[];
  /** Conflicts after the move, sorted: new ones and those that stay. */
  readonly conflicts: readonly Conflict[];
  /** Changed on both sides and merged without a conflict. */
  readonly merged: readonly TreePath[];
}

interface Draft {
  readonly steps: Map<TreePath, TransitionStep>;
  readonly stats: Map<TreePath, FileStat>;
  readonly inTheWay: Set<TreePath>;
  readonly conflicts: Map<TreePath, Conflict>;
  readonly merged: TreePath[];
  /** New content to be kept: merged text, text with markers, the text of ours. */
  readonly blobs: Map<ObjectId, Uint8Array>;
  /** Files whose content is to be kept before it is overwritten. */
  readonly saves: Set<TreePath>;
}

export async function planMove(
  ws: Workspace,
  changes: readonly PathChange[],
  policy: EditPolicy,
  labels: MergeLabels,
  conflicts: readonly Conflict[] = ws.conflicts,
): Promise<MovePlan> {
  const draft: Draft = {
    steps: new Map(),
    stats: new Map(),
    inTheWay: new Set(),
    conflicts: new Map(conflicts.map((conflict) => [conflict.path, conflict])),
    merged: [],
    blobs: new Map(),
    saves: new Set(),
  };
  // Before any of them is looked at: a path from outside must not lead outside.
  for (const change of changes) parseTreePath(change.path);
  const guard = new DirectoryGuard(ws.root);
  const inspected = changes.map((change) => {
    const indexed = ws.index.find(change.path);
    return { change, state: inspectPath(ws.root, change.path, indexed, guard) };
  });
  if (policy === "merge") await prefetch(ws, sidesToMerge(draft, inspected));
  const obstructed: typeof inspected = [];
  for (const each of inspected) {
    const { change, state } = each;
    if (state.kind === "absent" || state.kind === "content") {
      throwIfAborted(ws.context.signal);
      await planPath(ws, draft, change, state, policy, labels);
    } else {
      obstructed.push(each);
    }
  }
  // What stands in the way may itself be removed by the move (a file that becomes a directory, or the reverse).
  for (const { change, state } of obstructed) await planObstructed(ws, draft, change, state, policy, labels);
  if (draft.inTheWay.size === 0) await keepContent(ws, draft);
  return {
    steps: sortSteps([...draft.steps.values()]),
    stats: draft.stats,
    inTheWay: [...draft.inTheWay].sort(comparePaths),
    conflicts: [...draft.conflicts.values()].sort((a, b) => comparePaths(a.path, b.path)),
    merged: draft.merged,
  };
}

/** What merging will read of the project's content. */
function sidesToMerge(
  draft: Draft,
  inspected: readonly { readonly change: PathChange; readonly state: DiskState }[],
): ContentSide[] {
  const sides: ContentSide[] = [];
  for (const { change, state } of inspected) {
    const { path, before, after } = change;
    if (state.kind !== "content" && state.kind !== "absent") continue;
    const disk = state.kind === "content" ? state.side : undefined;
    const earlier = draft.conflicts.get(path);
    if (sameSide(disk, after) || (earlier === undefined && sameSide(disk, before))) continue;
    for (const side of [earlier === undefined ? before : earlier.base, after]) {
      if (side !== undefined && side.entry.size <= MERGE_BYTES_MAX) sides.push(side);
    }
  }
  return sides;
}

function addStep(
  draft: Draft,
  change: PathChange,
  diskBefore: ContentSide | undefined,
  diskAfter: ContentSide | undefined,
): void {
  draft.steps.set(change.path, {
    path: change.path,
    diskBefore,
    baseBefore: change.before,
    diskAfter,
    baseAfter: change.after,
  });
}

async function planPath(
  ws: Workspace,
  draft: Draft,
  change: PathChange,
  state: DiskState & { kind: "absent" | "content" },
  policy: EditPolicy,
  labels: MergeLabels,
): Promise<void> {
  const { path, before, after } = change;
  const disk = state.kind === "content" ? state.side : undefined;
  if (state.kind === "content") draft.stats.set(path, state.stat);
  if (sameSide(disk, after)) {
    draft.conflicts.delete(path);
    addStep(draft, change, after, after);
  } else if (sameSide(disk, before) && !draft.conflicts.has(path)) {
    addStep(draft, change, before, after);
  } else if (policy === "refuse") {
    draft.inTheWay.add(path);
  } else if (policy === "discard") {
    draft.conflicts.delete(path);
    if (disk !== undefined) draft.saves.add(path);
    addStep(draft, change, disk, after);
  } else {
    await planMerge(ws, draft, change, disk, labels);
  }
}

async function planMerge(
  ws: Workspace,
  draft: Draft,
  change: PathChange,
  disk: ContentSide | undefined,
  labels: MergeLabels,
): Promise<void> {
  const { path, after } = change;
  const earlier = draft.conflicts.get(path);
  if (earlier !== undefined && !sameSide(disk, earlier.written)) {
    // Being resolved by hand: the file stays, only what it will be compared with moves on.
    draft.conflicts.set(path, { ...earlier, theirs: after });
    addStep(draft, change, disk, disk);
    return;
  }
  // A conflict that nobody touched yet is merged again from its beginnings.
  const base = earlier === undefined ? change.before : earlier.base;
  const ours = earlier === undefined ? disk : earlier.ours;
  const readOurs = async (): Promise<Uint8Array> => {
    if (ours === undefined) return new Uint8Array(0);
    if (earlier !== undefined) return readContent(ws, ours, MERGE_BYTES_MAX);
    const bytes = readIfThere(ws, path);
    if (bytes === undefined || hashObject(bytes) !== ours.entry.id) throw changedMeanwhile(path);
    return bytes;
  };
  const readOther = (side: ContentSide): Promise<Uint8Array> => readContent(ws, side, MERGE_BYTES_MAX);
  const outcome = await mergePath({ base, ours, theirs: after }, { readOurs, readOther, labels });
  if (outcome.bytes !== undefined && outcome.side !== undefined) {
    draft.blobs.set(outcome.side.entry.id, outcome.bytes);
  }
  // Ours is overwritten, or the record of the conflict has to outlive what is in the file.
  if (disk !== undefined && (outcome.kind === "conflict" || !sameSide(outcome.side, disk))) {
    draft.saves.add(path);
  }
  addStep(draft, change, disk, outcome.side);
  if (outcome.kind === "clean") {
    draft.conflicts.delete(path);
    if (!sameSide(outcome.side, after)) draft.merged.push(path);
    return;
  }
  // A conflict can be looked at and resolved without the forge.
  for (const side of [base, after]) {
    if (side === undefined || side.entry.size > MERGE_BYTES_MAX || ws.objects.has(side.entry.id)) continue;
    draft.blobs.set(side.entry.id, await readOther(side));
  }
  draft.conflicts.set(path, {
    path,
    kind: outcome.conflict,
    base,
    ours,
    theirs: after,
    written: outcome.side,
  });
}

/** Undefined when what was there a moment ago is not any more. */
function readIfThere(ws: Workspace, path: TreePath): Uint8Array | undefined {
  try {
    return readWorkspaceFile(ws.root, path, MERGE_BYTES_MAX);
  } catch (error) {
    if (isMicError(error, "not-found") || isMicError(error, "too-large") || isMissing(error))
      return undefined;
    throw error;
  }
}

/** The path is a directory, a device, or below something that is no directory. */
async function planObstructed(
  ws: Workspace,
  draft: Draft,
  change: PathChange,
  state: DiskState,
  policy: EditPolicy,
  labels: MergeLabels,
): Promise<void> {
  const { path, after } = change;
  if (after === undefined) {
    // Nothing of the project will be here, and nothing of it is.
    await planPath(ws, draft, change, { kind: "absent" }, "discard", labels);
    return;
  }
  const blockers = findBlockers(ws, path, state).filter((blocker) => !isRemoved(draft, blocker));
  if (blockers.length === 0) {
    addStep(draft, change, undefined, after);
    return;
  }
  const removable = blockers.every((blocker) => isTreePath(blocker) && state.kind !== "special");
  if (policy === "discard" && removable) {
    for (const blocker of blockers) discardBlocker(ws, draft, blocker);
    addStep(draft, change, undefined, after);
    return;
  }
  if (policy !== "merge") {
    for (const blocker of blockers) draft.inTheWay.add(blocker);
    return;
  }
  const base = draft.conflicts.get(path)?.base ?? change.before;
  draft.conflicts.set(path, {
    path,
    kind: "directory",
    base,
    ours: undefined,
    theirs: after,
    written: undefined,
  });
  addStep(draft, change, undefined, undefined);
}

function isRemoved(draft: Draft, path: TreePath): boolean {
  const step = draft.steps.get(path);
  return step !== undefined && step.diskAfter === undefined;
}

function discardBlocker(ws: Workspace, draft: Draft, path: TreePath): void {
  const indexed = ws.index.find(path);
  const state = inspectPath(ws.root, path, indexed, new DirectoryGuard(ws.root));
  if (state.kind !== "content") {
    draft.inTheWay.add(path);
    return;
  }
  draft.saves.add(path);
  draft.stats.set(path, state.stat);
  const base = indexed && { entry: indexed.entry, hint: indexed.hint };
  addStep(draft, { path, before: base, after: base }, state.side, undefined);
}

/** Paths that keep a file from standing at `path`. */
function findBlockers(ws: Workspace, path: TreePath, state: DiskState): TreePath[] {
  if (state.kind === "blocked") return [state.by];
  if (state.kind !== "directory") return [path];
  const files: TreePath[] = [];
  const walk = (dir: string): void => {
    for (const child of entriesOf(join(ws.root, dir))) {
      const childPath = `${dir}/${child.name}`;
      if (child.isDirectory()) walk(childPath);
      else files.push(childPath as TreePath);
    }
  };
  walk(path);
  return files;
}

/** Of a directory that may be gone or a file by now: then nothing is in the way in it. */
function entriesOf(directory: string): Dirent[] {
  try {
    return readdirSync(directory, { withFileTypes: true });
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
}

/** Makes durable in `.mic/objects` what the steps need and what they overwrite; sides learn their chunk lists. */
async function keepContent(ws: Workspace, draft: Draft): Promise<void> {
  if (draft.blobs.size === 0 && draft.saves.size === 0) return;
  const writer = ws.objects.writer("kept");
  for (const [id, bytes] of draft.blobs)
    if (bytes.length > 0 && !ws.objects.has(id)) writer.addBlob(id, bytes);
  const files: { path: TreePath; kind: ContentSide["entry"]["kind"]; size: number }[] = [];
  for (const path of [...draft.saves].sort(comparePaths)) {
    const side = draft.steps.get(path)?.diskBefore;
    if (side === undefined || side.entry.chunks !== undefined) continue;
    files.push({ path, kind: side.entry.kind, size: side.entry.size });
  }
  const { signal } = ws.context;
  const packed = await packFiles({
    root: ws.root,
    files,
    isKnown: (id) => (ws.objects.has(id) ? 0 : undefined),
    onFrame: (frame) => writer.add(frame),
    workers: 0,
    ...(signal === undefined ? {} : { signal }),
  });
  for (const file of packed) {
    const step = draft.steps.get(file.path)!;
    const side: ContentSide = { entry: file.entry, hint: 0 };
    if (step.diskBefore?.entry.id !== file.entry.id) throw changedMeanwhile(file.path);
    const sameAfter = step.diskAfter?.entry.id === file.entry.id;
    draft.steps.set(file.path, {
      ...step,
      diskBefore: side,
      diskAfter: sameAfter
        ? { entry: { ...file.entry, kind: step.diskAfter!.entry.kind }, hint: 0 }
        : step.diskAfter,
    });
    const conflict = draft.conflicts.get(file.path);
    if (conflict?.ours?.entry.id === file.entry.id) {
      draft.conflicts.set(file.path, { ...conflict, ours: { entry: file.entry, hint: 0 } });
    }
  }
  writer.finish();
}

/** By tree key. */
export function sortSteps(steps: TransitionStep[]): TransitionStep[] {
  return steps.sort((a, b) => comparePaths(a.path, b.path));
}

function changedMeanwhile(path: TreePath): MicError {
  return new MicError("dirty", `${path} changed while it was read`, {
    hint: "nothing was changed; run the command again",
    data: { paths: [path] },
  });
}
