/** Content by id, from wherever it is at hand: `.mic/objects` first, then the forge. */
import { concatBytes, EMPTY_BYTES } from "../../base/bytes.ts";
import { throwIfAborted } from "../../base/clock.ts";
import { corrupt, invariant, MicError } from "../../base/errors.ts";
import { verifyObject } from "../../base/hash.ts";
import type { ObjectId } from "../../base/ids.ts";
import { type ChunkList, decodeChunkList } from "../../codec/chunk-list.ts";
import type { ContentSide } from "../../codec/content-side.ts";
import type { Frame, ObjectRef } from "../../objects/frame.ts";
import type { Workspace } from "../workspace.ts";
import { expandFrame } from "./local-objects.ts";

/** Whole verified content. Errors: `too-large` above `bytesMax`, `not-found`, `unreachable`, `corrupt`. */
export async function readContent(
  ws: Workspace,
  side: ContentSide,
  bytesMax = Number.POSITIVE_INFINITY,
): Promise<Uint8Array> {
  const { entry } = side;
  if (entry.size > bytesMax) {
    throw new MicError("too-large", `content of ${entry.size} bytes is more than ${bytesMax}`);
  }
  const parts: Uint8Array[] = [];
  for await (const part of streamContent(ws, side)) parts.push(part);
  const content = parts.length === 1 ? parts[0]! : concatBytes(parts);
  verifyObject(entry.id, content, "content read for the workspace");
  return content;
}

/** Content in order, in bounded memory. Chunks are verified one by one; the whole is for the caller to verify. */
export async function* streamContent(ws: Workspace, side: ContentSide): AsyncGenerator<Uint8Array> {
  const { entry } = side;
  if (entry.size === 0) {
    yield EMPTY_BYTES;
    return;
  }
  const local = localChunks(ws, side);
  if (local !== undefined) {
    for (const id of local) {
      throwIfAborted(ws.context.signal);
      const chunk = ws.objects.read(id);
      if (chunk === undefined) throw corrupt("local objects", `lack ${id}, which was there a moment ago`);
      yield chunk.content;
    }
    return;
  }
  const forge = await ws.forge();
  const { signal } = ws.context;
  yield* forge.readFile(ws.settings.project, side, signal === undefined ? {} : { signal });
}

/** The chunks of a stored file, with absolute hints. Errors: `not-found`, `unreachable`, `corrupt`. */
export async function readChunkList(ws: Workspace, side: ContentSide): Promise<ChunkList> {
  const id = side.entry.chunks;
  invariant(id !== undefined, "a file without chunks has no chunk list");
  for await (const frame of framesOf(ws, [{ id, hint: side.hint }])) {
    const object = frame.objects.find((candidate) => candidate.id === id);
    if (object === undefined) continue;
    const raw = expandFrame(frame);
    const end = object.offset + object.length;
    const content = raw.subarray(object.offset, end);
    verifyObject(id, content, "chunk list");
    const list = decodeChunkList(content, raw.subarray(end, end + object.sidecarLength));
    return { chunks: list.chunks.map((chunk) => (chunk.hint === 0 ? { ...chunk, hint: side.hint } : chunk)) };
  }
  throw new MicError("not-found", `chunk list ${id} was not sent`);
}

/** The ids to read one after the other when all of them are here. */
function localChunks(ws: Workspace, side: ContentSide): readonly ObjectId[] | undefined {
  const { entry } = side;
  if (entry.chunks === undefined) return ws.objects.has(entry.id) ? [entry.id] : undefined;
  const list = ws.objects.read(entry.chunks);
  if (list === undefined) return undefined;
  const ids = decodeChunkList(list.content, list.sidecar).chunks.map((chunk) => chunk.id);
  return ids.every((id) => ws.objects.has(id)) ? ids : undefined;
}

/**
 * Frames that together hold every wanted object, first those at hand. `received` is told each frame that came
 * from the forge. Errors: `not-found` from the forge.
 */
export async function* framesOf(
  ws: Workspace,
  wants: readonly ObjectRef[],
  received?: (frame: Frame) => void,
): AsyncGenerator<Frame> {
  const missing: ObjectId[] = [];
  yield* ws.objects.frames(
    wants.map((want) => want.id),
    missing,
  );
  if (missing.length === 0) return;
  const hints = new Map(wants.map((want) => [want.id, want.hint]));
  const forge = await ws.forge();
  const { signal } = ws.context;
  const refs = missing.map((id) => ({ id, hint: hints.get(id) ?? 0 }));
  for await (const frame of forge.readObjects(ws.settings.project, refs, {
    ...(signal === undefined ? {} : { signal }),
    uncompressed: ws.inDirectory,
  })) {
    received?.(frame);
    yield frame;
  }
}

/** Calls `use` with each object of a frame that `wanted` accepts, verified. The bytes are a view of the frame. */
export function eachObject(
  frame: Frame,
  wanted: (id: ObjectId) => boolean,
  use: (id: ObjectId, content: Uint8Array) => void,
): void {
  let raw: Uint8Array | undefined;
  for (const object of frame.objects) {
    if (!wanted(object.id)) continue;
    raw ??= expandFrame(frame);
    const content = raw.subarray(object.offset, object.offset + object.length);
    verifyObject(object.id, content, "received content");
    use(object.id, content);
  }
}
