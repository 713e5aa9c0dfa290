/**
 * Where an inserted or deleted group of lines could as well stand one line higher or lower, it is moved: onto
 * a neighbouring hunk if it reaches one, else down as far as it goes, or, for readers, to where the
 * indentation says that a block begins (the heuristic and its weights are those of git's xdiff, by Michael
 * Haggerty, 2016).
 */
import type { Hunk } from "./hunk.ts";
import type { Lines } from "./lines.ts";

interface Range {
  start: number;
  end: number;
}

/** `text` asks for the reader's choice. */
export function slideHunks(
  hunks: readonly Hunk[],
  a: Int32Array,
  b: Int32Array,
  text?: { readonly a: Lines; readonly b: Lines },
): Hunk[] {
  const slid: Hunk[] = [];
  for (let i = 0; i < hunks.length; i++) {
    let hunk = hunks[i]!;
    for (;;) {
      const previous = slid.at(-1);
      if (!isOneSided(hunk)) break;
      const up = slideBy(hunk, a, b, -1, previous);
      const above = shifted(hunk, -up);
      if (previous !== undefined && previous.aEnd === above.aStart) {
        slid.pop();
        hunk = joined(previous, above);
        continue;
      }
      const next = hunks[i + 1];
      const down = slideBy(hunk, a, b, 1, next);
      const below = shifted(hunk, down);
      if (next !== undefined && next.aStart === below.aEnd) {
        hunk = joined(below, next);
        i++;
        continue;
      }
      hunk = text === undefined ? below : bestOf(below, up + down, text);
      break;
    }
    slid.push(hunk);
  }
  return slid;
}

function isOneSided(hunk: Hunk): boolean {
  return (hunk.aStart === hunk.aEnd) !== (hunk.bStart === hunk.bEnd);
}

function shifted(hunk: Hunk, by: number): Hunk {
  if (by === 0) return hunk;
  return {
    aStart: hunk.aStart + by,
    aEnd: hunk.aEnd + by,
    bStart: hunk.bStart + by,
    bEnd: hunk.bEnd + by,
  };
}

function joined(first: Hunk, second: Hunk): Hunk {
  return { aStart: first.aStart, aEnd: second.aEnd, bStart: first.bStart, bEnd: second.bEnd };
}

/** How many lines a one-sided hunk can go in a direction before it meets `neighbour` or an end. */
function slideBy(
  hunk: Hunk,
  a: Int32Array,
  b: Int32Array,
  direction: 1 | -1,
  neighbour: Hunk | undefined,
): number {
  const numbers = hunk.aStart === hunk.aEnd ? b : a;
  const start = hunk.aStart === hunk.aEnd ? hunk.bStart : hunk.aStart;
  const end = hunk.aStart === hunk.aEnd ? hunk.bEnd : hunk.aEnd;
  if (direction === -1) {
    const room = hunk.aStart - (neighbour?.aEnd ?? 0);
    const roomB = hunk.bStart - (neighbour?.bEnd ?? 0);
    const most = Math.min(room, roomB);
    let by = 0;
    while (by < most && numbers[start - 1 - by] === numbers[end - 1 - by]) by++;
    return by;
  }
  const most = Math.min(
    (neighbour?.aStart ?? a.length) - hunk.aEnd,
    (neighbour?.bStart ?? b.length) - hunk.bEnd,
  );
  let by = 0;
  while (by < most && numbers[start + by] === numbers[end + by]) by++;
  return by;
}

const SLIDE_MAX = 100;
const BLANKS_MAX = 20;
const INDENT_MAX = 200;
const START_OF_FILE = 1;
const END_OF_FILE = 21;
const TOTAL_BLANK = -30;
const POST_BLANK = 6;
const INDENT = -4;
const INDENT_WITH_BLANK = 10;
const OUTDENT = 24;
const OUTDENT_WITH_BLANK = 17;
const DEDENT = 23;
const DEDENT_WITH_BLANK = 17;
const INDENT_WEIGHT = 60;

/** The best of the places from `lowest` up to `room` lines above it. */
function bestOf(lowest: Hunk, room: number, text: { readonly a: Lines; readonly b: Lines }): Hunk {
  if (room === 0) return lowest;
  const isInsertion = lowest.aStart === lowest.aEnd;
  const lines = isInsertion ? text.b : text.a;
  const end = isInsertion ? lowest.bEnd : lowest.aEnd;
  const size = end - (isInsertion ? lowest.bStart : lowest.aStart);
  let best: Range | undefined;
  let bestBy = 0;
  for (let by = -Math.min(room, size + 1, SLIDE_MAX); by <= 0; by++) {
    const score = { start: 0, end: 0 };
    addSplit(lines, end + by, score);
    addSplit(lines, end + by - size, score);
    if (best !== undefined && compareScores(score, best) > 0) continue;
    best = score;
    bestBy = by;
  }
  return shifted(lowest, bestBy);
}

/** `start` sums the indentation, `end` the penalties. */
function compareScores(a: Range, b: Range): number {
  return INDENT_WEIGHT * Math.sign(a.start - b.start) + (a.end - b.end);
}

/** Adds how bad it would be to split before line `split`. */
function addSplit(lines: Lines, split: number, score: Range): void {
  const indentHere = split < lines.count ? indentOf(lines, split) : -1;
  let preBlank = 0;
  let preIndent = -1;
  for (let i = split - 1; i >= 0 && preIndent === -1; i--) {
    preIndent = indentOf(lines, i);
    if (preIndent === -1 && ++preBlank === BLANKS_MAX) preIndent = 0;
  }
  let blanksAfter = 0;
  let postIndent = -1;
  for (let i = split + 1; i < lines.count && postIndent === -1; i++) {
    postIndent = indentOf(lines, i);
    if (postIndent === -1 && ++blanksAfter === BLANKS_MAX) postIndent = 0;
  }
  if (preIndent === -1 && preBlank === 0) score.end += START_OF_FILE;
  if (split >= lines.count) score.end += END_OF_FILE;
  const postBlank = indentHere === -1 ? 1 + blanksAfter : 0;
  const totalBlank = preBlank + postBlank;
  score.end += TOTAL_BLANK * totalBlank + POST_BLANK * postBlank;
  const indent = indentHere === -1 ? postIndent : indentHere;
  const hasBlank = totalBlank !== 0;
  score.start += indent;
  if (indent === -1 || preIndent === -1 || indent === preIndent) return;
  if (indent > preIndent) score.end += hasBlank ? INDENT_WITH_BLANK : INDENT;
  else if (postIndent !== -1 && postIndent > indent) score.end += hasBlank ? OUTDENT_WITH_BLANK : OUTDENT;
  else score.end += hasBlank ? DEDENT_WITH_BLANK : DEDENT;
}

/** Columns before the first visible character, or −1 for a blank line. */
function indentOf(lines: Lines, line: number): number {
  let columns = 0;
  for (let i = lines.starts[line]!; i < lines.starts[line + 1]!; i++) {
    const byte = lines.bytes[i];
    if (byte === 0x20) columns++;
    else if (byte === 0x09) columns += 8 - (columns % 8);
    else if (byte !== 0x0a && byte !== 0x0d && byte !== 0x0b && byte !== 0x0c) return columns;
    if (columns >= INDENT_MAX) return INDENT_MAX;
  }
  return -1;
}
