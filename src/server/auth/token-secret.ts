/**
 * Secrets of tokens: a prefix that says what they are (so that scanners find leaked ones), then 32 random bytes in
 * base64url. Only their SHA-256 is stored; a plain hash is enough, because 256 random bits cannot be guessed from it.
 */
import { hash } from "node:crypto";
import { asBuffer } from "../../core/base/bytes.ts";
import type { Random } from "../../core/base/random.ts";
import type { TokenKind } from "./accounts.ts";

const RANDOM_BYTES = 32;
/** Nobody's token is longer: a given owner token is the longest. */
export const SECRET_CHARACTERS_MAX = 4096;

const PREFIX: Readonly<Record<TokenKind, string>> = {
  personal: "mic_",
  access: "mic_",
  refresh: "micr_",
  session: "mics_",
};

export function mintSecret(random: Random, kind: TokenKind): string {
  return PREFIX[kind] + asBuffer(random.bytes(RANDOM_BYTES)).toString("base64url");
}

/** 32 bytes. */
export function secretDigest(secret: string): Buffer {
  return hash("sha256", secret, "buffer");
}
