/** A landing's operations as its record keeps them: inline, or in segments with a filter each. */
import { hashObject } from "../base/hash.ts";
import type { ObjectId, Position } from "../base/ids.ts";
import {
  INLINE_OPERATIONS_MAX,
  type OperationSegment,
  type RecordOperations,
} from "../codec/landing-record.ts";
import { encodeOperations, OPERATIONS_PER_SEGMENT, sharedPrefix } from "../codec/operations.ts";
import { encodePathFilter } from "../codec/path-filter.ts";
import type { PreparedEdit } from "./prepared-landing.ts";

/** An object of kind `operations`. */
export interface StoredSegment {
  readonly id: ObjectId;
  readonly bytes: Uint8Array;
}

export function recordOperations(
  edits: readonly PreparedEdit[],
  position: Position,
): { readonly operations: RecordOperations; readonly segments: readonly StoredSegment[] } {
  if (edits.length <= INLINE_OPERATIONS_MAX) {
    return { operations: { kind: "inline", bytes: encodeOperations(edits, position) }, segments: [] };
  }
  const segments: OperationSegment[] = [];
  const stored: StoredSegment[] = [];
  for (let start = 0; start < edits.length; start += OPERATIONS_PER_SEGMENT) {
    const end = Math.min(edits.length, start + OPERATIONS_PER_SEGMENT);
    const bytes = encodeOperations(edits, position, start, end);
    const id = hashObject(bytes);
    stored.push({ id, bytes });
    segments.push({ id, count: end - start, filter: filterOf(edits, start, end) });
  }
  return { operations: { kind: "segments", segments }, segments: stored };
}

function filterOf(edits: readonly PreparedEdit[], start: number, end: number): Uint8Array {
  const touched: Uint8Array[] = [];
  const ancestors: Uint8Array[] = [];
  let previousPut: Uint8Array | undefined;
  for (let i = start; i < end; i++) {
    const { key, value } = edits[i]!;
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
