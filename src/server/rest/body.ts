/** Request bodies: bounded, strict UTF-8, strict JSON. */
import type { IncomingMessage } from "node:http";
import { concatBytes, EMPTY_BYTES } from "../../core/base/bytes.ts";
import { MicError } from "../../core/base/errors.ts";
import { HttpError } from "./problem.ts";

export const JSON_BYTES_MAX = 8 << 20;
/** Nested arrays and objects in a JSON body. */
const JSON_DEPTH_MAX = 32;

const strictUtf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** `undefined` for an empty body. Errors: `usage`, `too-large`. */
export async function readJson(request: IncomingMessage): Promise<unknown> {
  const bytes = await readBytes(request, JSON_BYTES_MAX);
  if (bytes.length === 0) return undefined;
  requireJsonType(request);
  if (depthOf(bytes) > JSON_DEPTH_MAX) {
    throw new MicError("usage", `the body nests more than ${JSON_DEPTH_MAX} levels deep`);
  }
  let text: string;
  try {
    text = strictUtf8.decode(bytes);
  } catch (cause) {
    throw new MicError("usage", "the body is not valid UTF-8", { cause });
  }
  try {
    return JSON.parse(text) as unknown;
  } catch (cause) {
    throw new MicError("usage", "the body is not valid JSON", { cause });
  }
}

/** The whole body, refused as soon as it is known to be too large. */
export async function readBytes(request: IncomingMessage, bytesMax: number): Promise<Uint8Array> {
  requireIdentity(request);
  const declared = Number(request.headers["content-length"] ?? 0);
  if (declared > bytesMax) throw bodyTooLarge(bytesMax);
  const parts: Uint8Array[] = [];
  let total = 0;
  for await (const part of bodyOf(request)) {
    total += part.length;
    if (total > bytesMax) throw bodyTooLarge(bytesMax);
    parts.push(part);
  }
  if (parts.length === 0) return EMPTY_BYTES;
  return parts.length === 1 ? parts[0]! : concatBytes(parts);
}

/** The body as it arrives. Errors: `aborted` when it ends early. */
export async function* bodyOf(request: IncomingMessage): AsyncGenerator<Uint8Array> {
  requireIdentity(request);
  try {
    for await (const part of request) yield part as Uint8Array;
  } catch (cause) {
    throw new MicError("aborted", "the body was cut short", { cause });
  }
  if (!request.complete) throw new MicError("aborted", "the body was cut short");
}

function bodyTooLarge(bytesMax: number): HttpError {
  return new HttpError(413, "too-large", `the body is larger than ${bytesMax} bytes`, {
    hint: "send it in several calls, or as blobs",
  });
}

function requireJsonType(request: IncomingMessage): void {
  const type = request.headers["content-type"];
  if (type !== undefined && /^application\/json[ \t]*(?:;[ \t]*charset="?utf-8"?[ \t]*)?$/i.test(type))
    return;
  const shown = type === undefined ? "no content type" : JSON.stringify(type.slice(0, 200));
  throw new HttpError(415, "usage", `the body has ${shown}, not application/json`, {
    hint: "send it with -H 'content-type: application/json'",
    headers: { accept: "application/json" },
  });
}

function requireIdentity(request: IncomingMessage): void {
  const encoding = request.headers["content-encoding"];
  if (encoding === undefined || encoding.toLowerCase() === "identity") return;
  throw new HttpError(
    415,
    "usage",
    `the content encoding ${JSON.stringify(encoding.slice(0, 100))} is not taken`,
    {
      hint: "send the body as it is",
      headers: { "accept-encoding": "identity" },
    },
  );
}

/** Deepest nesting, by brackets outside strings: known before a parser recurses. */
function depthOf(bytes: Uint8Array): number {
  let depth = 0;
  let deepest = 0;
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i]!;
    if (byte === 0x22) {
      for (i++; i < bytes.length && bytes[i] !== 0x22; i++) if (bytes[i] === 0x5c) i++;
    } else if (byte === 0x5b || byte === 0x7b) {
      if (++depth > deepest) deepest = depth;
    } else if (byte === 0x5d || byte === 0x7d) depth--;
  }
  return deepest;
}
