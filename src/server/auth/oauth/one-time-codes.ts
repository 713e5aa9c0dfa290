/** Codes that are exchanged for tokens, once. Kept, as tokens are, as their SHA-256. */
import { asBuffer, bytesToHex } from "../../../core/base/bytes.ts";
import type { Random } from "../../../core/base/random.ts";
import { secretDigest } from "../token-secret.ts";

const RANDOM_BYTES = 32;
const CHARACTERS_MAX = 128;
const ID_BYTES = 16;

/** `device`: micd_…, `authorization`: mico_… */
export type CodeKind = "device" | "authorization";

export function mintCode(kind: CodeKind, random: Random): string {
  const prefix = kind === "device" ? "micd_" : "mico_";
  return prefix + asBuffer(random.bytes(RANDOM_BYTES)).toString("base64url");
}

/** A hash is looked up, never the code: how long that takes says nothing about one. */
export function codeDigest(code: string): Buffer {
  return secretDigest(code.length > CHARACTERS_MAX ? "" : code);
}

/** Of a family of tokens. */
export function mintFamily(random: Random): string {
  return bytesToHex(random.bytes(ID_BYTES));
}
