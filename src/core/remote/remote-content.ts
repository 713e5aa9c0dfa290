/** Reading and uploading content over a network. Everything that is read as a file is verified here. */
import { bytesToHex, concatBytes, EMPTY_BYTES, hexToBytes } from "../base/bytes.ts";
import { corrupt, invariant, isMicError, MicError } from "../base/errors.ts";
import { hashBytes, StreamHasher } from "../base/hash.ts";
import type { ObjectId, PackId, ProjectId } from "../base/ids.ts";
import { CHUNK_THRESHOLD_BYTES } from "../base/limits.ts";
import { type ChunkList, chunkedSize, decodeChunkList } from "../codec/chunk-list.ts";
import type {
  CallOptions,
  ContentRange,
  DiffRequest,
  FetchItem,
  FetchOptions,
  LocatedEntry,
  ReadObjectsOptions,
  StoredContent,
} from "../forge/forge.ts";
import type { Frame, ObjectRef } from "../objects/frame.ts";
import { openVerifiedFrame } from "../objects/read-frame.ts";
import { decodeMessage, encodeMessage, hashFromWire, idToWire, receive } from "../wire/common.ts";
import { diffRequestToWire, storedContentFromWire } from "../wire/content.ts";
import {
  decodeFetchItem,
  decodeReadObjectsResponse,
  encodeReadObjectsRequest,
  type MessageParts,
} from "../wire/frames.ts";
import {
  FetchRequest,
  GetBlobRequest,
  GetBlobResponse,
  PutBlobRequest,
  PutPackRequest,
  PutPackResponse,
  StoredContent as WireStoredContent,
} from "../wire/gen/mic/v1/content.ts";
import { BYTES, ProtoWriter } from "../wire/proto-writer.ts";
import type { Caller } from "./caller.ts";
import { checkedFetch, FetchProgress, WantedObjects, wrongAnswer } from "./received-content.ts";

const SERVICE = "/mic.v1.ContentService";
/** Of an uploaded pack or blob, per message. */
const UPLOAD_MESSAGE_BYTES = 256 << 10;
/** Uploads up to this are kept, so that they can be sent again. */
const KEPT_BYTES_MAX = 4 << 20;
/** Wants in one ReadObjects call. */
const WANTS_PER_CALL = 65_536;
const DATA_FIELD = 2;
const PACK_DATA_FIELD = 3;

interface LocatedFile {
  readonly entry: LocatedEntry["entry"];
  readonly hint: number;
}

/** Where the frames break off, what is left of them is asked for object by object. */
export async function* fetchFrom(
  caller: Caller,
  project: ProjectId,
  request: DiffRequest,
  options: FetchOptions = {},
): AsyncGenerator<FetchItem> {
  if (request.paths?.length === 0) return;
  const { signal, borrowed: borrows } = options;
  const messages = [[encodeMessage(FetchRequest, diffRequestToWire(project, request))]];
  const path = `${SERVICE}/Fetch`;
  const spec = { path, messages: () => messages, repeat: "again", signal, borrows } as const;
  const progress = new FetchProgress();
  try {
    for await (const item of checkedFetch(caller.stream(spec, decodeFetchItem), request.paths)) {
      progress.note(item);
      yield item;
    }
    return;
  } catch (error) {
    if (!progress.hasAllChanges || !isMicError(error, "unreachable") || signal?.aborted) throw error;
  }
  for await (const frame of readObjectsFrom(caller, project, progress.rest(), options)) {
    yield { kind: "frame", frame };
  }
}

/** An answer that breaks off is asked for from there on. */
export async function* readObjectsFrom(
  caller: Caller,
  project: ProjectId,
  wants: readonly ObjectRef[],
  options: ReadObjectsOptions = {},
): AsyncGenerator<Frame> {
  for (let start = 0; start < wants.length; start += WANTS_PER_CALL) {
    const whole = start === 0 && wants.length <= WANTS_PER_CALL;
    yield* readSome(caller, project, whole ? wants : wants.slice(start, start + WANTS_PER_CALL), options);
  }
}

async function* readSome(
  caller: Caller,
  project: ProjectId,
  wants: readonly ObjectRef[],
  { signal }: ReadObjectsOptions,
): AsyncGenerator<Frame> {
  const wanted = new WantedObjects(wants);
  while (!wanted.isComplete) {
    const missing = wanted.missing();
    const messages = [[encodeReadObjectsRequest(project, missing)]];
    const spec = {
      path: `${SERVICE}/ReadObjects`,
      messages: () => messages,
      repeat: "again",
      signal,
    } as const;
    let got = false;
    try {
      for await (const frame of caller.stream(spec, decodeReadObjectsResponse)) {
        wanted.take(frame);
        got = true;
        yield frame;
      }
      if (!wanted.isComplete)
        throw wrongAnswer("ReadObjects", `${wanted.missing().length} objects are missing`);
    } catch (error) {
      // What came is progress: every turn asks for less.
      if (!got || !isMicError(error, "unreachable") || signal?.aborted) throw error;
    }
  }
}

/** Errors: `corrupt` for content that is not what the entry names; its last piece is then held back. */
export async function* readFileFrom(
  caller: Caller,
  project: ProjectId,
  file: LocatedFile,
  options: CallOptions & { readonly range?: ContentRange } = {},
): AsyncGenerator<Uint8Array> {
  const { entry } = file;
  const { range, signal } = options;
  if (range !== undefined) checkRange(range);
  if (range !== undefined && entry.chunks !== undefined) {
    yield* chunksInRange(caller, project, file, range, signal);
    return;
  }
  if (entry.chunks !== undefined || entry.size > CHUNK_THRESHOLD_BYTES) {
    const whole = wholeFile(caller, project, file, signal);
    yield* range === undefined ? whole : cut(whole, range);
    return;
  }
  const parts: Uint8Array[] = [];
  for await (const part of wholeFile(caller, project, file, signal)) parts.push(part);
  const content = parts.length === 1 ? parts[0]! : concatBytes(parts);
  const part = range === undefined ? content : content.subarray(range.offset, range.offset + range.length);
  if (part.length > 0) yield part;
}

function checkRange({ offset, length }: ContentRange): void {
  if (!Number.isSafeInteger(offset) || !Number.isSafeInteger(length) || offset < 0 || length < 0) {
    throw new MicError("usage", `${length} bytes at ${offset} are not a range`);
  }
}

/** The last piece is held back until the whole has been checked. */
async function* wholeFile(
  caller: Caller,
  project: ProjectId,
  { entry, hint }: LocatedFile,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  const request: GetBlobRequest = {
    project,
    id: hexToBytes(entry.id),
    chunks: idToWire(entry.chunks),
    hint: BigInt(hint),
    offset: 0n,
    length: 0n,
    size: BigInt(entry.size),
  };
  const messages = [[encodeMessage(GetBlobRequest, request)]];
  const spec = { path: `${SERVICE}/GetBlob`, messages: () => messages, repeat: "again", signal } as const;
  const hasher = new StreamHasher();
  let size = 0;
  let held: Uint8Array | undefined;
  for await (const data of caller.stream(spec, (bytes) => decodeMessage(GetBlobResponse, bytes).data)) {
    size += data.length;
    if (size > entry.size) throw corrupt(`content ${entry.id}`, `more than ${entry.size} bytes`);
    hasher.update(data);
    if (held !== undefined && held.length > 0) yield held;
    held = data;
  }
  if (size !== entry.size) throw corrupt(`content ${entry.id}`, `${size} bytes, not ${entry.size}`);
  if (hasher.digest() !== entry.id) throw corrupt(`content ${entry.id}`, "the server sent other bytes");
  if (held !== undefined && held.length > 0) yield held;
}

async function* cut(parts: AsyncIterable<Uint8Array>, range: ContentRange): AsyncGenerator<Uint8Array> {
  let start = 0;
  // Read to the end, where it is checked.
  for await (const part of parts) {
    const from = Math.max(0, range.offset - start);
    const to = Math.min(part.length, range.offset + range.length - start);
    if (from < to) yield part.subarray(from, to);
    start += part.length;
  }
}

async function* chunksInRange(
  caller: Caller,
  project: ProjectId,
  file: LocatedFile,
  range: ContentRange,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  const options = signal === undefined ? {} : { signal };
  let list: ChunkList;
  try {
    list = await readChunkList(caller, project, file, options);
  } catch (error) {
    // Content that no landing names is not among the objects of the history.
    if (file.hint !== 0 || !isMicError(error, "not-found")) throw error;
    yield* cut(wholeFile(caller, project, file, signal), range);
    return;
  }
  const chunks: { readonly id: ObjectId; readonly start: number; readonly hint: number }[] = [];
  let start = 0;
  for (const chunk of list.chunks) {
    const end = start + chunk.length;
    if (end > range.offset && start < range.offset + range.length) {
      chunks.push({ id: chunk.id, start, hint: chunk.hint === 0 ? file.hint : chunk.hint });
    }
    start = end;
  }
  const contents = new Map<ObjectId, Uint8Array>();
  let next = 0;
  for await (const frame of readObjectsFrom(caller, project, uniqueRefs(chunks), options)) {
    const raw = openVerifiedFrame(frame);
    for (const { id, offset, length } of frame.objects)
      contents.set(id, raw.subarray(offset, offset + length));
    for (; next < chunks.length; next++) {
      const chunk = chunks[next]!;
      const content = contents.get(chunk.id);
      if (content === undefined) break;
      const from = Math.max(0, range.offset - chunk.start);
      const to = Math.min(content.length, range.offset + range.length - chunk.start);
      if (from < to) yield content.subarray(from, to);
      if (!chunks.some((later, i) => i > next && later.id === chunk.id)) contents.delete(chunk.id);
    }
  }
}

function uniqueRefs(chunks: readonly ObjectRef[]): ObjectRef[] {
  const refs = new Map<ObjectId, ObjectRef>();
  for (const { id, hint } of chunks) if (!refs.has(id)) refs.set(id, { id, hint });
  return [...refs.values()];
}

async function readChunkList(
  caller: Caller,
  project: ProjectId,
  { entry, hint }: LocatedFile,
  options: CallOptions,
): Promise<ChunkList> {
  const { chunks: id } = entry;
  invariant(id !== undefined, "a file without chunks has no chunk list");
  for await (const frame of readObjectsFrom(caller, project, [{ id, hint }], options)) {
    const object = frame.objects.find((candidate) => candidate.id === id)!;
    const raw = openVerifiedFrame(frame);
    const end = object.offset + object.length;
    const list = decodeChunkList(
      raw.subarray(object.offset, end),
      raw.subarray(end, end + object.sidecarLength),
    );
    if (chunkedSize(list) !== entry.size) throw corrupt(`content ${entry.id}`, `not of ${entry.size} bytes`);
    return list;
  }
  throw wrongAnswer("ReadObjects", "no frame");
}

export async function putPackTo(
  caller: Caller,
  project: ProjectId,
  pack: Uint8Array,
  { signal }: CallOptions = {},
): Promise<PackId> {
  const path = `${SERVICE}/PutPack`;
  const messages = (): Iterable<MessageParts> => packMessages(project, pack);
  const bytes = await caller.single({ path, messages, repeat: "again", signal });
  const id = receive(path, () => hashFromWire(decodeMessage(PutPackResponse, bytes).pack, "a pack id"));
  if (id !== bytesToHex(hashBytes(pack))) throw wrongAnswer("PutPack", "it names another pack");
  return id as unknown as PackId;
}

function* packMessages(project: ProjectId, pack: Uint8Array): Generator<MessageParts> {
  const head = { project, size: BigInt(pack.length), data: EMPTY_BYTES };
  yield [encodeMessage(PutPackRequest, head)];
  for (let start = 0; start < pack.length; start += UPLOAD_MESSAGE_BYTES) {
    yield dataMessage(PACK_DATA_FIELD, pack.subarray(start, start + UPLOAD_MESSAGE_BYTES));
  }
}

/** A message that is one field of bytes, which are not copied. */
function dataMessage(field: number, data: Uint8Array): MessageParts {
  return [new ProtoWriter(64).tag(field, BYTES).varint(data.length).finish(), data];
}

/** Content that is small enough is kept, so that it can be sent again; what is larger only has one attempt. */
export async function putBlobTo(
  caller: Caller,
  project: ProjectId,
  content: AsyncIterable<Uint8Array>,
  { signal }: CallOptions = {},
): Promise<StoredContent> {
  const path = `${SERVICE}/PutBlob`;
  const hasher = new StreamHasher();
  let size = 0;
  const counted = (async function* () {
    for await (const part of content) {
      hasher.update(part);
      size += part.length;
      yield part;
    }
  })();
  const head: MessageParts = [encodeMessage(PutBlobRequest, { project, data: EMPTY_BYTES })];
  const kept: MessageParts[] = [head];
  let next = await counted.next();
  for (; next.done !== true && size <= KEPT_BYTES_MAX; next = await counted.next()) {
    for (const part of pieces(next.value)) kept.push(dataMessage(DATA_FIELD, part));
  }
  const bytes =
    next.done === true
      ? await caller.single({ path, messages: () => kept, repeat: "again", signal })
      : await caller.once({
          path,
          messages: () => streamed(kept, next.value!, counted),
          repeat: "once",
          signal,
        });
  const stored = receive(path, () => storedContentFromWire(decodeMessage(WireStoredContent, bytes)));
  if (stored.id !== hasher.digest() || stored.size !== size)
    throw wrongAnswer("PutBlob", "it names other content");
  return stored;
}

async function* streamed(
  kept: readonly MessageParts[],
  next: Uint8Array,
  rest: AsyncIterable<Uint8Array>,
): AsyncGenerator<MessageParts> {
  yield* kept;
  for (const part of pieces(next)) yield dataMessage(DATA_FIELD, part);
  for await (const bytes of rest) for (const part of pieces(bytes)) yield dataMessage(DATA_FIELD, part);
}

function* pieces(bytes: Uint8Array): Generator<Uint8Array> {
  for (let start = 0; start < bytes.length; start += UPLOAD_MESSAGE_BYTES) {
    yield bytes.subarray(start, start + UPLOAD_MESSAGE_BYTES);
  }
}
