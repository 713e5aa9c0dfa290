/** What stands at a position: paths, directories, entries, and the bytes of files. */

import { EMPTY_BYTES, fromUtf8, utf8 } from "../../base/bytes.ts";
import { throwIfAborted } from "../../base/clock.ts";
import { corrupt, MicError } from "../../base/errors.ts";
import { StreamHasher } from "../../base/hash.ts";
import { type ObjectId, type Position, type ProjectId, parseObjectId } from "../../base/ids.ts";
import { findComponentProblem, parseTreePath, pathToKey, type TreePath } from "../../base/path.ts";
import { type Chunk, type ChunkList, chunkedSize, decodeChunkList } from "../../codec/chunk-list.ts";
import type { LooseObject } from "../../codec/loose-object.ts";
import { decodeTreeEntry, type TreeEntry } from "../../codec/tree-entry.ts";
import type { Frame, ObjectKind, ObjectRef } from "../../objects/frame.ts";
import type { ObjectReader } from "../../objects/object-reader.ts";
import { listDirectory as listTreeDirectory, lookupPath } from "../../prolly/directory.ts";
import { PathDecoder } from "../../prolly/path-decoder.ts";
import { rangesOfPaths } from "../../prolly/path-ranges.ts";
import type { ForgeContext } from "../context.ts";
import type {
  CallOptions,
  ContentRange,
  DirectoryItem,
  ListDirectory,
  LocatedEntry,
  Page,
  PathInfo,
  ReadObjectsOptions,
  StoredContent,
} from "../forge.ts";
import { openSnapshot, snapshotAt } from "../log/positions.ts";
import { storedContentOf } from "./loose.ts";

const DIRECTORY_LIMIT_DEFAULT = 1_000;
const DIRECTORY_LIMIT_MAX = 10_000;

interface LocatedFile {
  readonly entry: TreeEntry;
  readonly hint: number;
}

export async function getPath(
  context: ForgeContext,
  project: ProjectId,
  at: Position,
  path: TreePath,
  options: CallOptions = {},
): Promise<PathInfo | undefined> {
  const key = pathToKey(parseTreePath(path));
  const snapshot = await snapshotAt(context, project, at, options);
  const found = await lookupPath(await snapshot.treeAt(at), key);
  if (found === undefined || found.kind === "directory") return found;
  return { kind: "entry", entry: decodeTreeEntry(found.value), hint: found.hint };
}

/** Errors: `not-found` when there is no such directory; `unsafe-path` for a stored name that must not be. */
export async function listDirectory(
  context: ForgeContext,
  project: ProjectId,
  request: ListDirectory,
  options: CallOptions = {},
): Promise<Page<DirectoryItem>> {
  const snapshot = await snapshotAt(context, project, request.at, options);
  const tree = await snapshot.treeAt(request.at);
  const key = request.dir === "" ? EMPTY_BYTES : pathToKey(parseTreePath(request.dir));
  const limit = Math.min(Math.max(1, request.limit ?? DIRECTORY_LIMIT_DEFAULT), DIRECTORY_LIMIT_MAX);
  const page = await listTreeDirectory(tree, key, {
    limit,
    ...(request.after === undefined ? {} : { after: utf8(request.after) }),
  });
  if (page.items.length === 0 && request.dir !== "" && request.after === undefined) {
    const found = await lookupPath(tree, key);
    const what = found?.kind === "entry" ? "is a file, not a directory" : "does not exist";
    throw new MicError("not-found", `${JSON.stringify(request.dir)} ${what} at position ${request.at}`);
  }
  const items = page.items.map((item): DirectoryItem => {
    const name = checkedName(item.name);
    if (item.kind === "directory") return { kind: "directory", name, count: item.count };
    return { kind: "entry", name, entry: decodeTreeEntry(item.value), hint: item.hint };
  });
  return page.more && items.length > 0 ? { items, next: items.at(-1)!.name } : { items };
}

/** Errors: `unsafe-path` for a stored path that must not be. */
export async function* listEntries(
  context: ForgeContext,
  project: ProjectId,
  at: Position,
  paths: readonly TreePath[] | undefined,
  options: CallOptions = {},
): AsyncIterable<readonly LocatedEntry[]> {
  const ranges = rangesOfPaths(paths);
  const snapshot = await snapshotAt(context, project, at, options);
  const tree = await snapshot.treeAt(at);
  const decoder = new PathDecoder();
  for (const range of ranges) {
    for await (const page of tree.pages(range)) {
      throwIfAborted(options.signal);
      const entries: LocatedEntry[] = new Array(page.length);
      for (let i = 0; i < page.length; i++) {
        const { key, value, hint } = page[i]!;
        entries[i] = { path: decoder.decode(key), entry: decodeTreeEntry(value), hint };
      }
      yield entries;
    }
  }
}

export async function* readObjects(
  context: ForgeContext,
  project: ProjectId,
  wants: readonly ObjectRef[],
  options: ReadObjectsOptions = {},
): AsyncIterable<Frame> {
  const snapshot = await openSnapshot(context, project, options);
  yield* snapshot.reader.frames(wants, options);
}

/**
 * The content of a file in order, in pieces of at most a chunk. The last piece is held back until the whole
 * file has been checked, so that a caller who got everything got what the entry names. A range of a chunked file
 * is checked chunk by chunk. Without a hint the content may also be such that no landing names.
 */
export async function* readFile(
  context: ForgeContext,
  project: ProjectId,
  file: { readonly entry: TreeEntry; readonly hint: number },
  options: CallOptions & { readonly range?: ContentRange } = {},
): AsyncIterable<Uint8Array> {
  const { range } = options;
  if (range !== undefined) checkRange(range);
  const snapshot = await openSnapshot(context, project, options);
  const { entry, hint } = file;
  if (hint === 0) {
    const loose = await context.project(project).looseContent(snapshot, entry.chunks ?? entry.id, options);
    if (loose !== undefined) {
      yield* looseFile(loose, entry, options);
      return;
    }
  }
  if (range === undefined) yield* fileContent(snapshot.reader, file, options);
  else yield* filePart(snapshot.reader, file, range, options);
}

/** Errors: `corrupt` for content of another kind than was asked for. */
export async function findContent(
  context: ForgeContext,
  project: ProjectId,
  content: { readonly id: ObjectId; readonly chunks?: ObjectId },
  options: CallOptions = {},
): Promise<StoredContent | undefined> {
  const id = parseObjectId(content.id);
  const chunks = content.chunks === undefined ? undefined : parseObjectId(content.chunks);
  const snapshot = await openSnapshot(context, project, options);
  const ref = { id: chunks ?? id, hint: 0 };
  const loose = await context.project(project).looseContent(snapshot, ref.id, options);
  if (loose !== undefined) {
    const stored = storedContentOf(ref.id, loose.object);
    return stored.id === id && stored.chunks === chunks ? stored : undefined;
  }
  if ((await snapshot.reader.has(ref)) === undefined) return undefined;
  const object = await snapshot.reader.read(ref);
  if (object.kind !== (chunks === undefined ? "blob" : "chunk-list")) return undefined;
  if (chunks === undefined) return { id, size: object.content.length };
  return { id, size: chunkedSize(decodeChunkList(object.content, object.sidecar)), chunks };
}

async function* looseFile(
  loose: { readonly object: LooseObject; readonly reader: ObjectReader },
  entry: TreeEntry,
  options: CallOptions & { readonly range?: ContentRange },
): AsyncIterable<Uint8Array> {
  const { object, reader } = loose;
  const { range } = options;
  if (object.kind === "blob") {
    if (entry.chunks !== undefined) throw corrupt(`object ${entry.chunks}`, "is a blob, not a chunk list");
    if (object.content.length !== entry.size) throw wrongSize(entry, object.content.length);
    const part = range === undefined ? object.content : partOf(object.content, 0, range);
    if (part.length > 0) yield part;
    return;
  }
  if (entry.chunks === undefined) throw corrupt(`object ${entry.id}`, "is a chunk list, not a blob");
  const list = decodeChunkList(object.content, object.sidecar);
  if (range === undefined) yield* wholeChunks(reader, list, { entry, hint: 0 }, options);
  else yield* chunksInRange(reader, list, { entry, hint: 0 }, range, options);
}

/** As `readFile`, from a reader. */
export async function* fileContent(
  reader: ObjectReader,
  file: LocatedFile,
  options: CallOptions = {},
): AsyncIterable<Uint8Array> {
  const { entry } = file;
  if (entry.chunks !== undefined) {
    yield* wholeChunks(reader, await readChunkList(reader, file), file, options);
    return;
  }
  const content = await readBlob(reader, file);
  if (content.length > 0) yield content;
}

async function* filePart(
  reader: ObjectReader,
  file: LocatedFile,
  range: ContentRange,
  options: CallOptions,
): AsyncIterable<Uint8Array> {
  if (file.entry.chunks !== undefined) {
    yield* chunksInRange(reader, await readChunkList(reader, file), file, range, options);
    return;
  }
  const part = partOf(await readBlob(reader, file), 0, range);
  if (part.length > 0) yield part;
}

async function readBlob(reader: ObjectReader, { entry, hint }: LocatedFile): Promise<Uint8Array> {
  const { content } = await readKind(reader, { id: entry.id, hint }, "blob");
  if (content.length !== entry.size) throw wrongSize(entry, content.length);
  return content;
}

async function readChunkList(reader: ObjectReader, { entry, hint }: LocatedFile): Promise<ChunkList> {
  const stored = await readKind(reader, { id: entry.chunks!, hint }, "chunk-list");
  return decodeChunkList(stored.content, stored.sidecar);
}

async function* wholeChunks(
  reader: ObjectReader,
  { chunks }: ChunkList,
  { entry, hint }: LocatedFile,
  options: CallOptions,
): AsyncIterable<Uint8Array> {
  const hasher = new StreamHasher();
  let size = 0;
  let held: Uint8Array | undefined;
  for await (const chunk of readChunks(reader, chunks, entry, hint, options)) {
    if (held !== undefined) yield held;
    held = chunk;
    hasher.update(chunk);
    size += chunk.length;
  }
  if (size !== entry.size) throw wrongSize(entry, size);
  if (hasher.digest() !== entry.id) throw corrupt(`file ${entry.id}`, "its chunks make another file");
  if (held !== undefined) yield held;
}

async function* chunksInRange(
  reader: ObjectReader,
  list: ChunkList,
  { entry, hint }: LocatedFile,
  range: ContentRange,
  options: CallOptions,
): AsyncIterable<Uint8Array> {
  const size = chunkedSize(list);
  if (size !== entry.size) throw wrongSize(entry, size);
  const end = range.offset + range.length;
  const wanted: Chunk[] = [];
  let offset = 0;
  let first = 0;
  for (const chunk of list.chunks) {
    const next = offset + chunk.length;
    if (next > range.offset && offset < end) {
      if (wanted.length === 0) first = offset;
      wanted.push(chunk);
    }
    offset = next;
  }
  let start = first;
  for await (const chunk of readChunks(reader, wanted, entry, hint, options)) {
    const part = partOf(chunk, start, range);
    start += chunk.length;
    if (part.length > 0) yield part;
  }
}

/** One chunk is read ahead. */
async function* readChunks(
  reader: ObjectReader,
  chunks: readonly Chunk[],
  entry: TreeEntry,
  hint: number,
  options: CallOptions,
): AsyncIterable<Uint8Array> {
  let ahead = chunks[0] === undefined ? undefined : readChunk(reader, chunks[0], hint);
  for (let i = 0; i < chunks.length; i++) {
    throwIfAborted(options.signal);
    const content = await ahead!;
    if (content.length !== chunks[i]!.length) throw wrongSize(entry, content.length);
    const next = chunks[i + 1];
    if (next !== undefined) {
      ahead = readChunk(reader, next, hint);
      // Its failure is met when it is awaited, or not at all when the caller stops here.
      ahead.catch(() => undefined);
    }
    yield content;
  }
}

/** What `range` of the file takes of a piece that starts at `start` in the file. */
function partOf(piece: Uint8Array, start: number, range: ContentRange): Uint8Array {
  const from = Math.max(0, range.offset - start);
  const to = Math.min(piece.length, range.offset + range.length - start);
  return piece.subarray(from, Math.max(from, to));
}

function checkRange({ offset, length }: ContentRange): void {
  if (Number.isSafeInteger(offset) && Number.isSafeInteger(length) && offset >= 0 && length >= 0) return;
  throw new MicError("usage", `${length} bytes from ${offset} are not a part of a file`);
}

/** The whole content in memory. Only for files that the caller has bounded. */
export async function wholeContent(
  reader: ObjectReader,
  file: { readonly entry: TreeEntry; readonly hint: number },
  options: CallOptions = {},
): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  for await (const piece of fileContent(reader, file, options)) pieces.push(piece);
  return pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces);
}

async function readChunk(reader: ObjectReader, chunk: Chunk, listHint: number): Promise<Uint8Array> {
  const ref = { id: chunk.id, hint: chunk.hint === 0 ? listHint : chunk.hint };
  return (await readKind(reader, ref, "blob", { once: true })).content;
}

async function readKind(
  reader: ObjectReader,
  ref: ObjectRef,
  kind: ObjectKind,
  options: { readonly once?: boolean } = {},
): Promise<{ readonly content: Uint8Array; readonly sidecar: Uint8Array }> {
  const object = await reader.read(ref, options);
  if (object.kind !== kind) throw corrupt(`object ${ref.id}`, `is a ${object.kind}, not a ${kind}`);
  return object;
}

function wrongSize(entry: TreeEntry, found: number): MicError {
  return corrupt(`file ${entry.id}`, `has ${found} bytes where ${entry.size} are named`);
}

function checkedName(bytes: Uint8Array): string {
  const name = fromUtf8(bytes, "a name in a tree");
  const problem = findComponentProblem(name);
  if (problem === undefined) return name;
  throw new MicError("unsafe-path", `a stored name ${problem}`, { data: { paths: [name] } });
}
