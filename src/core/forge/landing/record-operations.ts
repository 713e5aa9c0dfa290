/** A landing's operations as its record keeps them: inline, or in segments with a filter each. */
import { GarbagePace } from "../../base/garbage.ts";
import { hashObject } from "../../base/hash.ts";
import type { ObjectId, Position } from "../../base/ids.ts";
import {
  INLINE_OPERATIONS_MAX,
  type OperationSegment,
  type RecordOperations,
} from "../../codec/landing-record.ts";
import { encodeOperations, OPERATIONS_PER_SEGMENT, sharedPrefix } from "../../codec/operations.ts";
import { encodePathFilter } from "../../codec/path-filter.ts";
import type { TreeEdit } from "../../prolly/types.ts";
import type { Edits } from "./edits.ts";

/** An object of kind `operations`. */
export interface StoredSegment {
  readonly id: ObjectId;
  readonly bytes: Uint8Array;
}

export function recordOperations(
  edits: Edits,
  position: Position,
): { readonly operations: RecordOperations; readonly segments: readonly StoredSegment[] } {
  if (edits.length <= INLINE_OPERATIONS_MAX) {
    const bytes = encodeOperations(edits.slice(0, edits.length), position);
    return { operations: { kind: "inline", bytes }, segments: [] };
  }
  const segments: OperationSegment[] = [];
  const stored: StoredSegment[] = [];
  const pace = new GarbagePace();
  for (let start = 0; start < edits.length; start += OPERATIONS_PER_SEGMENT) {
    const part = edits.slice(start, Math.min(edits.length, start + OPERATIONS_PER_SEGMENT));
    const bytes = encodeOperations(part, position);
    const id = hashObject(bytes);
    stored.push({ id, bytes });
    segments.push({ id, count: part.length, filter: filterOf(part) });
    pace.passed(part.length);
  }
  return { operations: { kind: "segments", segments }, segments: stored };
}

function filterOf(edits: readonly TreeEdit[]): Uint8Array {
  const touched: Uint8Array[] = [];
  const ancestors: Uint8Array[] = [];
  let previousPut: Uint8Array | undefined;
  for (const { key, value } of edits) {
    touched.push(key);
    if (value === undefined) continue;
    // Ancestors that this put shares with the one before are in already: those that end below the shared part.
    const shared = previousPut === undefined ? 0 : sharedPrefix(previousPut, key);
    for (let at = key.indexOf(0, shared); at !== -1; at = key.indexOf(0, at + 1)) {
      ancestors.push(key.subarray(0, at));
    }
    previousPut = key;
  }
  return encodePathFilter(touched, ancestors);
}
