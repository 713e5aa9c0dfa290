/** BLAKE3-256. For a file, the id equals `b3sum file`. */
import { Blake3Hasher, blake3 as nativeBlake3 } from "@napi-rs/blake-hash";
import { asBuffer, bytesToHex, equalBytes, hexToBytes } from "./bytes.ts";
import { MicError } from "./errors.ts";
import type { ObjectId } from "./ids.ts";

/** The add-on takes any Uint8Array, though its types say Buffer; making one of each would cost more than the hash. */
const blake3 = nativeBlake3 as (bytes: Uint8Array) => Buffer;

/** 32 raw bytes. */
export function hashBytes(bytes: Uint8Array): Uint8Array {
  return blake3(bytes);
}

export function hashObject(bytes: Uint8Array): ObjectId {
  return bytesToHex(blake3(bytes)) as ObjectId;
}

/** Incremental hash of content that is never in memory at once. */
export class StreamHasher {
  readonly #hasher = new Blake3Hasher();

  update(bytes: Uint8Array): this {
    this.#hasher.update(asBuffer(bytes));
    return this;
  }

  digest(): ObjectId {
    return bytesToHex(this.#hasher.digestBuffer()) as ObjectId;
  }
}

/** Throws `corrupt` when `bytes` is not the content that `id` names. `where` tells a reader what to look at. */
export function verifyObject(id: ObjectId, bytes: Uint8Array, where: string): void {
  const found = blake3(bytes);
  if (!equalBytes(found, hexToBytes(id))) {
    throw new MicError("corrupt", `object ${id} does not have that content (${where})`, {
      hint: "run `mic fsck` to see what is affected",
      data: { object: id, found: bytesToHex(found) },
    });
  }
}
