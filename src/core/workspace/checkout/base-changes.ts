/** What the project has changed between the workspace's base and another position, and where to get it. */
import { MicError } from "../../base/errors.ts";
import type { ObjectId, Position } from "../../base/ids.ts";
import type { TreePath } from "../../base/path.ts";
import { sameSide } from "../../codec/content-side.ts";
import type { FetchItem, Forge, HeadInfo, PositionRef, TreeChange } from "../../forge/forge.ts";
import type { Frame, ObjectRef } from "../../objects/frame.ts";
import { framesOf } from "../content/content.ts";
import { callOptions } from "../context.ts";
import { sparseRelation } from "../sparse.ts";
import type { Workspace } from "../workspace.ts";
import { checkDirectories } from "./guard.ts";
import type { FrameSource } from "./move.ts";
import { recallChanges, recallRoot } from "./operation-record.ts";
import type { PathChange } from "./plan.ts";

/** The head, and the base checked against the project's history. Errors: `history-changed`, `unreachable`. */
export async function checkedHead(ws: Workspace, forge: Forge): Promise<HeadInfo> {
  const { project } = ws.settings;
  const { base } = ws.index;
  const head = await forge.getHead(project, callOptions(ws));
  if (head.position < base.position) throw historyChanged(ws, `its newest position is @${head.position}`);
  const known =
    head.position === base.position ? head : await forge.getPosition(project, base.position, callOptions(ws));
  if (known.root !== base.root) throw historyChanged(ws, `@${base.position} holds another tree`);
  ws.noteHead(head.position);
  return head;
}

export function historyChanged(ws: Workspace, detail: string): MicError {
  return new MicError(
    "history-changed",
    `the project's history is not the one that this workspace was at @${ws.index.base.position} of: ${detail}`,
    {
      hint: "the project was restored or replaced; clone it anew and bring your changes over",
      data: { position: ws.index.base.position },
    },
  );
}

/** `target` as (position, root). Errors: `out-of-range` beyond the head. */
export async function resolveTarget(
  ws: Workspace,
  forge: Forge,
  head: HeadInfo,
  target: Position,
): Promise<PositionRef> {
  if (target > head.position) {
    throw new MicError("out-of-range", `there is no position @${target}: the newest is @${head.position}`, {
      data: { position: target, latest: head.position },
    });
  }
  if (target === head.position) return { position: head.position, root: head.root };
  // What came before the base is settled with the base, which has been checked.
  const recalled = target < ws.index.base.position ? recallRoot(ws, ws.index.base, target) : undefined;
  if (recalled !== undefined) return recalled;
  const { position, root } = await forge.getPosition(ws.settings.project, target, callOptions(ws));
  return { position, root };
}

export function toPathChange(change: TreeChange): PathChange {
  return { path: change.path, before: change.before, after: change.after };
}

/** Changes between two positions within the workspace's sparse paths, in path order. */
export async function changesBetween(
  ws: Workspace,
  from: Position,
  to: Position,
  paths?: readonly TreePath[],
): Promise<PathChange[]> {
  if (from === to) return [];
  const forge = await ws.forge();
  const changes: PathChange[] = [];
  const request = { from, to, ...pathFilter(ws, paths) };
  for await (const page of forge.diff(ws.settings.project, request, callOptions(ws))) {
    for (const change of page) changes.push(toPathChange(change));
  }
  return changes;
}

function pathFilter(ws: Workspace, paths?: readonly TreePath[]): { paths?: readonly TreePath[] } {
  if (paths !== undefined) return { paths };
  return ws.settings.sparse.length === 0 ? {} : { paths: ws.settings.sparse };
}

/**
 * Changes from the base, as somebody else told them, against what the base is known to hold: whatever else is
 * decided by `before`, and whatever a path of theirs would be beside or below. Errors: `corrupt`, `unsafe-path`.
 */
export function checkFromBase(ws: Workspace, changes: readonly PathChange[]): void {
  const { index } = ws;
  const { sparse } = ws.settings;
  for (const { path, before } of changes) {
    if (sameSide(before, index.find(path)) || sparseRelation(sparse, path) !== "inside") continue;
    const detail = `another state of ${JSON.stringify(path)} than it has at @${index.base.position}`;
    throw new MicError("corrupt", `the project's changes start from ${detail}`, {
      hint: "nothing was written; run `mic fsck`, or clone anew",
    });
  }
  checkDirectories(changes, index);
}

/** Changes on the way from the base to `to`, with their content on its way where the forge is not at hand. */
export class IncomingChanges implements AsyncDisposable {
  readonly changes: readonly PathChange[];
  /** What `runMove` takes; undefined: its default. */
  readonly frames: FrameSource | undefined;
  readonly #stream: AsyncIterator<FetchItem> | undefined;

  private constructor(
    changes: readonly PathChange[],
    frames?: FrameSource,
    stream?: AsyncIterator<FetchItem>,
  ) {
    this.changes = changes;
    this.frames = frames;
    this.#stream = stream;
  }

  /** Errors: `unsafe-path` for a tree that cannot be (nothing is looked at or written then). */
  static async open(ws: Workspace, target: PositionRef): Promise<IncomingChanges> {
    const { base } = ws.index;
    const recalled = recallChanges(ws, base, target);
    if (recalled !== undefined) return new IncomingChanges(recalled);
    const from = base.position;
    const to = target.position;
    if (ws.inDirectory || to <= from) {
      const known = await changesBetween(ws, from, to);
      checkFromBase(ws, known);
      return new IncomingChanges(known);
    }
    const forge = await ws.forge();
    const request = { from, to, ...pathFilter(ws) };
    const stream = forge.fetch(ws.settings.project, request, callOptions(ws))[Symbol.asyncIterator]();
    const changes: PathChange[] = [];
    for (;;) {
      const next = await stream.next();
      if (next.done === true || next.value.kind !== "changes") break;
      for (const change of next.value.changes) changes.push(toPathChange(change));
    }
    checkFromBase(ws, changes);
    return new IncomingChanges(changes, (wants) => streamedFrames(ws, stream, wants), stream);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stream?.return?.();
  }
}

/** From `.mic/objects`, then from the stream, then (what the stream did not bring) asked for. */
async function* streamedFrames(
  ws: Workspace,
  stream: AsyncIterator<FetchItem>,
  wants: readonly ObjectRef[],
): AsyncGenerator<Frame> {
  const local: ObjectId[] = [];
  yield* ws.objects.frames(
    wants.map((want) => want.id),
    local,
  );
  if (local.length === 0) return;
  const missing = new Set(local);
  const writer = ws.objects.writer("received");
  while (missing.size > 0) {
    const next = await stream.next();
    if (next.done === true) break;
    if (next.value.kind !== "frame") continue;
    const { frame } = next.value;
    for (const { id } of frame.objects) missing.delete(id);
    writer.add(frame);
    yield frame;
  }
  if (missing.size > 0) {
    const rest = wants.filter((want) => missing.has(want.id));
    yield* framesOf(ws, rest, (frame) => writer.add(frame));
  }
  writer.finish();
}
