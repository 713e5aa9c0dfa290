/**
 * Shapes that several services share, between the forge's form (hex, numbers, unions) and the generated messages.
 * A `xFromWire` checks everything. Errors: `usage` for a malformed message, `unsafe-path`, `too-large`,
 * `out-of-range`; `receive()` makes them `corrupt` for a client.
 */
import type { BinaryReader, BinaryWriter } from "@bufbuild/protobuf/wire";
import { bytesToHex, hexToBytes } from "../base/bytes.ts";
import { MicError } from "../base/errors.ts";
import type { ObjectId, Position } from "../base/ids.ts";
import { parseTreePath, type TreePath } from "../base/path.ts";
import type { EntryKind } from "../codec/tree-entry.ts";
import type { ConversationMessage, Operation, PositionRef } from "../forge/forge.ts";
import type { HintedEntry } from "./entries.ts";
import {
  type ConversationMessage as WireConversationMessage,
  EntryKind as WireEntryKind,
  type Operation as WireOperation,
  type PositionRef as WirePositionRef,
  type TreeEntry as WireTreeEntry,
} from "./gen/mic/v1/common.ts";

/** What the generated code offers for each message. */
export interface MessageType<T> {
  encode(message: T, writer?: BinaryWriter): BinaryWriter;
  decode(input: BinaryReader | Uint8Array, length?: number): T;
}

export function encodeMessage<T>(type: MessageType<T>, message: T): Uint8Array {
  return type.encode(message).finish();
}

/** Errors: `usage` for bytes that are no such message. */
export function decodeMessage<T>(type: MessageType<T>, bytes: Uint8Array): T {
  try {
    return type.decode(bytes);
  } catch (cause) {
    const detail = cause instanceof Error ? cause.message : String(cause);
    throw new MicError("usage", `a message is malformed: ${detail}`, { cause });
  }
}

/** Runs a decoder on what a server sent: whatever it refuses makes the answer `corrupt`. */
export function receive<T>(what: string, decode: () => T): T {
  try {
    return decode();
  } catch (cause) {
    if (!(cause instanceof MicError)) throw cause;
    throw new MicError("corrupt", `the server's answer to ${what} is wrong: ${cause.message}`, {
      hint: "check the address; if it is right, the server is broken",
      cause,
      data: cause.data,
    });
  }
}

export const ID_BYTES = 16;
export const HASH_BYTES = 32;
export const SALT_BYTES = 8;
export const NO_BYTES: Uint8Array = new Uint8Array(0);

/** Raw bytes of a hex id; none for undefined. */
export function idToWire(id: string | undefined): Uint8Array {
  return id === undefined ? NO_BYTES : hexToBytes(id);
}

/** Hex of exactly `length` bytes. */
export function idFromWire<T extends string>(bytes: Uint8Array, length: number, what: string): T {
  if (bytes.length !== length)
    throw new MicError("usage", `${what} has ${bytes.length} bytes, not ${length}`);
  return bytesToHex(bytes) as T;
}

/** As `idFromWire`, or undefined for no bytes. */
export function optionalId<T extends string>(bytes: Uint8Array, length: number, what: string): T | undefined {
  return bytes.length === 0 ? undefined : idFromWire<T>(bytes, length, what);
}

export function hashFromWire(bytes: Uint8Array, what: string): ObjectId {
  return idFromWire<ObjectId>(bytes, HASH_BYTES, what);
}

const SAFE_MAX = BigInt(Number.MAX_SAFE_INTEGER);

/** An integer up to 2^53 − 1. Errors: `out-of-range`. */
export function numberFromWire(value: bigint, what: string): number {
  if (value > SAFE_MAX || value < 0n)
    throw new MicError("out-of-range", `${what} ${value} is above 2^53 - 1`);
  return Number(value);
}

export function positionFromWire(value: bigint, what = "position"): Position {
  return numberFromWire(value, what) as Position;
}

export function positionRefToWire({ position, root }: PositionRef): WirePositionRef {
  return { position: BigInt(position), root: hexToBytes(root) };
}

export function positionRefFromWire(message: WirePositionRef | undefined, what: string): PositionRef {
  if (message === undefined) throw new MicError("usage", `${what} is missing`);
  return {
    position: positionFromWire(message.position),
    root: hashFromWire(message.root, `root of ${what}`),
  };
}

export function pathsFromWire(paths: readonly string[]): TreePath[] | undefined {
  return paths.length === 0 ? undefined : paths.map(parseTreePath);
}

const KIND_TO_WIRE: Readonly<Record<EntryKind, WireEntryKind>> = {
  file: WireEntryKind.FILE,
  executable: WireEntryKind.EXECUTABLE,
  symlink: WireEntryKind.SYMLINK,
};
const KIND_FROM_WIRE: ReadonlyMap<number, EntryKind> = new Map<number, EntryKind>([
  [WireEntryKind.FILE, "file"],
  [WireEntryKind.EXECUTABLE, "executable"],
  [WireEntryKind.SYMLINK, "symlink"],
]);

export function entryToWire({ entry, hint }: HintedEntry): WireTreeEntry {
  return {
    kind: KIND_TO_WIRE[entry.kind],
    size: BigInt(entry.size),
    id: hexToBytes(entry.id),
    chunks: idToWire(entry.chunks),
    hint: BigInt(hint),
  };
}

export function entryFromWire(message: WireTreeEntry): HintedEntry {
  const kind = KIND_FROM_WIRE.get(message.kind);
  if (kind === undefined) throw new MicError("usage", `entry kind ${message.kind} is not known`);
  const chunks = optionalId<ObjectId>(message.chunks, HASH_BYTES, "a chunk list's id");
  if (kind === "symlink" && chunks !== undefined) throw new MicError("usage", "a symlink with a chunk list");
  const size = numberFromWire(message.size, "size");
  const id = hashFromWire(message.id, "an object id");
  return {
    entry: chunks === undefined ? { kind, size, id } : { kind, size, id, chunks },
    hint: numberFromWire(message.hint, "hint"),
  };
}

export function operationToWire(operation: Operation): WireOperation {
  return { path: operation.path, entry: operation.kind === "put" ? entryToWire(operation) : undefined };
}

export function operationFromWire(message: WireOperation): Operation {
  const path = parseTreePath(message.path);
  if (message.entry === undefined) return { kind: "delete", path };
  return { kind: "put", path, ...entryFromWire(message.entry) };
}

export function conversationFromWire(messages: readonly WireConversationMessage[]): ConversationMessage[] {
  return messages.map(({ role, text }) => ({ role, text }));
}
