/** What a rewrite does to one level of a tree. */
import { compareBytes } from "../base/bytes.ts";
import type { Child } from "./chunker.ts";
import type { Hint } from "./types.ts";

/** Sorted changes to one level, in parallel arrays. A value of `undefined` deletes; above level 0 it is a child. */
export class LevelEdits {
  readonly keys: Uint8Array[] = [];
  readonly values: (Uint8Array | Child | undefined)[] = [];
  readonly hints: Hint[] = [];

  get count(): number {
    return this.keys.length;
  }

  push(key: Uint8Array, value: Uint8Array | Child | undefined, hint: Hint): void {
    this.keys.push(key);
    this.values.push(value);
    this.hints.push(hint);
  }
}

/** The puts. */
export function withoutDeletes(edits: LevelEdits): LevelEdits {
  const kept = new LevelEdits();
  for (let i = 0; i < edits.count; i++) {
    if (edits.values[i] !== undefined) kept.push(edits.keys[i]!, edits.values[i], edits.hints[i]!);
  }
  return kept;
}

/** Both, in key order; they have no key in common. */
export function mergeEdits(a: LevelEdits, b: LevelEdits | undefined): LevelEdits {
  if (b === undefined || b.count === 0) return a;
  if (a.count === 0) return b;
  const merged = new LevelEdits();
  let i = 0;
  let j = 0;
  while (i < a.count || j < b.count) {
    const fromA = j === b.count || (i < a.count && compareBytes(a.keys[i]!, b.keys[j]!) < 0);
    if (fromA) merged.push(a.keys[i]!, a.values[i], a.hints[i++]!);
    else merged.push(b.keys[j]!, b.values[j], b.hints[j++]!);
  }
  return merged;
}
