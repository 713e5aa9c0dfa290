/**
 * `.mic/operations`: what `undo`, `redo` and `ops` work on. Replaced as a whole, bounded by number and size.
 *
 * | offset | size | type | field |
 * | --- | --- | --- | --- |
 * | 0 | 4 | bytes | magic `MOPS` |
 * | 4 | 2 | u16 LE | version, 1 |
 * | 6 | 8 | u64 LE | number that the next operation gets |
 * | 14 | 4 | u32 LE | how many of the operations, from the oldest, are in effect; the rest were undone |
 * | 18 | 4 | u32 LE | number of operations, oldest first: each a u32 LE byte length and a transition |
 * | … | 16 | bytes | seal (codec/sealed.ts) |
 */
import { ByteReader, ByteWriter, utf8 } from "../base/bytes.ts";
import { MicError } from "../base/errors.ts";
import { checkSeal, seal } from "./sealed.ts";
import { encodeTransition, openTransition, type Transition } from "./transition.ts";

export const OPERATION_LOG_MAGIC = "MOPS";
export const OPERATION_LOG_VERSION = 1;

export interface OperationLog {
  readonly nextNumber: number;
  /** Oldest first. */
  readonly operations: readonly Transition[];
  /** `operations[inEffect…]` were undone and can be redone. */
  readonly inEffect: number;
}

export const EMPTY_OPERATION_LOG: OperationLog = { nextNumber: 1, operations: [], inEffect: 0 };

const WHAT = "operation log";
/** Of transitions that were read or written: an operation of the past is stored again with every new one. */
const encoded = new WeakMap<Transition, Uint8Array>();
const stepCounts = new WeakMap<Transition, number>();

/** As `encodeTransition`, once for each transition. Not to be changed. */
export function encodedTransition(transition: Transition): Uint8Array {
  let bytes = encoded.get(transition);
  if (bytes === undefined) {
    bytes = encodeTransition(transition);
    encoded.set(transition, bytes);
  }
  return bytes;
}

export function encodeOperationLog(log: OperationLog): Uint8Array {
  const operations = log.operations.map(encodedTransition);
  const writer = new ByteWriter(operations.reduce((sum, bytes) => sum + bytes.length + 4, 64));
  writer.bytes(utf8(OPERATION_LOG_MAGIC)).u16(OPERATION_LOG_VERSION);
  writer.u64(log.nextNumber).u32(log.inEffect).u32(log.operations.length);
  for (const bytes of operations) writer.u32(bytes.length).bytes(bytes);
  return seal(writer);
}

/** Without reading the steps of an operation that came from a log. */
export function stepCountOf(operation: Transition): number {
  return stepCounts.get(operation) ?? operation.steps.length;
}

/** Errors: `corrupt`, `unsupported` for another version; steps are read, and checked, when they are asked for. */
export function decodeOperationLog(bytes: Uint8Array): OperationLog {
  const reader = new ByteReader(bytes, WHAT, 0, checkSeal(bytes, WHAT));
  reader.expectMagic(OPERATION_LOG_MAGIC);
  const version = reader.u16();
  if (version !== OPERATION_LOG_VERSION) throw new MicError("unsupported", `${WHAT} has version ${version}`);
  const nextNumber = reader.safeU64();
  const inEffect = reader.u32();
  const operations: Transition[] = [];
  for (let left = reader.count(reader.u32(), 4); left > 0; left--) {
    const stored = reader.bytes(reader.u32());
    const { transition, stepCount } = openTransition(stored);
    encoded.set(transition, stored);
    stepCounts.set(transition, stepCount);
    operations.push(transition);
  }
  reader.end();
  if (inEffect > operations.length) throw reader.fail("more operations in effect than there are");
  return { nextNumber, operations, inEffect };
}
