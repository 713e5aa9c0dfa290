/**
 * The lease object: who is the primary of the accounts, which replica is whole, and how far it is. JSON, so that an
 * operator can read it with any client of the store:
 *
 * | field | meaning |
 * | --- | --- |
 * | `version` | 1 |
 * | `generation` | grows with every new primary; it names the place that this primary replicates to |
 * | `holder` | 32 hex digits, of a data directory |
 * | `url` | where followers reach the primary; empty while it starts |
 * | `expiresAt` | Unix milliseconds on the store's clock; 0: given up |
 * | `source` | the generation whose replica is whole: what a follower or a new primary restores; 0: none yet |
 * | `position` | transaction of `source` that the primary has acknowledged, at least |
 * | `nonce` | of this version of the object: 16 hex digits |
 * | `check` | BLAKE3 of everything before it: a damaged answer is not believed |
 */
import { z } from "zod";
import { equalBytes, utf8 } from "../../../core/base/bytes.ts";
import { MicError } from "../../../core/base/errors.ts";
import { hashObject } from "../../../core/base/hash.ts";

export interface LeaseRecord {
  readonly generation: number;
  readonly holder: string;
  readonly url: string;
  readonly expiresAtMs: number;
  readonly source: number;
  readonly position: number;
  readonly nonce: string;
}

const VERSION = 1;
const BYTES_MAX = 16 << 10;
const count = z.int().min(0).max(Number.MAX_SAFE_INTEGER);
const schema = z.object({
  version: z.int(),
  generation: count,
  holder: z.string().regex(/^[0-9a-f]{32}$/),
  url: z.string().max(2048),
  expiresAt: count,
  source: count,
  position: count,
  nonce: z.string().regex(/^[0-9a-f]{16}$/),
  check: z.string(),
});

export function encodeLease(record: LeaseRecord): Uint8Array {
  const { generation, holder, url, expiresAtMs: expiresAt, source, position, nonce } = record;
  const fields = { version: VERSION, generation, holder, url, expiresAt, source, position, nonce };
  return utf8(`${JSON.stringify({ ...fields, check: hashObject(utf8(JSON.stringify(fields))) })}\n`);
}

/** Errors: `unsupported` for a newer version, `corrupt`. */
export function decodeLease(bytes: Uint8Array, where: string): LeaseRecord {
  const value = bytes.length <= BYTES_MAX ? parseJson(bytes) : undefined;
  const version = (value as { readonly version?: unknown } | null | undefined)?.version;
  if (typeof version === "number" && version > VERSION) {
    throw new MicError("unsupported", `the lease of the accounts in ${where} is of a newer mic`, {
      hint: "run the same version of mic on every server",
    });
  }
  const parsed = schema.safeParse(value);
  if (parsed.success) {
    const { version: _version, check: _check, expiresAt, ...rest } = parsed.data;
    const record = { ...rest, expiresAtMs: expiresAt };
    if (record.source <= record.generation && equalBytes(bytes, encodeLease(record))) return record;
  }
  throw new MicError("corrupt", `the lease of the accounts in ${where} cannot be read`, {
    hint: "see what wrote it; with every server stopped it may be removed, and what is on disk is used",
  });
}

function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("utf8"));
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}
