/**
 * What a position is: an object of kind `record` in the pack of the landing, one per position of the batch,
 * in position order. The head's list of packs leads to it; a record that the head does not lead to proves
 * nothing.
 *
 * | offset | size | type | field |
 * | --- | --- | --- | --- |
 * | 0 | 4 | bytes | magic `MICL` |
 * | 4 | 2 | u16 LE | version, 1 |
 * | 6 | 1 | u8 | operations: 0 inline, 1 in segments |
 * | 7 | 1 | u8 | 0 |
 * | 8 | 16 | bytes | landing id |
 * | 24 | 16 | bytes | session id |
 * | 40 | 8 | u64 LE | position |
 * | 48 | 8 | u64 LE | HLC |
 * | 56 | 32 | bytes | tree root of the position before |
 * | 88 | 32 | bytes | tree root |
 * | 120 | 8 | u64 LE | position that introduced the root node, 0 for the empty tree |
 * | 128 | 8 | u64 LE | base position |
 * | 136 | 32 | bytes | base tree root |
 * | 168 | 32 | bytes | digest of base and operations (forge/landing/edits.ts) |
 * | 200 | v | varint | number of operations |
 * | … | v | string | goal |
 * | … | v | string | author |
 * | … | v | string | agent |
 * | … | v | varint, strings | decisions |
 * | … | v | varint, pairs of strings | conversation: role, text |
 * | … | v | varint, 32 each | ids of the packs uploaded for it; none for a landing that was imported |
 * | … | v | varint + bytes | inline: the operations (codec/operations.ts) |
 * | … | v | varint, then each | segments: id 32, varint operations, varint + filter (codec/path-filter.ts) |
 *
 * A string is a varint byte length and UTF-8.
 */
import { ByteReader, ByteWriter, utf8 } from "../base/bytes.ts";
import { MicError } from "../base/errors.ts";
import type { Hlc } from "../base/hlc.ts";
import type { LandingId, ObjectId, PackId, Position, SessionId } from "../base/ids.ts";

export const RECORD_MAGIC = "MICL";
export const RECORD_VERSION = 1;
/** More operations than this go to segments. */
export const INLINE_OPERATIONS_MAX = 64;

export interface OperationSegment {
  readonly id: ObjectId;
  /** Operations in it. */
  readonly count: number;
  readonly filter: Uint8Array;
}

export type RecordOperations =
  /** Encoded; see codec/operations.ts. */
  | { readonly kind: "inline"; readonly bytes: Uint8Array }
  | { readonly kind: "segments"; readonly segments: readonly OperationSegment[] };

export interface LandingRecord {
  readonly landingId: LandingId;
  readonly session: SessionId;
  readonly position: Position;
  readonly hlc: Hlc;
  readonly parentRoot: ObjectId;
  readonly root: ObjectId;
  readonly rootHint: number;
  readonly base: { readonly position: Position; readonly root: ObjectId };
  /** 64 hex digits. */
  readonly digest: string;
  readonly operationCount: number;
  readonly goal: string;
  readonly author: string;
  readonly agent: string;
  readonly decisions: readonly string[];
  readonly conversation: readonly { readonly role: string; readonly text: string }[];
  readonly packs: readonly PackId[];
  readonly operations: RecordOperations;
}

export function encodeLandingRecord(record: LandingRecord): Uint8Array {
  const { operations } = record;
  const writer = new ByteWriter(1024);
  writer.bytes(utf8(RECORD_MAGIC)).u16(RECORD_VERSION);
  writer.u8(operations.kind === "inline" ? 0 : 1).u8(0);
  writer.hex(record.landingId).hex(record.session).u64(record.position).u64(record.hlc);
  writer.hex(record.parentRoot).hex(record.root).u64(record.rootHint);
  writer.u64(record.base.position).hex(record.base.root).hex(record.digest);
  writer.varint(record.operationCount);
  writer.string(record.goal).string(record.author).string(record.agent);
  writer.varint(record.decisions.length);
  for (const decision of record.decisions) writer.string(decision);
  writer.varint(record.conversation.length);
  for (const message of record.conversation) writer.string(message.role).string(message.text);
  writer.varint(record.packs.length);
  for (const pack of record.packs) writer.hex(pack);
  if (operations.kind === "inline") return writer.prefixed(operations.bytes).finish();
  writer.varint(operations.segments.length);
  for (const segment of operations.segments) {
    writer.hex(segment.id).varint(segment.count).prefixed(segment.filter);
  }
  return writer.finish();
}

/** Errors: `corrupt`, `unsupported`. Byte fields are views of `bytes`. */
export function decodeLandingRecord(bytes: Uint8Array): LandingRecord {
  const reader = new ByteReader(bytes, "landing record");
  reader.expectMagic(RECORD_MAGIC);
  const version = reader.u16();
  if (version !== RECORD_VERSION) throw new MicError("unsupported", `landing record has version ${version}`);
  const form = reader.u8();
  if (form > 1 || reader.u8() !== 0) throw reader.fail("unknown form");
  const landingId = reader.hex(16) as LandingId;
  const session = reader.hex(16) as SessionId;
  const position = reader.safeU64() as Position;
  const hlc = reader.u64();
  const parentRoot = reader.hex(32) as ObjectId;
  const root = reader.hex(32) as ObjectId;
  const rootHint = reader.safeU64();
  const basePosition = reader.safeU64() as Position;
  const baseRoot = reader.hex(32) as ObjectId;
  if (position < 1 || basePosition >= position || rootHint > position) {
    throw reader.fail(`position ${position} with base ${basePosition} and root of ${rootHint}`);
  }
  const digest = reader.hex(32);
  const operationCount = reader.varint();
  const goal = reader.string();
  const author = reader.string();
  const agent = reader.string();
  const decisions: string[] = [];
  for (let left = reader.count(reader.varint(), 1); left > 0; left--) decisions.push(reader.string());
  const conversation: { role: string; text: string }[] = [];
  for (let left = reader.count(reader.varint(), 2); left > 0; left--) {
    conversation.push({ role: reader.string(), text: reader.string() });
  }
  const packs: PackId[] = [];
  for (let left = reader.count(reader.varint(), 32); left > 0; left--) packs.push(reader.hex(32) as PackId);
  const operations = readOperations(reader, form, operationCount);
  reader.end();
  return {
    landingId,
    session,
    position,
    hlc,
    parentRoot,
    root,
    rootHint,
    base: { position: basePosition, root: baseRoot },
    digest,
    operationCount,
    goal,
    author,
    agent,
    decisions,
    conversation,
    packs,
    operations,
  };
}

function readOperations(reader: ByteReader, form: number, operationCount: number): RecordOperations {
  if (form === 0) return { kind: "inline", bytes: reader.prefixed() };
  const segments: OperationSegment[] = [];
  let total = 0;
  for (let left = reader.count(reader.varint(), 34); left > 0; left--) {
    const segment = { id: reader.hex(32) as ObjectId, count: reader.varint(), filter: reader.prefixed() };
    total += segment.count;
    segments.push(segment);
  }
  if (total !== operationCount) throw reader.fail(`${total} operations in segments, not ${operationCount}`);
  return { kind: "segments", segments };
}
