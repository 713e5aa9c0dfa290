/**
 * `mic-forwarded`: what a follower says of the caller of a request that it passes on, signed with a key that the
 * servers of one auth database share.
 *
 *     mic-forwarded: v1 <unix ms> <http|https> <address> <HMAC-SHA256 in hex>
 *
 * The signature is over the values, the method, the target and the credentials of the request: it says nothing of any
 * other one.
 */
import { createHmac, timingSafeEqual } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";

export const FORWARDED_HEADER = "mic-forwarded";
/** Clocks of servers may differ by this much. */
const AGE_MS_MAX = 120_000;
const FORMAT = /^v1 (\d{1,16}) (https?) ([0-9A-Fa-f.:]{2,45}|unknown) ([0-9a-f]{64})$/;

export interface Forwarded {
  readonly address: string;
  readonly isSecure: boolean;
}

/** What of a request is signed. */
export interface SignedRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: Pick<IncomingHttpHeaders, "authorization" | "cookie">;
}

export function signForwarded(
  key: Uint8Array,
  request: SignedRequest,
  { address, isSecure }: Forwarded,
  nowMs: number,
): string {
  const values = `v1 ${Math.floor(nowMs)} ${isSecure ? "https" : "http"} ${address}`;
  return `${values} ${signature(key, values, request)}`;
}

/** Undefined where it is not there, not of this request, too old, or not signed with the key. */
export function readForwarded(
  key: Uint8Array | undefined,
  request: SignedRequest,
  header: string | undefined,
  nowMs: number,
): Forwarded | undefined {
  const match = header === undefined ? null : FORMAT.exec(header);
  if (match === null || key === undefined) return undefined;
  const [text, atMs, protocol, address, given] = match as unknown as [string, string, string, string, string];
  const expected = signature(key, text.slice(0, -given.length - 1), request);
  if (!timingSafeEqual(Buffer.from(given, "hex"), Buffer.from(expected, "hex"))) return undefined;
  if (Math.abs(nowMs - Number(atMs)) > AGE_MS_MAX) return undefined;
  return { address, isSecure: protocol === "https" };
}

function signature(key: Uint8Array, values: string, { method, url, headers }: SignedRequest): string {
  const signed = [values, method, url, headers.authorization ?? "", headers.cookie ?? ""];
  return createHmac("sha256", key).update(JSON.stringify(signed)).digest("hex");
}
