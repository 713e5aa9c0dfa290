/**
 * What tells one stretch of a log from any other: on level 1 the BLAKE3 of landing id, tree root and digest of each
 * landing, one after the other; above that the BLAKE3 of the ten digests below.
 */
import { ByteWriter } from "../../base/bytes.ts";
import { hashObject } from "../../base/hash.ts";
import type { LandingRecord } from "../../codec/landing-record.ts";

const LANDING_BYTES = 16 + 32 + 32;
const DIGEST_BYTES = 32;

/** 64 hex digits. `records`: in position order. */
export function digestOfRecords(records: readonly LandingRecord[]): string {
  const writer = new ByteWriter(records.length * LANDING_BYTES);
  for (const { landingId, root, digest } of records) writer.hex(landingId).hex(root).hex(digest);
  return hashObject(writer.view());
}

export function digestOfDigests(digests: readonly string[]): string {
  const writer = new ByteWriter(digests.length * DIGEST_BYTES);
  for (const digest of digests) writer.hex(digest);
  return hashObject(writer.view());
}
