/** Keeps the content of the base in `.mic/objects`, for a workspace whose forge moves behind a network. */
import { POSITION_ZERO } from "../../base/ids.ts";
import { decodeChunkList } from "../../codec/chunk-list.ts";
import type { Forge } from "../../forge/forge.ts";
import type { ObjectRef } from "../../objects/frame.ts";
import { openVerifiedFrame, sliceObject } from "../../objects/read-frame.ts";
import type { LocalPackWriter } from "../content/local-objects.ts";
import { callOptions } from "../context.ts";
import type { Workspace } from "../workspace.ts";

/** With the lock held. Everything that `status`, `diff`, `sync` and `undo` need of the base is here afterwards. */
export async function keepBase(ws: Workspace, forge: Forge): Promise<void> {
  const { project, sparse } = ws.settings;
  const { position } = ws.index.base;
  const writer = ws.objects.writer("received");
  const range = { from: POSITION_ZERO, to: position, ...(sparse.length === 0 ? {} : { paths: sparse }) };
  const chunked: ObjectRef[] = [];
  for await (const item of forge.fetch(project, range, callOptions(ws))) {
    if (item.kind === "frame") writer.add(item.frame);
    if (item.kind !== "changes") continue;
    for (const { after } of item.changes) {
      if (after?.entry.chunks !== undefined) chunked.push({ id: after.entry.chunks, hint: after.hint });
    }
  }
  for (const list of chunked) await keepChunks(ws, forge, list, writer);
  writer.finish();
}

async function keepChunks(
  ws: Workspace,
  forge: Forge,
  list: ObjectRef,
  writer: LocalPackWriter,
): Promise<void> {
  const { project } = ws.settings;
  const chunks: ObjectRef[] = [];
  for await (const frame of forge.readObjects(project, [list], callOptions(ws))) {
    const object = frame.objects.find(({ id }) => id === list.id);
    if (object === undefined) continue;
    const { content, sidecar } = sliceObject(openVerifiedFrame(frame), object);
    for (const { id, hint } of decodeChunkList(content, sidecar).chunks) {
      chunks.push({ id, hint: hint === 0 ? list.hint : hint });
    }
  }
  for await (const frame of forge.readObjects(project, chunks, callOptions(ws))) writer.add(frame);
}
