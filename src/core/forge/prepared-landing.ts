/** A land request that was checked as far as that is possible without the project, in the form the tree takes. */
import { bytesToHex, hexToBytes } from "../base/bytes.ts";
import { MicError } from "../base/errors.ts";
import { hashBytes } from "../base/hash.ts";
import type { Hlc } from "../base/hlc.ts";
import type { ObjectId, Position, SessionId } from "../base/ids.ts";
import { TREE_ENTRY_BYTES_MAX, writeTreeEntry } from "../codec/tree-entry.ts";
import type { Frame, ObjectKind } from "../objects/frame.ts";
import { verifyFrame } from "../objects/verify-pack.ts";
import { checkLandRequest } from "./check-request.ts";
import type { LandRequest, Operation, PositionRef } from "./forge.ts";

/** Separates this digest from every other use of the hash. */
const DIGEST_DOMAIN = "mic landing 1\0";
const SEPARATOR = 0x2f;
const NONE_VOUCHED: ReadonlyMap<ObjectId, VouchedFile> = new Map();

/** One operation as a tree edit. `hint` is written anew for every position that is tried. */
export interface PreparedEdit {
  readonly key: Uint8Array;
  /** The encoded tree entry; undefined deletes. */
  readonly value: Uint8Array | undefined;
  hint: number;
}

export interface SentObject {
  readonly kind: ObjectKind;
  /** Bytes. */
  readonly length: number;
}

/** A file in chunks: what this forge computed when it stored it. */
export interface VouchedFile {
  readonly id: ObjectId;
  /** Bytes. */
  readonly size: number;
}

export interface PreparedLanding {
  readonly request: LandRequest;
  /** Its own id, when the request names no session. */
  readonly session: SessionId;
  /** 64 hex digits: what has to match for a repeated id to be the same landing. */
  readonly digest: string;
  /** One per operation, in key order. */
  readonly edits: readonly PreparedEdit[];
  /** Content that goes into the landing's pack. */
  readonly frames: readonly Frame[];
  /** Objects in the frames. */
  readonly sent: ReadonlyMap<ObjectId, SentObject>;
  /** Stored bytes of the frames. */
  readonly frameBytes: number;
  /** Chunk lists whose file need not be hashed again. */
  readonly vouched: ReadonlyMap<ObjectId, VouchedFile>;
  /** Where another forge put it; absent for a landing that is made here. */
  readonly given?: GivenPlace;
}

export interface GivenPlace {
  readonly position: Position;
  readonly hlc: Hlc;
  /** What its operations must make of the tree before it. */
  readonly root: ObjectId;
}

/** Errors: `usage`, `unsafe-path`, `too-large`, `corrupt` for frames that are not what they say. */
export function prepareLanding(
  request: LandRequest,
  options: { readonly trustWriters: boolean },
): PreparedLanding {
  checkLandRequest(request);
  const content = prepareFrames(request.frames, options);
  const { edits, digest } = prepareOperations(request.base, request.operations);
  const session = request.session ?? (request.landingId as string as SessionId);
  return { request, session, digest, edits, ...content };
}

/** Errors: `usage` for anything but content, `corrupt` for frames that are not what they say. */
export function prepareFrames(
  frames: readonly Frame[],
  { trustWriters }: { readonly trustWriters: boolean },
): Pick<PreparedLanding, "frames" | "sent" | "frameBytes" | "vouched"> {
  const sent = new Map<ObjectId, SentObject>();
  let frameBytes = 0;
  for (const frame of frames) {
    if (!trustWriters) verifyFrame(frame);
    frameBytes += frame.stored.length;
    for (const { id, kind, length } of frame.objects) {
      if (kind !== "blob" && kind !== "chunk-list") {
        throw new MicError("usage", `a landing's frames hold content, not a ${kind}`);
      }
      sent.set(id, { kind, length });
    }
  }
  return { frames, sent, frameBytes, vouched: NONE_VOUCHED };
}

/**
 * The digest of a landing is the BLAKE3-256 of
 *
 * | size | type | field |
 * | --- | --- | --- |
 * | 14 | bytes | `mic landing 1`, 0x00 |
 * | 8 | u64 LE | base position |
 * | 32 | bytes | base tree root |
 * | 4 | u32 LE | number of operations, then each in key order: |
 * | 2 | u16 LE | length of the tree key |
 * | n | bytes | tree key |
 * | 1 | u8 | length of the encoded tree entry, 0 for a delete |
 * | 0, 41 or 73 | bytes | tree entry |
 */
export function prepareOperations(
  base: PositionRef,
  operations: readonly Operation[],
): { readonly edits: PreparedEdit[]; readonly digest: string } {
  // One buffer for all keys and values, which is also what is hashed.
  const headerBytes = DIGEST_DOMAIN.length + 44;
  let capacity = headerBytes;
  for (const { path } of operations) capacity += 3 + path.length * 3 + TREE_ENTRY_BYTES_MAX;
  const slab = Buffer.allocUnsafeSlow(capacity);
  // Views of a plain array are cheaper to make than those of a Buffer.
  const bytes = new Uint8Array(slab.buffer);
  let offset = slab.write(DIGEST_DOMAIN, 0, "latin1");
  offset = slab.writeBigUInt64LE(BigInt(base.position), offset);
  slab.set(hexToBytes(base.root), offset);
  offset = slab.writeUInt32LE(operations.length, offset + 32);
  const edits: PreparedEdit[] = [];
  for (const operation of operations) {
    const keyStart = offset + 2;
    const keyEnd = writeKey(slab, bytes, keyStart, operation.path);
    const keyLength = keyEnd - keyStart;
    bytes[offset] = keyLength & 0xff;
    bytes[offset + 1] = keyLength >>> 8;
    const key = bytes.subarray(keyStart, keyEnd);
    offset = operation.kind === "put" ? writeTreeEntry(slab, keyEnd + 1, operation.entry) : keyEnd + 1;
    bytes[keyEnd] = offset - keyEnd - 1;
    const value = operation.kind === "put" ? bytes.subarray(keyEnd + 1, offset) : undefined;
    edits.push({ key, value, hint: 0 });
  }
  return { edits, digest: bytesToHex(hashBytes(bytes.subarray(0, offset))) };
}

/** Writes the tree key of a path and returns where it ends. */
function writeKey(slab: Buffer, bytes: Uint8Array, start: number, path: string): number {
  const { length } = path;
  for (let i = 0; i < length; i++) {
    const code = path.charCodeAt(i);
    if (code >= 0x80) return writeUnicodeKey(slab, bytes, start, path);
    bytes[start + i] = code === SEPARATOR ? 0 : code;
  }
  return start + length;
}

function writeUnicodeKey(slab: Buffer, bytes: Uint8Array, start: number, path: string): number {
  const end = start + slab.write(path, start, "utf8");
  for (let i = start; i < end; i++) if (bytes[i] === SEPARATOR) bytes[i] = 0;
  return end;
}
