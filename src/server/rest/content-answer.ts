/** Answers with stored content: tags, ranges, and headers that keep a browser from running it. */
import { EMPTY_BYTES } from "../../core/base/bytes.ts";
import type { ProjectId } from "../../core/base/ids.ts";
import type { TreeEntry } from "../../core/codec/tree-entry.ts";
import type { Answer, HeaderFields } from "./answer.ts";
import { isNotModified, readRange } from "./range.ts";
import type { Call } from "./route.ts";

export const BYTES_TYPE = "application/octet-stream";
/** What is named by its hash, or stands at a position, never changes. */
export const IMMUTABLE = "private, max-age=31536000, immutable";
/** What stands at the newest position is asked for again each time. */
export const REVALIDATED = "private, no-cache";

const SAFETY: HeaderFields = {
  "x-content-type-options": "nosniff",
  "content-security-policy": "default-src 'none'; sandbox",
  // Without a name: what the browser makes of the address is as good.
  "content-disposition": "attachment",
};

export const CONTENT_HEADERS: Readonly<Record<string, string>> = {
  etag: "The content's hash; send it back as If-None-Match",
  "accept-ranges": "bytes",
};

/** Errors: 416 `out-of-range`, `corrupt`. */
export function contentAnswer(
  call: Call<unknown, unknown, unknown>,
  project: ProjectId,
  file: { readonly entry: TreeEntry; readonly hint: number },
  headers: HeaderFields,
): Answer {
  const { size, id } = file.entry;
  const etag = `"${id}"`;
  const all = { ...SAFETY, "content-type": BYTES_TYPE, "accept-ranges": "bytes", etag, ...headers };
  if (isNotModified(call.request, etag)) return { kind: "empty", status: 304, headers: all };
  const range = readRange(call.request, etag, size);
  if (range === undefined) {
    const body = call.isHead ? nothing() : call.forge.readFile(project, file, { signal: call.signal });
    return { kind: "stream", status: 200, headers: all, length: size, body };
  }
  const { offset, length } = range;
  const body = call.isHead ? nothing() : call.forge.readFile(project, file, { signal: call.signal, range });
  const contentRange = `bytes ${offset}-${offset + length - 1}/${size}`;
  return { kind: "stream", status: 206, headers: { ...all, "content-range": contentRange }, length, body };
}

/** The same for content that is in memory. */
export function bytesAnswer(
  call: Call<unknown, unknown, unknown>,
  id: string,
  bytes: Uint8Array,
  headers: HeaderFields,
): Answer {
  const etag = `"${id}"`;
  const all = { ...SAFETY, "content-type": BYTES_TYPE, "accept-ranges": "bytes", etag, ...headers };
  if (isNotModified(call.request, etag)) return { kind: "empty", status: 304, headers: all };
  const range = readRange(call.request, etag, bytes.length);
  if (range === undefined) {
    return { kind: "stream", status: 200, headers: all, length: bytes.length, body: only(bytes) };
  }
  const { offset, length } = range;
  const contentRange = `bytes ${offset}-${offset + length - 1}/${bytes.length}`;
  const body = only(bytes.subarray(offset, offset + length));
  return { kind: "stream", status: 206, headers: { ...all, "content-range": contentRange }, length, body };
}

async function* only(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  if (bytes.length > 0) yield bytes;
}

function nothing(): AsyncGenerator<Uint8Array> {
  return only(EMPTY_BYTES);
}
