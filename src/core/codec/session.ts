/**
 * `sessions/{session}.bin`: work in progress with its goal, decisions and conversation. Changed by
 * compare-and-swap. Version 2 of the seed's layout.
 *
 * | offset | size | type | field |
 * | --- | --- | --- | --- |
 * | 0 | 4 | bytes | magic `MICS` |
 * | 4 | 2 | u16 LE | version, 2 |
 * | 6 | 1 | u8 | state: 0 open, 1 abandoned, 2 conflicted |
 * | 7 | 1 | u8 | reserved, 0 |
 * | 8 | 16 | bytes | session id |
 * | 24 | 8 | u64 LE | base position |
 * | 32 | 16 | bytes | owner id: BLAKE3-256(owner)[0..16] |
 * | 48 | 8 | u64 LE | HLC of the creation |
 * | 56 | 8 | u64 LE | HLC of the last change |
 * | 64 | 32 | bytes | root of the tree at the base position |
 * | 96 | v | text | goal |
 * | … | v | text | owner |
 * | … | 4 | u32 LE | number of operations, each as below |
 * | … | 4 | u32 LE | bytes of the path filter; always 0, see below |
 * | … | 4 | u32 LE | number of decisions, each a text |
 * | … | 4 | u32 LE | number of messages, each a role (text) and a text |
 * | … | 1 | u8 | number of recent writes (at most 16), each 8 random bytes, oldest first |
 * | … | 16 | bytes | seal (codec/sealed.ts) |
 *
 * A text is a u32 LE byte length and UTF-8. An operation:
 *
 * | size | type | field |
 * | --- | --- | --- |
 * | 1 | u8 | 0 put, 1 delete |
 * | 2 | u16 LE | byte length of the path |
 * | n | UTF-8 | path |
 * | 1 | u8 | put: byte length of the entry |
 * | 41 or 73 | bytes | put: kind and mode, size, ids (codec/tree-entry.ts) |
 * | 8 | u64 LE | put: position hint of the content |
 *
 * The seed's fields add up to 65 bytes, so version 2 halves the version number to keep the header at 64.
 * There is no landed state: that is read from the log. The path filter is kept empty: a conflict check asks
 * the landings' filters about each of a session's paths and never intersects two filters, so this one would
 * never be read, and could only disagree with the operations stored beside it.
 * The recent writes let a writer whose swap had no definite answer find out whether it was applied.
 */
import { ByteReader, ByteWriter, fromUtf8, utf8 } from "../base/bytes.ts";
import { MicError } from "../base/errors.ts";
import { hashBytes } from "../base/hash.ts";
import type { Hlc } from "../base/hlc.ts";
import type { ObjectId, Position, SessionId } from "../base/ids.ts";
import { KEY_BYTES_MAX, TEXT_BYTES_MAX } from "../base/limits.ts";
import { comparePaths, parseTreePath, type TreePath } from "../base/path.ts";
import { checkSeal, seal } from "./sealed.ts";
import { decodeTreeEntry, encodeTreeEntry, type TreeEntry } from "./tree-entry.ts";

export const SESSION_MAGIC = "MICS";
export const SESSION_VERSION = 2;
export const RECENT_WRITES_MAX = 16;

export type StoredSessionState = "open" | "abandoned" | "conflicted";

export type SessionOperation =
  | { readonly kind: "put"; readonly path: TreePath; readonly entry: TreeEntry; readonly hint: number }
  | { readonly kind: "delete"; readonly path: TreePath };

export interface StoredSession {
  readonly id: SessionId;
  readonly state: StoredSessionState;
  readonly basePosition: Position;
  readonly baseRoot: ObjectId;
  readonly owner: string;
  readonly created: Hlc;
  readonly updated: Hlc;
  readonly goal: string;
  /** Sorted by tree key, one per path. */
  readonly operations: readonly SessionOperation[];
  readonly decisions: readonly string[];
  readonly conversation: readonly { readonly role: string; readonly text: string }[];
  /** 16 hex digits each. */
  readonly recentWrites: readonly string[];
}

const WHAT = "session";
const STATES: readonly StoredSessionState[] = ["open", "abandoned", "conflicted"];
const PUT = 0;
const DELETE = 1;
const OPERATION_BYTES_MIN = 4;
const TEXT_LENGTH_BYTES = 4;

export function encodeSession(session: StoredSession): Uint8Array {
  const writer = new ByteWriter(1024);
  writer.bytes(utf8(SESSION_MAGIC)).u16(SESSION_VERSION).u8(STATES.indexOf(session.state)).u8(0);
  writer.hex(session.id).u64(session.basePosition).bytes(ownerId(session.owner));
  writer.u64(session.created).u64(session.updated).hex(session.baseRoot);
  writeText(writer, session.goal);
  writeText(writer, session.owner);
  writer.u32(session.operations.length);
  for (const operation of session.operations) writeOperation(writer, operation);
  writer.u32(0);
  writer.u32(session.decisions.length);
  for (const decision of session.decisions) writeText(writer, decision);
  writer.u32(session.conversation.length);
  for (const message of session.conversation) {
    writeText(writer, message.role);
    writeText(writer, message.text);
  }
  writer.u8(session.recentWrites.length);
  for (const write of session.recentWrites) writer.hex(write);
  return seal(writer);
}

/** Errors: `corrupt`, `unsupported` for another version, `unsafe-path` for a forbidden path. */
export function decodeSession(bytes: Uint8Array): StoredSession {
  const reader = new ByteReader(bytes, WHAT, 0, checkSeal(bytes, WHAT));
  reader.expectMagic(SESSION_MAGIC);
  const version = reader.u16();
  if (version !== SESSION_VERSION) throw new MicError("unsupported", `${WHAT} has version ${version}`);
  const state = STATES[reader.u8()];
  if (state === undefined) throw reader.fail("unknown state");
  if (reader.u8() !== 0) throw reader.fail("reserved byte is set");
  const id = reader.hex(16) as SessionId;
  const basePosition = reader.safeU64() as Position;
  const storedOwnerId = reader.hex(16);
  const created = reader.u64();
  const updated = reader.u64();
  const baseRoot = reader.hex(32) as ObjectId;
  const goal = readText(reader);
  const owner = readText(reader);
  if (Buffer.from(ownerId(owner)).toString("hex") !== storedOwnerId) {
    throw reader.fail("the owner id is not the owner's");
  }
  const operations = readOperations(reader);
  if (reader.u32() !== 0) throw reader.fail("the path filter is not empty");
  const decisions: string[] = [];
  for (let left = reader.count(reader.u32(), TEXT_LENGTH_BYTES); left > 0; left--) {
    decisions.push(readText(reader));
  }
  const conversation: { role: string; text: string }[] = [];
  for (let left = reader.count(reader.u32(), 2 * TEXT_LENGTH_BYTES); left > 0; left--) {
    conversation.push({ role: readText(reader), text: readText(reader) });
  }
  const recentWrites: string[] = [];
  const writes = reader.count(reader.u8(), 8);
  if (writes > RECENT_WRITES_MAX) throw reader.fail(`${writes} recent writes`);
  for (let left = writes; left > 0; left--) recentWrites.push(reader.hex(8));
  reader.end();
  return {
    id,
    state,
    basePosition,
    baseRoot,
    owner,
    created,
    updated,
    goal,
    operations,
    decisions,
    conversation,
    recentWrites,
  };
}

function ownerId(owner: string): Uint8Array {
  return hashBytes(utf8(owner)).subarray(0, 16);
}

function writeText(writer: ByteWriter, text: string): void {
  const bytes = utf8(text);
  writer.u32(bytes.length).bytes(bytes);
}

function readText(reader: ByteReader): string {
  const length = reader.u32();
  if (length > TEXT_BYTES_MAX) throw reader.fail(`a text of ${length} bytes`);
  return fromUtf8(reader.bytes(length), `a text in a ${WHAT}`);
}

function writeOperation(writer: ByteWriter, operation: SessionOperation): void {
  const path = utf8(operation.path);
  writer
    .u8(operation.kind === "put" ? PUT : DELETE)
    .u16(path.length)
    .bytes(path);
  if (operation.kind === "delete") return;
  const entry = encodeTreeEntry(operation.entry);
  writer.u8(entry.length).bytes(entry).u64(operation.hint);
}

function readOperations(reader: ByteReader): SessionOperation[] {
  const operations: SessionOperation[] = [];
  let previous = "";
  for (let left = reader.count(reader.u32(), OPERATION_BYTES_MIN); left > 0; left--) {
    const tag = reader.u8();
    if (tag !== PUT && tag !== DELETE) throw reader.fail(`unknown operation ${tag}`);
    const length = reader.u16();
    if (length > KEY_BYTES_MAX) throw reader.fail(`a path of ${length} bytes`);
    const path = parseTreePath(fromUtf8(reader.bytes(length), "a path"));
    if (previous !== "" && comparePaths(previous, path) >= 0) throw reader.fail("operations are not sorted");
    previous = path;
    if (tag === DELETE) {
      operations.push({ kind: "delete", path });
      continue;
    }
    const entry = decodeTreeEntry(reader.bytes(reader.u8()));
    operations.push({ kind: "put", path, entry, hint: reader.safeU64() });
  }
  return operations;
}
