/**
 * Settles what an earlier command left unfinished, before anything else changes: a move that stopped half way
 * is finished, a landing whose outcome is unknown is found, dropped, or sent again.
 */
import { type ErrorCode, invariant, isMicError, MicError } from "../../base/errors.ts";
import type { Position } from "../../base/ids.ts";
import type { List } from "../../base/list.ts";
import type { TreePath } from "../../base/path.ts";
import type { ContentSide } from "../../codec/content-side.ts";
import { decodePackIndex, decodePackTrailer } from "../../codec/pack.ts";
import type { PendingLanding, PendingOperation } from "../../codec/pending-landing.ts";
import type { TransitionStep } from "../../codec/transition.ts";
import type { Forge, LandRequest, LandResult, Operation, PositionRef } from "../../forge/forge.ts";
import type { Frame } from "../../objects/frame.ts";
import { isUnreadablePolicy } from "../../secrets/refusal.ts";
import { maintainObjects } from "../content/maintain.ts";
import { callOptions } from "../context.ts";
import { fileError } from "../disk/file-error.ts";
import type { ScanFindings } from "../index/scan-findings.ts";
import type { IndexEntry } from "../index/workspace-index.ts";
import type { LandedRows } from "../packing/packed-changes.ts";
import { baseSide } from "../scan/changes.ts";
import type { Workspace } from "../workspace.ts";
import { changesBetween, checkFromBase } from "./base-changes.ts";
import { finishMove, mergeLabels, runMove } from "./move.ts";
import { recordOperation, WHOLE_STEPS_MAX } from "./operation-record.ts";
import { type PathChange, planMove, sortSteps } from "./plan.ts";

/** Runs a command that changes the workspace: with the lock, on settled state. */
export function changeWorkspace<T>(ws: Workspace, body: () => Promise<T>): Promise<T> {
  return ws.exclusive(async () => {
    try {
      await settle(ws);
      const result = await body();
      maintainObjects(ws);
      return result;
    } catch (error) {
      throw fileError(
        error,
        "the command stopped",
        "put right what stopped it; `mic status` says whether something is left to finish",
      );
    }
  });
}

/** With the lock held. Errors: `outcome-unknown` or `unreachable` when the forge cannot be asked. */
export async function settle(ws: Workspace): Promise<void> {
  await resumeMove(ws);
  await settlePending(ws);
}

async function resumeMove(ws: Workspace): Promise<void> {
  const transition = ws.loadTransition();
  if (transition === undefined) return;
  const { base } = ws.index;
  const isOurs =
    base.root === transition.from.root ||
    (base.root === transition.to.root && base.position === transition.to.position);
  if (!isOurs) {
    ws.context.warn?.(
      `an unfinished ${transition.description} does not belong to @${base.position} and was dropped`,
    );
    ws.clearTransition();
    return;
  }
  await finishMove(ws, transition, new Map());
  ws.context.warn?.(`finished the interrupted ${transition.description}`);
}

async function settlePending(ws: Workspace): Promise<void> {
  const pending = ws.loadPending();
  if (pending === undefined) return;
  const forge = await ws.forge();
  const { project } = ws.settings;
  const found = await forge.findLanding(project, pending.landingId, pending.basePosition, callOptions(ws));
  if (found !== undefined) {
    await finishLanding(ws, forge, pending, found);
    ws.context.warn?.(`the landing ${pending.landingId} had landed at @${found.position}`);
    return;
  }
  if (ws.inDirectory || !pending.resendable) {
    ws.clearPending();
    ws.context.warn?.(`the landing ${pending.landingId} was interrupted before it landed`);
    return;
  }
  const result = await sendAgain(ws, forge, pending);
  if (result === undefined) return;
  if (result.kind === "conflict") {
    ws.clearPending();
    ws.context.warn?.(`the landing ${pending.landingId} conflicts with others and did not land`);
    return;
  }
  await finishLanding(ws, forge, pending, result);
  ws.context.warn?.(`the landing ${pending.landingId} landed at @${result.position}`);
}

/** Said of what is asked for, whoever is asked and when: no attempt had another answer. */
const HOPELESS: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  "usage",
  "unsafe-path",
  "too-large",
  "history-changed",
  "landing-id-reused",
  "different-lineage",
]);

/** Said of this attempt: an earlier one may have passed, and be on its way still. */
const REFUSED_NOW: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  "not-found",
  "out-of-range",
  "unsupported",
  "corrupt",
]);

/**
 * Nothing can land any more this long after the last time at which it may have been sent: servers try for minutes, and
 * a store takes a request for a quarter of an hour after it was signed.
 */
const ON_ITS_WAY_MS_MAX = 3_600_000;

/** Undefined when it never can land: it is given up, and its files are as they were. */
async function sendAgain(
  ws: Workspace,
  forge: Forge,
  pending: PendingLanding,
): Promise<LandResult | undefined> {
  const { landingId } = pending;
  const content = pending.hasContent ? ws.loadPendingContent() : undefined;
  if (pending.hasContent && content === undefined) {
    throw new MicError("outcome-unknown", `the content of landing ${landingId} is gone`, {
      hint: "delete .mic/pending to give this landing up",
      data: { landing: landingId },
    });
  }
  const { untilMs, ageMs } = ws.pendingSent();
  ws.notePendingSending();
  try {
    return await forge.land(ws.settings.project, requestOf(pending, content), callOptions(ws));
  } catch (error) {
    if (!isMicError(error)) throw error;
    const isRefused = REFUSED_NOW.has(error.code) || isUnreadablePolicy(error);
    if (!isRefused && !HOPELESS.has(error.code)) throw error;
    if (isRefused && ageMs < ON_ITS_WAY_MS_MAX) {
      // This attempt is over: what may be on its way is what was sent before.
      ws.notePendingSent(untilMs);
      throw new MicError("outcome-unknown", `landing ${landingId} may still happen: ${error.message}`, {
        hint: "run this again; an hour after the time for which it may have been sent (twice --timeout) it is given up if it is refused then",
        cause: error,
        data: { landing: landingId },
      });
    }
    ws.clearPending();
    ws.context.warn?.(`the landing ${landingId} was given up: ${error.message}`);
    return undefined;
  }
}

function requestOf(pending: PendingLanding, content: Uint8Array | undefined): LandRequest {
  const request: LandRequest = {
    landingId: pending.landingId,
    base: { position: pending.basePosition, root: pending.baseRoot },
    goal: pending.goal,
    author: pending.author,
    agent: pending.agent,
    operations: pending.operations.map(toOperation),
    decisions: pending.decisions,
    conversation: [],
    packs: pending.packs,
    frames: content === undefined ? [] : framesOfPack(content),
  };
  return pending.session === undefined ? request : { ...request, session: pending.session };
}

export function toOperation(operation: PendingOperation): Operation {
  const { path, after } = operation;
  return after === undefined
    ? { kind: "delete", path }
    : { kind: "put", path, entry: after.entry, hint: after.hint };
}

function framesOfPack(bytes: Uint8Array): Frame[] {
  const { tailLength } = decodePackTrailer(bytes);
  const index = decodePackIndex(bytes.subarray(bytes.length - tailLength));
  return index
    .frames()
    .map(({ offset, storedLength }, i) => index.frameWith(i, bytes.subarray(offset, offset + storedLength)));
}

/** Operations of a landing as the workspace keeps them. */
async function operationsOf(
  ws: Workspace,
  forge: Forge,
  pending: PendingLanding,
  position: Position,
): Promise<List<PendingOperation>> {
  if (pending.resendable) return pending.operations;
  const landing = await forge.getLanding(ws.settings.project, position, callOptions(ws));
  return landing.operations.map((operation) => ({
    path: operation.path,
    after: operation.kind === "delete" ? undefined : { entry: operation.entry, hint: operation.hint },
  }));
}

async function finishLanding(
  ws: Workspace,
  forge: Forge,
  pending: PendingLanding,
  landed: PositionRef,
): Promise<void> {
  const operations =
    landed.position <= ws.index.base.position ? [] : await operationsOf(ws, forge, pending, landed.position);
  await bringForward(ws, { operations, landed, session: pending.session, goal: pending.goal });
}

export interface LandedWork {
  readonly operations: List<PendingOperation>;
  readonly landed: PositionRef;
  readonly session: PendingLanding["session"];
  readonly goal: string;
  /** The operations as rows, with trusted stat data of the files as they were packed. */
  readonly rows?: LandedRows;
  /** Of the scan, made on the index that is still the workspace's. */
  readonly findings?: ScanFindings;
}

/**
 * After a landing at N from base B: what others landed in (B, N] is written where files are unmodified and
 * merged into unlanded edits, and then the base is N. Returns the paths left in conflict.
 */
export async function bringForward(ws: Workspace, work: LandedWork): Promise<readonly TreePath[]> {
  const { landed, operations } = work;
  const { base } = ws.index;
  ws.noteLatest(landed.position);
  let conflicts: readonly TreePath[] = [];
  if (landed.position > base.position) {
    const others = landed.position === base.position + 1 ? [] : await changesOfOthers(ws, work);
    if (others.length === 0) adoptLanding(ws, work);
    else conflicts = await mergeOthers(ws, work, others);
  }
  clearLandedLists(ws, operations, work.session);
  ws.clearPending();
  return conflicts;
}

async function changesOfOthers(ws: Workspace, { landed, operations }: LandedWork): Promise<PathChange[]> {
  const ours = new Set(operations.map((operation) => operation.path));
  const changes = await changesBetween(ws, ws.index.base.position, landed.position);
  checkFromBase(ws, changes);
  return changes.filter((change) => !ours.has(change.path));
}

/** The hint of content that the landing itself introduced is the landed position. */
function landedSide(after: ContentSide | undefined, landed: PositionRef): ContentSide | undefined {
  return after === undefined || after.hint !== 0 ? after : { entry: after.entry, hint: landed.position };
}

function adoptLanding(ws: Workspace, work: LandedWork): void {
  const { landed, operations, findings } = work;
  const from = ws.index.base;
  const isSmall = operations.length <= WHOLE_STEPS_MAX;
  const steps = isSmall ? ownSteps(ws, work) : [];
  const rows = work.rows ?? rowsOf(operations, landed);
  const scan = findings === undefined ? {} : { scan: findings };
  ws.changeIndex({ base: landed, ...rows, ...scan });
  recordOperation(ws, {
    kind: "land",
    number: ws.loadOperations().nextNumber,
    timeMs: Math.max(0, Math.floor(ws.context.clock.nowMs())),
    description: landDescription(landed, work.goal),
    from,
    to: landed,
    complete: isSmall,
    steps,
    conflictsBefore: ws.conflicts,
    conflictsAfter: ws.conflicts,
  });
}

function rowsOf(operations: List<PendingOperation>, landed: PositionRef): LandedRows {
  const upserts: IndexEntry[] = [];
  const removes: TreePath[] = [];
  for (const { path, after } of operations) {
    const side = landedSide(after, landed);
    if (side === undefined) removes.push(path);
    else upserts.push({ path, entry: side.entry, hint: side.hint, stat: undefined });
  }
  return { upserts, removes };
}

async function mergeOthers(
  ws: Workspace,
  work: LandedWork,
  others: readonly PathChange[],
): Promise<readonly TreePath[]> {
  const { landed } = work;
  const from = ws.index.base.position;
  const plan = await planMove(ws, others, "merge", mergeLabels(from, landed.position));
  const own = ownSteps(ws, work);
  const known = new Set(own.map((step) => step.path));
  invariant(!plan.steps.some((step) => known.has(step.path)), "a landed path was merged with itself");
  const steps = sortSteps([...plan.steps, ...own]);
  const result = await runMove(ws, {
    kind: "land",
    description: landDescription(landed, work.goal),
    to: landed,
    plan: { ...plan, steps },
  });
  return result.conflicts.map((conflict) => conflict.path);
}

/** The files are as they were landed; the base follows. */
function ownSteps(ws: Workspace, { operations, landed }: LandedWork): TransitionStep[] {
  return operations.map(({ path, after }) => {
    const side = landedSide(after, landed);
    return { path, diskBefore: side, baseBefore: baseSide(ws, path), diskAfter: side, baseAfter: side };
  });
}

function landDescription(landed: PositionRef, goal: string): string {
  return `land @${landed.position}: ${goal.split("\n", 1)[0]!.slice(0, 100)}`;
}

/** A landed session is no longer the open one; paths that were to be tracked or untracked now are. */
function clearLandedLists(
  ws: Workspace,
  operations: List<PendingOperation>,
  session: PendingLanding["session"],
): void {
  const { settings } = ws;
  const hasLists = settings.untracked.length > 0 || settings.tracked.length > 0;
  const landed = new Set(hasLists ? operations.map((operation) => operation.path) : []);
  const untracked = settings.untracked.filter((path) => !landed.has(path));
  const tracked = settings.tracked.filter((path) => !landed.has(path));
  const sessionDone = session !== undefined && settings.session === session;
  if (
    !sessionDone &&
    untracked.length === settings.untracked.length &&
    tracked.length === settings.tracked.length
  ) {
    return;
  }
  ws.saveSettings({ ...settings, untracked, tracked, session: sessionDone ? undefined : settings.session });
}
