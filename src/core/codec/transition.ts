/**
 * A change of the workspace from one state to another: its base, the files that differ, the conflicts. The
 * same bytes are the journal of a change under way (`.mic/transition`) and a record of the operation log.
 *
 * | offset | size | type | field |
 * | --- | --- | --- | --- |
 * | 0 | 4 | bytes | magic `MTRN` |
 * | 4 | 2 | u16 LE | version, 1 |
 * | 6 | 1 | u8 | kind: index into the list in this file |
 * | 7 | 1 | u8 | flags: bit 0 the steps are only those that the two base trees do not explain |
 * | 8 | 8 | u64 LE | number in the operation log |
 * | 16 | 8 | u64 LE | Unix milliseconds |
 * | 24 | 8 + 32 | u64 LE, bytes | base before: position, root |
 * | 64 | 8 + 32 | u64 LE, bytes | base after: position, root |
 * | 104 | v | string | description |
 * | … | v | steps | varint count, sorted by tree key, each as below |
 * | … | v | conflicts | before, then after (codec/conflict-state.ts) |
 * | … | 16 | bytes | seal (codec/sealed.ts) |
 *
 * A step: path (string), u8 flags (bit 0: before, disk and base agree; bit 1: after, disk and base agree), then
 * the sides (codec/content-side.ts): disk before, [base before], disk after, [base after].
 */
import { ByteReader, ByteWriter, utf8 } from "../base/bytes.ts";
import { MicError } from "../base/errors.ts";
import type { ObjectId, Position } from "../base/ids.ts";
import { comparePaths, parseTreePath, type TreePath } from "../base/path.ts";
import { type Conflict, readConflicts, writeConflicts } from "./conflict-state.ts";
import { type ContentSide, readSide, sameSide, writeSide } from "./content-side.ts";
import { checkSeal, seal } from "./sealed.ts";

export const TRANSITION_MAGIC = "MTRN";
export const TRANSITION_VERSION = 1;

export type TransitionKind =
  | "land"
  | "goto"
  | "sync"
  | "restore"
  | "resolve"
  | "revert"
  | "track"
  | "untrack"
  | "undo"
  | "redo";

/** What a file and its base entry were and are to be. `disk` undefined: no file; `base` undefined: not in the base. */
export interface TransitionStep {
  readonly path: TreePath;
  readonly diskBefore: ContentSide | undefined;
  readonly baseBefore: ContentSide | undefined;
  readonly diskAfter: ContentSide | undefined;
  readonly baseAfter: ContentSide | undefined;
}

export interface BaseRef {
  readonly position: Position;
  readonly root: ObjectId;
}

export interface Transition {
  readonly kind: TransitionKind;
  /** Counts up from 1 in a workspace. */
  readonly number: number;
  readonly timeMs: number;
  readonly description: string;
  readonly from: BaseRef;
  readonly to: BaseRef;
  /** True: every path that differs is listed. False: paths that follow from the two base trees are left out. */
  readonly complete: boolean;
  readonly steps: readonly TransitionStep[];
  readonly conflictsBefore: readonly Conflict[];
  readonly conflictsAfter: readonly Conflict[];
}

const WHAT = "workspace transition";
const KINDS: readonly TransitionKind[] = [
  "land",
  "goto",
  "sync",
  "restore",
  "resolve",
  "revert",
  "track",
  "untrack",
  "undo",
  "redo",
];
const PARTIAL = 1;
const SAME_BEFORE = 1;
const SAME_AFTER = 2;
const STEP_BYTES_MIN = 5;

export function encodeTransition(transition: Transition): Uint8Array {
  const writer = new ByteWriter(1024 + transition.steps.length * 160);
  writer.bytes(utf8(TRANSITION_MAGIC)).u16(TRANSITION_VERSION).u8(KINDS.indexOf(transition.kind));
  writer.u8(transition.complete ? 0 : PARTIAL);
  writer.u64(transition.number).u64(transition.timeMs);
  writer.u64(transition.from.position).hex(transition.from.root);
  writer.u64(transition.to.position).hex(transition.to.root);
  writer.string(transition.description);
  writer.varint(transition.steps.length);
  for (const step of transition.steps) {
    const sameBefore = sameSide(step.diskBefore, step.baseBefore);
    const sameAfter = sameSide(step.diskAfter, step.baseAfter);
    writer.string(step.path).u8((sameBefore ? SAME_BEFORE : 0) | (sameAfter ? SAME_AFTER : 0));
    // Where both agree, the base's side is stored: it knows where the content was introduced.
    writeSide(writer, sameBefore ? step.baseBefore : step.diskBefore);
    if (!sameBefore) writeSide(writer, step.baseBefore);
    writeSide(writer, sameAfter ? step.baseAfter : step.diskAfter);
    if (!sameAfter) writeSide(writer, step.baseAfter);
  }
  writeConflicts(writer, transition.conflictsBefore);
  writeConflicts(writer, transition.conflictsAfter);
  return seal(writer);
}

type TransitionHeader = Omit<Transition, "steps" | "conflictsBefore" | "conflictsAfter">;
type TransitionBody = Pick<Transition, "steps" | "conflictsBefore" | "conflictsAfter">;

/** Errors: `corrupt`, `unsupported` for another version, `unsafe-path`. */
export function decodeTransition(bytes: Uint8Array): Transition {
  const reader = new ByteReader(bytes, WHAT, 0, checkSeal(bytes, WHAT));
  return { ...readHeader(reader), ...readBody(reader) };
}

/**
 * The same for a record of a log that has been checked as a whole: steps and conflicts are read when they are asked
 * for, with these errors then. `stepCount` is what the record says.
 */
export function openTransition(bytes: Uint8Array): { transition: Transition; stepCount: number } {
  const reader = new ByteReader(bytes, WHAT);
  const header = readHeader(reader);
  const stepCount = reader.varint();
  let body: TransitionBody | undefined;
  const read = (): TransitionBody => {
    body ??= decodeTransition(bytes);
    return body;
  };
  const transition = {
    ...header,
    get steps() {
      return read().steps;
    },
    get conflictsBefore() {
      return read().conflictsBefore;
    },
    get conflictsAfter() {
      return read().conflictsAfter;
    },
  };
  return { transition, stepCount };
}

function readHeader(reader: ByteReader): TransitionHeader {
  reader.expectMagic(TRANSITION_MAGIC);
  const version = reader.u16();
  if (version !== TRANSITION_VERSION) throw new MicError("unsupported", `${WHAT} has version ${version}`);
  const kind = KINDS[reader.u8()];
  if (kind === undefined) throw reader.fail("unknown kind");
  const flags = reader.u8();
  if ((flags & ~PARTIAL) !== 0) throw reader.fail("unknown flags");
  const number = reader.safeU64();
  const timeMs = reader.safeU64();
  const from = readBase(reader);
  const to = readBase(reader);
  const description = reader.string();
  return { kind, number, timeMs, description, from, to, complete: (flags & PARTIAL) === 0 };
}

function readBody(reader: ByteReader): TransitionBody {
  const steps: TransitionStep[] = [];
  for (let left = reader.count(reader.varint(), STEP_BYTES_MIN); left > 0; left--) {
    const step = readStep(reader);
    const previous = steps.at(-1);
    if (previous !== undefined && comparePaths(previous.path, step.path) >= 0) {
      throw reader.fail("steps are not sorted");
    }
    steps.push(step);
  }
  const conflictsBefore = readConflicts(reader);
  const conflictsAfter = readConflicts(reader);
  reader.end();
  return { steps, conflictsBefore, conflictsAfter };
}

function readBase(reader: ByteReader): BaseRef {
  const position = reader.safeU64() as Position;
  return { position, root: reader.hex(32) as ObjectId };
}

function readStep(reader: ByteReader): TransitionStep {
  const path = parseTreePath(reader.string());
  const flags = reader.u8();
  if ((flags & ~(SAME_BEFORE | SAME_AFTER)) !== 0) throw reader.fail("unknown step flags");
  const diskBefore = readSide(reader);
  const baseBefore = (flags & SAME_BEFORE) !== 0 ? diskBefore : readSide(reader);
  const diskAfter = readSide(reader);
  const baseAfter = (flags & SAME_AFTER) !== 0 ? diskAfter : readSide(reader);
  return { path, diskBefore, baseBefore, diskAfter, baseAfter };
}
