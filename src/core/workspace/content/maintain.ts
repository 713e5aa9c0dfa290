/** Keeps `.mic/objects` bounded: which of its content is still of use, and when it is worth looking. */
import { isMicError } from "../../base/errors.ts";
import type { ObjectId } from "../../base/ids.ts";
import { decodeChunkList } from "../../codec/chunk-list.ts";
import type { ContentSide } from "../../codec/content-side.ts";
import type { Workspace } from "../workspace.ts";

/** Above this, content that neither the base, a conflict nor the operation log refers to is dropped. */
export const OBJECTS_BUDGET_BYTES = 1 << 30;

/** With the lock held. */
export function maintainObjects(ws: Workspace, budgetBytes: number = OBJECTS_BUDGET_BYTES): void {
  if (!ws.objects.needsCompaction(budgetBytes)) return;
  const live = referredContent(ws);
  ws.objects.compact((id) => live.has(id) || ws.index.hintOf(id) !== undefined, budgetBytes);
}

function referredContent(ws: Workspace): Set<ObjectId> {
  const live = new Set<ObjectId>();
  const add = (side: ContentSide | undefined): void => {
    if (side === undefined) return;
    live.add(side.entry.id);
    if (side.entry.chunks !== undefined && !live.has(side.entry.chunks))
      addChunks(ws, side.entry.chunks, live);
  };
  for (const { chunks } of chunkedEntries(ws)) addChunks(ws, chunks, live);
  for (const operation of ws.loadOperations().operations) {
    for (const step of operation.steps) {
      for (const side of [step.diskBefore, step.diskAfter, step.baseBefore, step.baseAfter]) add(side);
    }
    for (const conflict of [...operation.conflictsBefore, ...operation.conflictsAfter]) {
      for (const side of [conflict.base, conflict.ours, conflict.theirs, conflict.written]) add(side);
    }
  }
  for (const conflict of ws.conflicts) {
    for (const side of [conflict.base, conflict.ours, conflict.theirs, conflict.written]) add(side);
  }
  return live;
}

function* chunkedEntries(ws: Workspace): Generator<{ chunks: ObjectId }> {
  const { chunkedFile } = ws.index.columns;
  for (const file of chunkedFile) {
    const { chunks } = ws.index.entryOf(file).entry;
    if (chunks !== undefined) yield { chunks };
  }
}

function addChunks(ws: Workspace, list: ObjectId, live: Set<ObjectId>): void {
  live.add(list);
  try {
    const stored = ws.objects.read(list);
    if (stored === undefined) return;
    for (const { id } of decodeChunkList(stored.content, stored.sidecar).chunks) live.add(id);
  } catch (error) {
    // What cannot be read keeps nothing alive; whoever needs it will be told.
    if (!isMicError(error, "corrupt")) throw error;
  }
}
