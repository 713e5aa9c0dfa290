/** Headers of a write. */
import type { S3Dialect, S3Encryption } from "./options.ts";

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
