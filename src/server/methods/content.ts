/** `mic.v1.ContentService`. */
import { hexToBytes, releaseBytes } from "../../core/base/bytes.ts";
import { MicError } from "../../core/base/errors.ts";
import type { ObjectId, Position, ProjectId } from "../../core/base/ids.ts";
import { PACK_BYTES_MAX } from "../../core/base/limits.ts";
import { parseTreePath } from "../../core/base/path.ts";
import {
  decodeMessage,
  HASH_BYTES,
  hashFromWire,
  numberFromWire,
  optionalId,
  pathsFromWire,
  positionFromWire,
  positionRefToWire,
} from "../../core/wire/common.ts";
import {
  blameLineToWire,
  diffRequestFromWire,
  directoryItemToWire,
  pathInfoToWire,
  storedContentToWire,
} from "../../core/wire/content.ts";
import { encodeChanges, encodeEntries } from "../../core/wire/entries.ts";
import {
  decodeReadObjectsRequest,
  encodeFetchItem,
  encodeReadObjectsResponse,
} from "../../core/wire/frames.ts";
import {
  type BlameRequest,
  type BlameResponse,
  ContentServiceDefinition,
  DiffRequest,
  FetchRequest,
  type GetBlobRequest,
  type GetBlobResponse,
  type LandingSummary,
  ListEntriesRequest,
  type ListLandingsRequest,
  type ListLandingsResponse,
  type PutBlobRequest,
  type PutPackRequest,
  type PutPackResponse,
  type StoredContent,
  type WatchLandingsRequest,
} from "../../core/wire/gen/mic/v1/content.ts";
import {
  foundToWire,
  landingIdFromWire,
  landingSummaryToWire,
  landingToWire,
  listLandingsFromWire,
} from "../../core/wire/history.ts";
import { headToWire } from "../../core/wire/projects.ts";
import { methodsOf, tunedStream } from "./define-method.ts";
import { finishUpload, startUpload } from "./direct-upload.ts";
import { untilDraining } from "./live.ts";
import type { Method, MethodCall } from "./method.ts";
import { pageOf } from "./projects.ts";
import { nextWithin, takeFirst, takeUploadMemory, withoutIdling } from "./upload.ts";

/** Calls of one caller that read a lot, of each method. */
const STREAMS_MAX = 32;
/** Bytes of content in one message, either way; a sender's may be a little larger. */
const PIECE_BYTES = 1 << 20;
const PIECE_MESSAGE_BYTES_MAX = 4 * PIECE_BYTES;
/** What storing content that comes in pieces holds at a time. */
const PUT_BLOB_BYTES = 16 << 20;
const BLAME_LINES = 1000;

const ACCESS = {
  getHead: "project-read",
  getTreeAtPosition: "project-read",
  getTree: "project-read",
  listEntries: "project-read",
  getPath: "project-read",
  diff: "project-read",
  blame: "project-read",
  findContent: "project-read",
  getBlob: "project-read",
  putBlob: "project-write",
  putPack: "project-write",
  startUpload: "project-write",
  finishUpload: "project-write",
  fetch: "project-read",
  readObjects: "project-read",
  listLandings: "project-read",
  getLanding: "project-read",
  findLanding: "project-read",
  watchLandings: "project-read",
} as const;

export function contentMethods(): Method[] {
  return methodsOf(ContentServiceDefinition, ACCESS, {
    getHead: async (request, call) => {
      const project = await call.project(request.project);
      const atLeast = positionFromWire(request.atLeast);
      return headToWire(await call.context.forge.getHead(project, { atLeast, signal: call.signal }));
    },
    getTreeAtPosition: async (request, call) => {
      const project = await call.project(request.project);
      const position = positionFromWire(request.position);
      return positionRefToWire(
        await call.context.forge.getPosition(project, position, { signal: call.signal }),
      );
    },
    getTree: async (request, call) => {
      const project = await call.project(request.project);
      const dir = request.dir === "" ? "" : parseTreePath(request.dir);
      const at = await positionOrHead(call, project, request.at);
      const wanted = { at, dir, ...pageOf(request) } as const;
      const page = await call.context.forge.listDirectory(project, wanted, { signal: call.signal });
      return { items: page.items.map(directoryItemToWire), next: page.next ?? "", position: BigInt(at) };
    },
    listEntries: tunedStream(
      {
        decode: (bytes) => decodeMessage(ListEntriesRequest, bytes),
        encode: encodeEntries,
        callsMax: STREAMS_MAX,
      },
      async function* (request, call) {
        const project = await call.project(request.project);
        const { context, signal } = call;
        const at = positionFromWire(request.at);
        yield* context.forge.listEntries(project, at, pathsFromWire(request.paths), { signal });
      },
    ),
    getPath: async (request, call) => {
      const project = await call.project(request.project);
      const path = parseTreePath(request.path);
      const at = await positionOrHead(call, project, request.at);
      return pathInfoToWire(await call.context.forge.getPath(project, at, path, { signal: call.signal }), at);
    },
    diff: tunedStream(
      { decode: (bytes) => decodeMessage(DiffRequest, bytes), encode: encodeChanges, callsMax: STREAMS_MAX },
      async function* (request, call) {
        const project = await call.project(request.project);
        yield* call.context.forge.diff(project, diffRequestFromWire(request), { signal: call.signal });
      },
    ),
    blame: { run: blame, callsMax: STREAMS_MAX },

    findContent: async (request, call) => {
      const project = await call.project(request.project);
      const { context, signal } = call;
      const found = await context.forge.findContent(project, contentIdOf(request), { signal });
      return { content: found === undefined ? undefined : storedContentToWire(found) };
    },
    getBlob: getBlob,
    putBlob: { run: putBlob, requestBytesMax: PIECE_MESSAGE_BYTES_MAX },
    putPack: { run: putPack, requestBytesMax: PIECE_MESSAGE_BYTES_MAX },
    startUpload: async (request, call) => {
      const project = await call.project(request.project);
      const place = await startUpload(call, project, numberFromWire(request.size, "size"));
      if (place === undefined) return { url: "", headers: {}, upload: "", expiresAtMs: 0n };
      const { url, headers, upload, expiresAtMs } = place;
      return { url, headers: { ...headers }, upload, expiresAtMs: BigInt(expiresAtMs) };
    },
    finishUpload: async (request, call) => {
      const project = await call.project(request.project);
      return { pack: hexToBytes(await finishUpload(call, project, request.upload)) };
    },
    fetch: tunedStream(
      {
        decode: (bytes) => decodeMessage(FetchRequest, bytes),
        encode: encodeFetchItem,
        callsMax: STREAMS_MAX,
      },
      async function* (request, call) {
        const project = await call.project(request.project);
        // Whoever fetches checks every object by its id; frames go out as they are stored.
        const options = { signal: call.signal, unchecked: true, borrowed: true };
        yield* call.context.forge.fetch(project, diffRequestFromWire(request), options);
      },
    ),
    readObjects: tunedStream(
      { decode: decodeReadObjectsRequest, encode: encodeReadObjectsResponse, callsMax: STREAMS_MAX },
      async function* (request, call) {
        const project = await call.project(request.project);
        yield* call.context.forge.readObjects(project, request.wants, { signal: call.signal });
      },
    ),

    listLandings: { run: listLandings, callsMax: STREAMS_MAX },
    getLanding: async (request, call) => {
      const project = await call.project(request.project);
      const position = positionFromWire(request.position);
      return landingToWire(await call.context.forge.getLanding(project, position, { signal: call.signal }));
    },
    findLanding: async (request, call) => {
      const project = await call.project(request.project);
      const landingId = landingIdFromWire(request.landingId);
      const after = positionFromWire(request.after);
      const { context, signal } = call;
      const found = await context.forge.findLanding(project, landingId, after, { signal });
      return { landing: found === undefined ? undefined : foundToWire(found, landingId) };
    },
    watchLandings: watchLandings,
  });
}

async function positionOrHead(
  call: MethodCall,
  project: ProjectId,
  at: bigint | undefined,
): Promise<Position> {
  if (at !== undefined) return positionFromWire(at);
  return (await call.context.forge.getHead(project, { signal: call.signal })).position;
}

async function* blame(request: BlameRequest, call: MethodCall): AsyncGenerator<BlameResponse> {
  const project = await call.project(request.project);
  const path = parseTreePath(request.path);
  const at = await positionOrHead(call, project, request.at);
  const lines = await call.context.forge.blame(project, at, path, { signal: call.signal });
  for (let start = 0; start < lines.length; start += BLAME_LINES) {
    yield { lines: lines.slice(start, start + BLAME_LINES).map(blameLineToWire) };
  }
}

function contentIdOf(request: { readonly id: Uint8Array; readonly chunks: Uint8Array }): {
  readonly id: ObjectId;
  readonly chunks?: ObjectId;
} {
  const id = hashFromWire(request.id, "an object id");
  const chunks = optionalId<ObjectId>(request.chunks, HASH_BYTES, "a chunk list's id");
  return chunks === undefined ? { id } : { id, chunks };
}

async function* getBlob(request: GetBlobRequest, call: MethodCall): AsyncGenerator<GetBlobResponse> {
  const project = await call.project(request.project);
  const { context, signal } = call;
  const content = contentIdOf(request);
  const hint = numberFromWire(request.hint, "hint");
  const offset = numberFromWire(request.offset, "offset");
  let size = numberFromWire(request.size, "size");
  if (size === 0) {
    const found = await context.forge.findContent(project, content, { signal });
    if (found === undefined) throw new MicError("not-found", `content ${content.id} is not stored`);
    size = found.size;
  }
  if (offset > size) {
    throw new MicError("out-of-range", `byte ${offset} is beyond the ${size} bytes of the content`);
  }
  const length = numberFromWire(request.length, "length") || size - offset;
  const isWhole = offset === 0 && length >= size;
  const file = { entry: { kind: "file", size, ...content }, hint } as const;
  const options = isWhole ? { signal } : { signal, range: { offset, length } };
  for await (const bytes of context.forge.readFile(project, file, options)) {
    for (let start = 0; start < bytes.length; start += PIECE_BYTES) {
      yield { data: bytes.subarray(start, start + PIECE_BYTES) };
    }
  }
}

async function putBlob(requests: AsyncIterable<PutBlobRequest>, call: MethodCall): Promise<StoredContent> {
  const { context, signal } = call;
  const { first, rest } = await takeFirst(requests);
  const project = await call.project(first.project);
  const second = await nextWithin(rest);
  if (second.done === true) {
    return storedContentToWire(await context.forge.putBlob(project, pieces(first.data), { signal }));
  }
  using _memory = await takeUploadMemory(call, PUT_BLOB_BYTES);
  const content = pieces(first.data, second.value.data, rest);
  return storedContentToWire(await context.forge.putBlob(project, content, { signal }));
}

async function* pieces(
  first: Uint8Array,
  second?: Uint8Array,
  rest?: AsyncIterator<PutBlobRequest>,
): AsyncGenerator<Uint8Array> {
  if (first.length > 0) yield first;
  if (second !== undefined && second.length > 0) yield second;
  if (rest === undefined) return;
  for await (const { data } of withoutIdling(rest)) if (data.length > 0) yield data;
}

/** Errors: `too-large` before anything is allocated, `usage` where the pack is not as long as it was said to be. */
async function putPack(requests: AsyncIterable<PutPackRequest>, call: MethodCall): Promise<PutPackResponse> {
  const { first, rest } = await takeFirst(requests);
  const project = await call.project(first.project);
  const size = numberFromWire(first.size, "size");
  if (size === 0) {
    throw new MicError("usage", "the size of the pack is missing", { hint: "give it in the first message" });
  }
  if (size > PACK_BYTES_MAX) {
    throw new MicError("too-large", `a pack of ${size} bytes; the limit is ${PACK_BYTES_MAX}`);
  }
  using _memory = await takeUploadMemory(call, size);
  const pack = Buffer.allocUnsafeSlow(size);
  let length = 0;
  const take = (data: Uint8Array): void => {
    if (data.length > size - length) throw wrongSize(`more than the ${size} bytes that were announced`);
    pack.set(data, length);
    length += data.length;
  };
  take(first.data);
  for await (const { data } of withoutIdling(rest)) take(data);
  if (length < size) throw wrongSize(`${length} of the ${size} bytes that were announced`);
  const id = await call.context.forge.putPack(project, pack, { signal: call.signal });
  releaseBytes(pack);
  return { pack: hexToBytes(id) };
}

function wrongSize(what: string): MicError {
  return new MicError("usage", `a pack of ${what}`, { hint: "the first message gives its exact size" });
}

async function* listLandings(
  request: ListLandingsRequest,
  call: MethodCall,
): AsyncGenerator<ListLandingsResponse> {
  const project = await call.project(request.project);
  const wanted = listLandingsFromWire(request);
  let left = request.limit === 0 ? Number.POSITIVE_INFINITY : request.limit;
  for await (const page of call.context.forge.listLandings(project, wanted, { signal: call.signal })) {
    const shown = page.length <= left ? page : page.slice(0, left);
    left -= shown.length;
    yield { landings: shown.map(landingSummaryToWire) };
    if (left === 0) return;
  }
}

async function* watchLandings(
  request: WatchLandingsRequest,
  call: MethodCall,
): AsyncGenerator<LandingSummary> {
  const project = await call.project(request.project);
  const after = positionFromWire(request.after);
  const { events } = call.context;
  for await (const landing of untilDraining(call, (signal) => events.landings(project, after, signal))) {
    yield landingSummaryToWire(landing);
  }
}
