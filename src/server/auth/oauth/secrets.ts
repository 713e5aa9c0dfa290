/** Secrets that are handed out once and kept as their SHA-256. */
import { hash } from "node:crypto";
import type { Random } from "../../../core/base/random.ts";

const SECRET_RANDOM_BYTES = 32;
const SECRET_CHARACTERS_MAX = 256;

/** `access`: mic_, `refresh`: micr_, `device`: micd_, `code`: mico_. */
export type SecretKind = "access" | "refresh" | "device" | "code";
const PREFIX: Readonly<Record<SecretKind, string>> = {
  access: "mic_",
  refresh: "micr_",
  device: "micd_",
  code: "mico_",
};

export function mintSecret(kind: SecretKind, random: Random): string {
  return PREFIX[kind] + Buffer.from(random.bytes(SECRET_RANDOM_BYTES)).toString("base64url");
}

/** Of the whole text. Looking a hash up tells nothing about its neighbours: no secret can be felt for by time. */
export function secretHash(secret: string): Buffer {
  return hash("sha256", secret.slice(0, SECRET_CHARACTERS_MAX), "buffer") as Buffer;
}

export function mintId(random: Random): string {
  return Buffer.from(random.bytes(16)).toString("hex");
}
