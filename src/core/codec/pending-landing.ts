/**
 * `.mic/pending`: a landing that was sent and whose outcome is not known to this workspace yet. Written and
 * synced before the call, removed once the workspace is at the landed position or the landing is known not to
 * have happened.
 *
 * | offset | size | type | field |
 * | --- | --- | --- | --- |
 * | 0 | 4 | bytes | magic `MPND` |
 * | 4 | 2 | u16 LE | version, 1 |
 * | 6 | 1 | u8 | flags: bit 0 the request can be sent again from here, bit 1 `.mic/pending-content` holds its frames |
 * | 7 | 1 | u8 | reserved, 0 |
 * | 8 | 16 | bytes | landing id |
 * | 24 | 8 | u64 LE | base position |
 * | 32 | 32 | bytes | tree root at the base |
 * | 64 | 16 | bytes | session, zeros when none |
 * | 80 | v | string ×3 | goal, author, agent |
 * | … | v | strings | decisions (varint count first) |
 * | … | v | 32-byte ids | packs uploaded for it (varint count first) |
 * | … | v | operations | varint count, then path (string) and side (codec/content-side.ts; nothing: deleted) |
 * | … | 16 | bytes | seal (codec/sealed.ts) |
 *
 * A forge in a directory answers definitely whether a landing of a process that is gone happened, so there
 * the lists are left empty and bit 0 clear.
 */
import { ByteReader, ByteWriter, utf8 } from "../base/bytes.ts";
import { MicError } from "../base/errors.ts";
import type { LandingId, ObjectId, PackId, Position, SessionId } from "../base/ids.ts";
import type { List } from "../base/list.ts";
import { comparePaths, parseTreePath, type TreePath } from "../base/path.ts";
import { type ContentSide, readSide, writeSide } from "./content-side.ts";
import { checkSeal, seal } from "./sealed.ts";

export const PENDING_LANDING_MAGIC = "MPND";
export const PENDING_LANDING_VERSION = 1;

export interface PendingOperation {
  readonly path: TreePath;
  /** Undefined: deleted. */
  readonly after: ContentSide | undefined;
}

export interface PendingLanding {
  readonly landingId: LandingId;
  readonly basePosition: Position;
  readonly baseRoot: ObjectId;
  readonly session: SessionId | undefined;
  readonly goal: string;
  readonly author: string;
  readonly agent: string;
  readonly decisions: readonly string[];
  readonly packs: readonly PackId[];
  readonly operations: List<PendingOperation>;
  readonly resendable: boolean;
  readonly hasContent: boolean;
}

const WHAT = "pending landing";
const RESENDABLE = 1;
const HAS_CONTENT = 2;
const NO_SESSION = "0".repeat(32);

export function encodePendingLanding(pending: PendingLanding): Uint8Array {
  const writer = new ByteWriter(1024 + pending.operations.length * 96);
  writer.bytes(utf8(PENDING_LANDING_MAGIC)).u16(PENDING_LANDING_VERSION);
  writer.u8((pending.resendable ? RESENDABLE : 0) | (pending.hasContent ? HAS_CONTENT : 0)).u8(0);
  writer.hex(pending.landingId).u64(pending.basePosition).hex(pending.baseRoot);
  writer.hex(pending.session ?? NO_SESSION);
  writer.string(pending.goal).string(pending.author).string(pending.agent);
  writer.varint(pending.decisions.length);
  for (const decision of pending.decisions) writer.string(decision);
  writer.varint(pending.packs.length);
  for (const pack of pending.packs) writer.hex(pack);
  writer.varint(pending.operations.length);
  for (const operation of pending.operations) {
    writer.string(operation.path);
    writeSide(writer, operation.after);
  }
  return seal(writer);
}

/** Errors: `corrupt`, `unsupported` for another version, `unsafe-path`. */
export function decodePendingLanding(bytes: Uint8Array): PendingLanding {
  const reader = new ByteReader(bytes, WHAT, 0, checkSeal(bytes, WHAT));
  reader.expectMagic(PENDING_LANDING_MAGIC);
  const version = reader.u16();
  if (version !== PENDING_LANDING_VERSION)
    throw new MicError("unsupported", `${WHAT} has version ${version}`);
  const flags = reader.u8();
  if ((flags & ~(RESENDABLE | HAS_CONTENT)) !== 0) throw reader.fail("unknown flags");
  if (reader.u8() !== 0) throw reader.fail("reserved byte is set");
  const landingId = reader.hex(16) as LandingId;
  const basePosition = reader.safeU64() as Position;
  const baseRoot = reader.hex(32) as ObjectId;
  const session = reader.hex(16);
  const goal = reader.string();
  const author = reader.string();
  const agent = reader.string();
  const decisions: string[] = [];
  for (let left = reader.count(reader.varint(), 1); left > 0; left--) decisions.push(reader.string());
  const packs: PackId[] = [];
  for (let left = reader.count(reader.varint(), 32); left > 0; left--) packs.push(reader.hex(32) as PackId);
  const operations: PendingOperation[] = [];
  for (let left = reader.count(reader.varint(), 3); left > 0; left--) {
    const path = parseTreePath(reader.string());
    const previous = operations.at(-1);
    if (previous !== undefined && comparePaths(previous.path, path) >= 0) {
      throw reader.fail("operations are not sorted");
    }
    operations.push({ path, after: readSide(reader) });
  }
  reader.end();
  return {
    landingId,
    basePosition,
    baseRoot,
    session: session === NO_SESSION ? undefined : (session as SessionId),
    goal,
    author,
    agent,
    decisions,
    packs,
    operations,
    resendable: (flags & RESENDABLE) !== 0,
    hasContent: (flags & HAS_CONTENT) !== 0,
  };
}
