/**
 * A seal for small objects that are swapped under a fixed key and therefore not named by their hash: the
 * first 16 bytes of the BLAKE3 of everything before them, as the last 16 bytes. It finds damage, it does not
 * prove who wrote the object.
 *
 * | offset | size | type | field |
 * | --- | --- | --- | --- |
 * | 0 | n | bytes | body |
 * | n | 16 | bytes | BLAKE3-256(body)[0..16] |
 */
import type { ByteWriter } from "../base/bytes.ts";
import { equalBytes } from "../base/bytes.ts";
import { corrupt } from "../base/errors.ts";
import { hashBytes } from "../base/hash.ts";

export const SEAL_BYTES = 16;

/** Appends the seal of everything written so far and returns the finished bytes. */
export function seal(writer: ByteWriter): Uint8Array {
  const digest = hashBytes(writer.view());
  return writer.bytes(digest.subarray(0, SEAL_BYTES)).finish();
}

/** The length of the body. Throws `corrupt` when the seal does not match. */
export function checkSeal(bytes: Uint8Array, what: string): number {
  const length = bytes.length - SEAL_BYTES;
  if (length < 0) throw corrupt(what, `is ${bytes.length} bytes long, shorter than its seal`);
  const digest = hashBytes(bytes.subarray(0, length));
  if (!equalBytes(digest.subarray(0, SEAL_BYTES), bytes.subarray(length))) {
    throw corrupt(what, "the seal does not match the content", length);
  }
  return length;
}
