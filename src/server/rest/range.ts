/** Range and conditional requests of RFC 9110 on content that has a strong tag. */
import type { IncomingMessage } from "node:http";
import type { ContentRange } from "../../core/forge/forge.ts";
import { HttpError } from "./problem.ts";

/** True when `If-None-Match` names `etag`. */
export function isNotModified(request: IncomingMessage, etag: string): boolean {
  const header = request.headers["if-none-match"];
  if (header === undefined) return false;
  if (header === etag || header === "*") return true;
  return header.includes(etag) && header.split(",").some((each) => each.trim().replace(/^W\//, "") === etag);
}

/**
 * The one range that is asked for, `undefined` for everything: also where the header is malformed, asks for
 * several, or is for another version. Errors: 416 `out-of-range` when it starts beyond the end.
 */
export function readRange(request: IncomingMessage, etag: string, size: number): ContentRange | undefined {
  const header = request.headers.range;
  if (header === undefined) return undefined;
  const ifRange = request.headers["if-range"];
  if (ifRange !== undefined && ifRange !== etag) return undefined;
  const match = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(header.trim());
  if (match === null) return undefined;
  const [, first, last] = match as unknown as [string, string, string];
  if (first === "" && last === "") return undefined;
  if (first === "") {
    const length = Math.min(Number(last), size);
    if (length === 0) throw unsatisfiable(header, size);
    return { offset: size - length, length };
  }
  const offset = Number(first);
  if (last !== "" && Number(last) < offset) return undefined;
  if (offset >= size) throw unsatisfiable(header, size);
  const end = last === "" ? size - 1 : Math.min(Number(last), size - 1);
  return { offset, length: end - offset + 1 };
}

function unsatisfiable(header: string, size: number): HttpError {
  return new HttpError(416, "out-of-range", `${header.trim()} is beyond the ${size} bytes of the content`, {
    headers: { "content-range": `bytes */${size}` },
  });
}
