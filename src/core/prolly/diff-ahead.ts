/** Read-ahead of a diff: what it will need soon is asked for together, where each read costs a round trip. */
import type { DiffCursor } from "./diff-cursor.ts";

/** Nodes asked for at a time. */
const READ_AHEAD_NODES = 128;
/** Bounds the search for them in trees that are mostly equal. */
const STEPS_MAX = 16_384;

/**
 * Walks on from the two places through what is in memory, and starts reading what is not. Advice only: it
 * follows the same path as the diff as long as nodes of equal place end with the same key. Moves the cursors.
 */
export function readDifferencesAhead(
  a: DiffCursor,
  b: DiffCursor,
  end: Uint8Array | undefined,
  withLeaves: boolean,
): void {
  let asked = 0;
  const passOver = (side: DiffCursor) => {
    if (side.level > 0 || withLeaves) {
      if (!side.isInMemory) asked++;
      side.readAhead();
    }
    side.advance();
  };
  for (let step = 0; step < STEPS_MAX && asked < READ_AHEAD_NODES; step++) {
    if (a.done || b.done || a.isBeyond(end) || b.isBeyond(end)) return;
    if (a.level < 0 || b.level < 0) {
      // Inside a leaf there is nothing to read.
      for (const side of [a, b]) if (side.level < 0) side.advanceTo(side.node.count);
    } else if (a.level !== b.level) {
      const [high, low] = a.level > b.level ? [a, b] : [b, a];
      if (low.endsBefore(high)) passOver(low);
      else if (high.isInMemory) high.expand();
      else passOver(high);
    } else if (a.sameHash(b)) {
      a.advance();
      b.advance();
    } else if (a.endsBefore(b)) passOver(a);
    else if (b.endsBefore(a)) passOver(b);
    else if (a.level > 0 && a.isInMemory && b.isInMemory) {
      a.expand();
      b.expand();
    } else {
      passOver(a);
      passOver(b);
    }
  }
}
