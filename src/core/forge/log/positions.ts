/** Positions of a snapshot, with the errors that callers are promised. */
import { throwIfAborted } from "../../base/clock.ts";
import type { Position, ProjectId } from "../../base/ids.ts";
import type { ForgeContext } from "../context.ts";
import type { CallOptions, PositionRef } from "../forge.ts";
import { outOfRange, type Snapshot } from "./snapshot.ts";

/**
 * The project as it is now. Errors: `not-found` also for a deleted project, whose head stays where it was;
 * `aborted`.
 */
export async function openSnapshot(
  context: ForgeContext,
  project: ProjectId,
  options: CallOptions & { readonly atLeast?: Position } = {},
): Promise<Snapshot> {
  throwIfAborted(options.signal);
  // Together, so that asking whether the project was deleted costs no extra round trip.
  const [snapshot] = await Promise.all([
    context.project(project).snapshot(options),
    context.requireProject(project, options.signal),
  ]);
  return snapshot;
}

/** A snapshot that has `position`. Errors: `out-of-range` beyond the head, `not-found` for the project. */
export async function snapshotAt(
  context: ForgeContext,
  project: ProjectId,
  position: Position,
  options: CallOptions = {},
): Promise<Snapshot> {
  const snapshot = await openSnapshot(context, project, options);
  requireReached(snapshot, position);
  return snapshot;
}

/** Errors: `out-of-range` beyond the head. */
export async function requirePosition(snapshot: Snapshot, position: Position): Promise<PositionRef> {
  requireReached(snapshot, position);
  return { position, root: await snapshot.rootAt(position) };
}

export function requireReached(snapshot: Snapshot, position: Position): void {
  const head = snapshot.head.position;
  if (Number.isSafeInteger(position) && position >= 0 && position <= head) return;
  throw outOfRange(position, head);
}
