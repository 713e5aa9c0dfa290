/**
 * Runs a planned move so that a crash at any moment leaves something the next command finishes:
 *
 * 1. the journal (`.mic/transition`) with every step, synced;
 * 2. files, each complete under its final name or untouched;
 * 3. conflict state, then base and index in one rename: the moment from which the workspace is at its target;
 * 4. the operation log; the journal is removed.
 *
 * Resuming repeats 2 to 4: a step that finds its file as it is to be passes over it, and a file that somebody
 * edited in between is merged like any local edit, after the journal says so.
 */
import type { Position } from "../../base/ids.ts";
import { comparePaths, type TreePath } from "../../base/path.ts";
import type { Conflict } from "../../codec/conflict-state.ts";
import { sameSide } from "../../codec/content-side.ts";
import type { Transition, TransitionKind, TransitionStep } from "../../codec/transition.ts";
import type { PositionRef } from "../../forge/forge.ts";
import type { Frame, ObjectRef } from "../../objects/frame.ts";
import { framesOf } from "../content/content.ts";
import type { LocalPackWriter } from "../content/local-objects.ts";
import { fileError } from "../disk/file-error.ts";
import type { FileStat } from "../disk/stat.ts";
import type { IndexEntry } from "../index/workspace-index.ts";
import type { Workspace } from "../workspace.ts";
import { applySteps } from "./apply.ts";
import { checkCollisions, checkTreePaths, nameRules } from "./guard.ts";
import type { MergeLabels } from "./merge-path.ts";
import { recordOperation } from "./operation-record.ts";
import { type MovePlan, type PathChange, planMove, sortSteps } from "./plan.ts";

export type FrameSource = (wants: readonly ObjectRef[]) => AsyncIterable<Frame>;

export interface MoveRequest {
  readonly kind: TransitionKind;
  readonly description: string;
  readonly to: PositionRef;
  readonly plan: MovePlan;
  /** Of the operation that is undone or redone; otherwise the next one. */
  readonly number?: number;
  /** Default: `.mic/objects`, then the forge. */
  readonly frames?: FrameSource;
}

export interface MoveResult {
  readonly position: Position;
  /** Paths written or removed. */
  readonly changed: readonly TreePath[];
  readonly conflicts: readonly Conflict[];
}

/** Stored bytes of frames kept of one move from a forge in a directory. */
const KEPT_BYTES_MAX = 4 << 20;
/** How often a file may be edited under our hands before it is left as a conflict. */
const SURPRISES_MAX = 3;

export function mergeLabels(from: Position, to: Position): MergeLabels {
  return { ours: "workspace", base: `@${from}`, theirs: `@${to}` };
}

export async function runMove(ws: Workspace, request: MoveRequest): Promise<MoveResult> {
  const { plan, to, kind } = request;
  checkTarget(ws, plan.steps);
  const log = ws.loadOperations();
  const transition: Transition = {
    kind,
    number: request.number ?? log.nextNumber,
    timeMs: Math.max(0, Math.floor(ws.context.clock.nowMs())),
    description: request.description,
    from: ws.index.base,
    to,
    complete: true,
    steps: plan.steps,
    conflictsBefore: ws.conflicts,
    conflictsAfter: plan.conflicts,
  };
  try {
    ws.saveTransition(transition);
  } catch (error) {
    throw fileError(error, `cannot start ${request.description}`, "nothing was changed");
  }
  return finishMove(ws, transition, plan.stats, request.frames);
}

/** Nothing is written unless every path of the target is one that may be written here. */
function checkTarget(ws: Workspace, steps: readonly TransitionStep[]): void {
  const rules = nameRules(ws.settings.folding);
  const kept = steps.filter((step) => step.diskAfter !== undefined);
  // What landed of ours is not written, and may have been replaced on the disk since it was sent.
  const written = kept.filter((step) => !sameSide(step.diskBefore, step.diskAfter));
  checkTreePaths(
    written.map((step) => step.path),
    rules,
  );
  if (!rules.folding.case && !rules.folding.normalization) return;
  const gone = new Set(steps.filter((step) => step.diskAfter === undefined).map((step) => step.path));
  const present = [...ws.index.entries()].map((entry) => entry.path).filter((path) => !gone.has(path));
  checkCollisions([...present, ...kept.map((step) => step.path)], rules);
}

/** Steps 2 to 4 above. Leaves the journal in place when it throws. */
export async function finishMove(
  ws: Workspace,
  transition: Transition,
  stats: ReadonlyMap<TreePath, FileStat>,
  frames?: FrameSource,
): Promise<MoveResult> {
  try {
    return await carryOut(ws, transition, stats, frames);
  } catch (error) {
    throw fileError(
      error,
      `${transition.description} stopped half way`,
      "put right what stopped it; the next mic command that changes the workspace finishes it",
    );
  }
}

async function carryOut(
  ws: Workspace,
  transition: Transition,
  stats: ReadonlyMap<TreePath, FileStat>,
  frames: FrameSource | undefined,
): Promise<MoveResult> {
  const received = new ReceivedFrames(ws);
  const source: FrameSource = frames ?? ((wants) => framesOf(ws, wants, (frame) => received.add(frame)));
  const final = new Map(transition.steps.map((step) => [step.path, step]));
  const trusted = new Map<TreePath, FileStat>();
  const changed: TreePath[] = [];
  let conflicts = transition.conflictsAfter;
  let steps = transition.steps;
  let known = stats;
  for (let round = 0; ; round++) {
    const result = await applySteps(ws, { steps, stats: known, frames: source });
    changed.push(...result.changed);
    for (const [path, stat] of result.stats) trusted.set(path, stat);
    if (result.surprised.length === 0) break;
    const surprised = result.surprised.map(({ step }) => step);
    if (round === SURPRISES_MAX) {
      conflicts = withConflicts(conflicts, surprised);
      break;
    }
    const again = planAgain(surprised, conflicts, transition.conflictsBefore);
    const labels = mergeLabels(transition.from.position, transition.to.position);
    const plan = await planMove(ws, again.changes, "merge", labels, again.conflicts);
    conflicts = plan.conflicts;
    steps = plan.steps.map((step) => {
      const original = final.get(step.path);
      const merged = { ...step, baseBefore: original?.baseBefore, baseAfter: original?.baseAfter };
      final.set(step.path, { ...merged, diskBefore: original?.diskBefore ?? step.diskBefore });
      return merged;
    });
    known = plan.stats;
    // What is written from now on is no edit when this is cut off and done again.
    ws.saveTransition({ ...transition, steps: sortSteps([...final.values()]), conflictsAfter: conflicts });
  }
  received.finish();
  ws.saveConflicts(conflicts);
  const upserts: IndexEntry[] = [];
  const removes: TreePath[] = [];
  for (const step of final.values()) {
    if (step.baseAfter === undefined) {
      if (step.baseBefore !== undefined) removes.push(step.path);
      continue;
    }
    const { entry, hint } = step.baseAfter;
    const stat = sameSide(step.diskAfter, step.baseAfter) ? trusted.get(step.path) : undefined;
    upserts.push({ path: step.path, entry, hint, stat });
  }
  ws.changeIndex({ base: transition.to, upserts, removes });
  const isAsPlanned = steps === transition.steps && conflicts === transition.conflictsAfter;
  recordOperation(
    ws,
    isAsPlanned ? transition : { ...transition, steps: [...final.values()], conflictsAfter: conflicts },
  );
  ws.clearTransition();
  return { position: transition.to.position, changed, conflicts };
}

/**
 * What is merged into files that were edited since the move was planned. Where the base moves, that is what the move
 * itself merges, as if the edit had been there before: what had been merged or marked is neither side's, and a later
 * merge would take it for the project's.
 */
function planAgain(
  steps: readonly TransitionStep[],
  planned: readonly Conflict[],
  before: readonly Conflict[],
): { readonly changes: readonly PathChange[]; readonly conflicts: readonly Conflict[] } {
  const conflicts = new Map(planned.map((conflict) => [conflict.path, conflict]));
  const earlier = new Map(before.map((conflict) => [conflict.path, conflict]));
  const changes = steps.map((step): PathChange => {
    const { path, diskBefore, diskAfter, baseBefore, baseAfter } = step;
    const own = conflicts.get(path);
    const known = earlier.get(path);
    const isMoved = !sameSide(baseBefore, baseAfter);
    if (isMoved && known !== undefined) {
      conflicts.set(path, known);
      return { path, before: baseBefore, after: baseAfter };
    }
    if (own !== undefined && known === undefined) {
      conflicts.delete(path);
      return { path, before: own.base, after: own.theirs };
    }
    return isMoved && !sameSide(diskAfter, baseAfter)
      ? { path, before: baseBefore, after: baseAfter }
      : { path, before: diskBefore, after: diskAfter };
  });
  return { changes, conflicts: [...conflicts.values()] };
}

/**
 * Frames that a move needed, for the next one that needs them. From a forge in a directory only few are kept:
 * the rest is as near there.
 */
class ReceivedFrames {
  readonly #ws: Workspace;
  #frames: Frame[] = [];
  #bytes = 0;
  #writer: LocalPackWriter | undefined;

  constructor(ws: Workspace) {
    this.#ws = ws;
    if (!ws.inDirectory) this.#writer = ws.objects.writer("received");
  }

  add(frame: Frame): void {
    if (this.#writer !== undefined) {
      this.#writer.add(frame);
      return;
    }
    this.#bytes += frame.stored.length;
    if (this.#bytes <= KEPT_BYTES_MAX) this.#frames.push(frame);
    else this.#frames = [];
  }

  finish(): void {
    if (this.#frames.length > 0) {
      this.#writer = this.#ws.objects.writer("received");
      for (const frame of this.#frames) this.#writer.add(frame);
    }
    this.#writer?.finish();
  }
}

/** Files that kept changing while they were to be written: theirs is recorded, the file is left alone. */
function withConflicts(conflicts: readonly Conflict[], steps: readonly TransitionStep[]): Conflict[] {
  const all = new Map(conflicts.map((conflict) => [conflict.path, conflict]));
  for (const { path, diskBefore, diskAfter } of steps) {
    all.set(path, {
      path,
      kind: "binary",
      base: diskBefore,
      ours: undefined,
      theirs: diskAfter,
      written: undefined,
    });
  }
  return [...all.values()].sort((a, b) => comparePaths(a.path, b.path));
}
