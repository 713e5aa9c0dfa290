/** Headers of a write. */
import type { S3Dialect, S3Encryption } from "./options.ts";

/**
 * Objects that are put never change, so that whoever caches them need not ask again. Without `public`: a shared
 * cache must not keep what was read with our signature.
 */
export const PUT_HEADERS: Readonly<Record<string, string>> = {
  "cache-control": "max-age=31536000, immutable",
};
/** Objects that are swapped change. Google's stores let public ones be cached for an hour unless told otherwise. */
export const SWAP_HEADERS: Readonly<Record<string, string>> = { "cache-control": "no-cache" };

/** How a new object is to be encrypted at rest. Google encrypts everything; only a key of one's own is named. */
export function encryptionHeaders(
  encryption: S3Encryption | undefined,
  dialect: S3Dialect,
): Readonly<Record<string, string>> {
  if (encryption === undefined) return {};
  if (dialect === "gcs") {
    const keyId = encryption.kind === "aws:kms" ? encryption.keyId : undefined;
    return keyId === undefined ? {} : { "x-goog-encryption-kms-key-name": keyId };
  }
  const headers: Record<string, string> = { "x-amz-server-side-encryption": encryption.kind };
  if (encryption.kind === "aws:kms" && encryption.keyId !== undefined) {
    headers["x-amz-server-side-encryption-aws-kms-key-id"] = encryption.keyId;
  }
  return headers;
}
