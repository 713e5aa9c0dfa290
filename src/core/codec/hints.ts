/**
 * Hints: one position per entry of a tree node or chunk list, stored as its sidecar, outside its hash. Runs of
 * equal positions in entry order:
 *
 * | size | type | field |
 * | --- | --- | --- |
 * | 1..8 | varint | entries in this run, at least 1 |
 * | 1..8 | varint | position of each of them, 0: unknown |
 *
 * repeated until every entry has its hint. Neighbouring runs differ, and when every hint is unknown there are
 * no bytes at all, so that equal hints have one encoding. Version: that of the object it stands beside.
 */
import { ByteReader, ByteWriter, EMPTY_BYTES } from "../base/bytes.ts";

const WHAT = "hints";

export function encodeHints(hints: Float64Array): Uint8Array {
  const count = hints.length;
  let start = 0;
  while (start < count && hints[start] === 0) start++;
  if (start === count) return EMPTY_BYTES;
  const writer = new ByteWriter(64);
  for (let from = 0; from < count; ) {
    const position = hints[from]!;
    let to = from + 1;
    while (to < count && hints[to] === position) to++;
    writer.varint(to - from).varint(position);
    from = to;
  }
  return writer.finish();
}

/** `count`: entries of the object that the hints stand beside. Throws `corrupt` when the bytes give another number. */
export function decodeHints(bytes: Uint8Array, count: number): Float64Array {
  const hints = new Float64Array(count);
  if (bytes.length === 0) return hints;
  const reader = new ByteReader(bytes, WHAT);
  let from = 0;
  let previous = -1;
  while (reader.remaining > 0) {
    const run = reader.varint();
    const position = reader.varint();
    if (run === 0) throw reader.fail("an empty run");
    if (run > count - from) throw reader.fail(`more hints than the ${count} entries`);
    if (position === previous) throw reader.fail("two runs of the same position");
    if (position === 0 && run === count) throw reader.fail("hints that are all unknown take no bytes");
    hints.fill(position, from, from + run);
    from += run;
    previous = position;
  }
  if (from !== count) throw reader.fail(`hints for ${from} of ${count} entries`);
  return hints;
}
