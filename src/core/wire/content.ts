/** Directories, paths, stored content and blame, between the forge's form and `mic.v1.ContentService`. */
import { hexToBytes } from "../base/bytes.ts";
import { MicError } from "../base/errors.ts";
import type { ObjectId } from "../base/ids.ts";
import { parseTreePath } from "../base/path.ts";
import type { BlameLine, DiffRequest, DirectoryItem, PathInfo, StoredContent } from "../forge/forge.ts";
import {
  entryFromWire,
  entryToWire,
  HASH_BYTES,
  hashFromWire,
  idToWire,
  numberFromWire,
  optionalId,
  pathsFromWire,
  positionFromWire,
} from "./common.ts";
import type {
  GetPathResponse,
  BlameLine as WireBlameLine,
  DiffRequest as WireDiffRequest,
  DirectoryItem as WireDirectoryItem,
  StoredContent as WireStoredContent,
} from "./gen/mic/v1/content.ts";

export function directoryItemToWire(item: DirectoryItem): WireDirectoryItem {
  return item.kind === "entry"
    ? { name: item.name, entry: entryToWire(item), count: 0n }
    : { name: item.name, entry: undefined, count: BigInt(item.count) };
}

export function directoryItemFromWire({ name, entry, count }: WireDirectoryItem): DirectoryItem {
  if (name.includes("/")) throw new MicError("unsafe-path", `${JSON.stringify(name)} is not one name`);
  // As part of a path: what may not begin one may stand further down.
  parseTreePath(`d/${name}`);
  if (entry === undefined) return { kind: "directory", name, count: numberFromWire(count, "count") };
  return { kind: "entry", name, ...entryFromWire(entry) };
}

/** `position` is the one that was read. */
export function pathInfoToWire(info: PathInfo | undefined, position: number): GetPathResponse {
  return {
    entry: info?.kind === "entry" ? entryToWire(info) : undefined,
    directoryCount: info?.kind === "directory" ? BigInt(info.count) : undefined,
    position: BigInt(position),
  };
}

export function pathInfoFromWire(message: GetPathResponse): PathInfo | undefined {
  if (message.entry !== undefined) return { kind: "entry", ...entryFromWire(message.entry) };
  if (message.directoryCount === undefined) return undefined;
  return { kind: "directory", count: numberFromWire(message.directoryCount, "count") };
}

export function storedContentToWire({ id, size, chunks }: StoredContent): WireStoredContent {
  return { id: hexToBytes(id), size: BigInt(size), chunks: idToWire(chunks) };
}

export function storedContentFromWire(message: WireStoredContent): StoredContent {
  const id = hashFromWire(message.id, "an object id");
  const size = numberFromWire(message.size, "size");
  const chunks = optionalId<ObjectId>(message.chunks, HASH_BYTES, "a chunk list's id");
  return chunks === undefined ? { id, size } : { id, size, chunks };
}

/** `DiffRequest`, and `FetchRequest`, which is the same. */
export function diffRequestToWire(project: string, { from, to, paths }: DiffRequest): WireDiffRequest {
  return { project, from: BigInt(from), to: BigInt(to), paths: paths ?? [] };
}

export function diffRequestFromWire(message: WireDiffRequest): DiffRequest {
  const paths = pathsFromWire(message.paths);
  return {
    from: positionFromWire(message.from),
    to: positionFromWire(message.to),
    ...(paths === undefined ? {} : { paths }),
  };
}

export function blameLineToWire(line: BlameLine): WireBlameLine {
  return { ...line, position: BigInt(line.position), timeMs: BigInt(line.timeMs) };
}

export function blameLineFromWire(message: WireBlameLine): BlameLine {
  const { line, text, author, goal } = message;
  const timeMs = numberFromWire(message.timeMs, "time");
  return { line, text, position: positionFromWire(message.position), author, goal, timeMs };
}
