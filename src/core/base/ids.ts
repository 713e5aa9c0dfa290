/**
 * Branded identifiers. One parser makes each of them, so a string that has the type has been checked.
 * Hashes and ids travel as lowercase hex in memory and as raw bytes in stored formats.
 */
import { bytesToHex, hexToBytes } from "./bytes.ts";
import { MicError } from "./errors.ts";

declare const brand: unique symbol;
type Brand<T, Name extends string> = T & { readonly [brand]: Name };

/** BLAKE3-256 of an object's content: 64 lowercase hex digits. */
export type ObjectId = Brand<string, "ObjectId">;
/** BLAKE3-256 of a whole pack's bytes: 64 lowercase hex digits. */
export type PackId = Brand<string, "PackId">;
/** 128 random bits minted by the client that lands: 32 lowercase hex digits. */
export type LandingId = Brand<string, "LandingId">;
/** 128 random bits: 32 lowercase hex digits. */
export type SessionId = Brand<string, "SessionId">;
/** 128 random bits minted by the client that creates the project: 32 lowercase hex digits. */
export type ProjectId = Brand<string, "ProjectId">;
/** Place in a project's log of landings: an integer from 0 (the empty tree) to 2^53 − 1. */
export type Position = Brand<number, "Position">;
/** UTC day of the object store, `YYYY-MM-DD`: the first part of an immutable object's key. */
export type Epoch = Brand<string, "Epoch">;

const HEX_64 = /^[0-9a-f]{64}$/;
const HEX_32 = /^[0-9a-f]{32}$/;
const EPOCH = /^\d{4}-\d{2}-\d{2}$/;

export const OBJECT_ID_BYTES = 32;

/** The root of the empty tree: 32 zero bytes and no node. */
export const EMPTY_ROOT = "0".repeat(64) as ObjectId;
export const POSITION_ZERO = 0 as Position;

function checked<T extends string>(pattern: RegExp, what: string, text: string): T {
  if (!pattern.test(text)) throw new MicError("usage", `${JSON.stringify(text)} is not ${what}`);
  return text as T;
}

export function parseObjectId(text: string): ObjectId {
  return checked(HEX_64, "an object id (64 lowercase hex digits)", text);
}
export function parsePackId(text: string): PackId {
  return checked(HEX_64, "a pack id (64 lowercase hex digits)", text);
}
export function parseLandingId(text: string): LandingId {
  return checked(HEX_32, "a landing id (32 lowercase hex digits)", text);
}
export function parseSessionId(text: string): SessionId {
  return checked(HEX_32, "a session id (32 lowercase hex digits)", text);
}
export function parseProjectId(text: string): ProjectId {
  return checked(HEX_32, "a project id (32 lowercase hex digits)", text);
}
export function parseEpoch(text: string): Epoch {
  return checked(EPOCH, "an epoch (YYYY-MM-DD)", text);
}

/** Accepts an integer from 0 to 2^53 − 1; anything else is `out-of-range`, never rounded. */
export function toPosition(value: number | bigint): Position {
  const position = Number(value);
  if (!Number.isSafeInteger(position) || position < 0 || BigInt(position) !== BigInt(value)) {
    throw new MicError("out-of-range", `${value} is not a position (0 to 2^53 - 1)`);
  }
  return position as Position;
}

/** 32 raw bytes → id. The bytes are not copied beyond the call. */
export function objectIdFromBytes(bytes: Uint8Array, offset = 0): ObjectId {
  return bytesToHex(bytes, offset, offset + OBJECT_ID_BYTES) as ObjectId;
}
export function objectIdToBytes(id: ObjectId | PackId): Uint8Array {
  return hexToBytes(id);
}

/** UTC day of `timeMs` (Unix milliseconds). */
export function epochOf(timeMs: number): Epoch {
  return new Date(timeMs).toISOString().slice(0, 10) as Epoch;
}
