/** Brings content of the project into `.mic/objects` before it is read version by version. */
import type { ObjectId } from "../../base/ids.ts";
import { decodeChunkList } from "../../codec/chunk-list.ts";
import type { ContentSide } from "../../codec/content-side.ts";
import type { ObjectRef } from "../../objects/frame.ts";
import { openVerifiedFrame } from "../../objects/read-frame.ts";
import type { Workspace } from "../workspace.ts";
import { framesOf } from "./content.ts";

/**
 * In one call (two where some are stored in chunks), whatever their number. Not for a forge in a directory, which is
 * as near as the copy would be. Errors: `not-found`, `unreachable`.
 */
export async function prefetch(ws: Workspace, sides: readonly ContentSide[]): Promise<void> {
  if (ws.inDirectory) return;
  const wants = new Map<ObjectId, ObjectRef>();
  const lists: { readonly id: ObjectId; readonly hint: number }[] = [];
  for (const { entry, hint } of sides) {
    if (entry.size === 0) continue;
    const id = entry.chunks ?? entry.id;
    wants.set(id, { id, hint });
    if (entry.chunks !== undefined) lists.push({ id, hint });
  }
  await bring(ws, [...wants.values()]);
  const chunks = new Map<ObjectId, ObjectRef>();
  for (const { id, hint } of lists) {
    const list = ws.objects.read(id);
    if (list === undefined) continue;
    for (const chunk of decodeChunkList(list.content, list.sidecar).chunks) {
      chunks.set(chunk.id, { id: chunk.id, hint: chunk.hint === 0 ? hint : chunk.hint });
    }
  }
  await bring(ws, [...chunks.values()]);
}

async function bring(ws: Workspace, wants: readonly ObjectRef[]): Promise<void> {
  const missing = wants.filter(({ id }) => !ws.objects.has(id));
  if (missing.length === 0) return;
  const writer = ws.objects.writer("received");
  for await (const frame of framesOf(ws, missing)) {
    // What is here is taken for good, so nothing comes in unseen.
    openVerifiedFrame(frame);
    writer.add(frame);
  }
  writer.finish();
}
