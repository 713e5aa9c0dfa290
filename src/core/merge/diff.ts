/**
 * Line differences. Lines that occur once on both sides are anchors (patience diff, Cohen 2010), which keeps
 * functions and paragraphs together; what lies between is compared with Myers' algorithm.
 */
import type { Hunk } from "./hunk.ts";
import { indexLines, LineInterner, type Lines } from "./lines.ts";
import { markMyers } from "./myers.ts";
import { slideHunks } from "./slide.ts";

/** For people: hunks are slid to where a reader expects them. */
export function diffLines(a: Uint8Array, b: Uint8Array): Hunk[] {
  return diffIndexedLines(indexLines(a), indexLines(b));
}

export function diffIndexedLines(a: Lines, b: Lines): Hunk[] {
  const interner = new LineInterner();
  const aNumbers = interner.intern(a);
  const bNumbers = interner.intern(b);
  return slideHunks(diffNumbers(aNumbers, bNumbers, interner.size), aNumbers, bNumbers, { a, b });
}

/** For merges: hunks that could stand in several places are as far down as they can be. */
export function diffInterned(a: Int32Array, b: Int32Array, distinct: number): Hunk[] {
  return slideHunks(diffNumbers(a, b, distinct), a, b);
}

/** Anchors nest at most this deep; crafted input would otherwise make every level of them one line shorter. */
const DEPTH_MAX = 32;
/** Anchors have to cover this share of the shorter side: one moved line must not pull a whole file apart. */
const ANCHOR_SHARE = 1 / 8;

function diffNumbers(a: Int32Array, b: Int32Array, distinct: number): Hunk[] {
  const aChanged = new Uint8Array(a.length);
  const bChanged = new Uint8Array(b.length);
  const marker = new Marker(a, b, aChanged, bChanged, distinct);
  marker.mark();
  return collectHunks(aChanged, bChanged);
}

function collectHunks(aChanged: Uint8Array, bChanged: Uint8Array): Hunk[] {
  const hunks: Hunk[] = [];
  let a = 0;
  let b = 0;
  while (a < aChanged.length || b < bChanged.length) {
    if (aChanged[a] !== 1 && bChanged[b] !== 1) {
      a++;
      b++;
      continue;
    }
    const aStart = a;
    const bStart = b;
    while (aChanged[a] === 1) a++;
    while (bChanged[b] === 1) b++;
    hunks.push({ aStart, aEnd: a, bStart, bEnd: b });
  }
  return hunks;
}

/** Flags the lines that are not common. */
class Marker {
  readonly #a: Int32Array;
  readonly #b: Int32Array;
  readonly #aChanged: Uint8Array;
  readonly #bChanged: Uint8Array;
  /** By line number: occurrences in the range at hand, and the last one in `b`. Zero between ranges. */
  readonly #aCount: Int32Array;
  readonly #bCount: Int32Array;
  readonly #bLast: Int32Array;

  constructor(a: Int32Array, b: Int32Array, aChanged: Uint8Array, bChanged: Uint8Array, distinct: number) {
    this.#a = a;
    this.#b = b;
    this.#aChanged = aChanged;
    this.#bChanged = bChanged;
    this.#aCount = new Int32Array(distinct);
    this.#bCount = new Int32Array(distinct);
    this.#bLast = new Int32Array(distinct);
  }

  mark(): void {
    const a = this.#a;
    const b = this.#b;
    const pending: number[] = [0, a.length, 0, b.length, 0];
    while (pending.length > 0) {
      const depth = pending.pop()!;
      let bHigh = pending.pop()!;
      let bLow = pending.pop()!;
      let aHigh = pending.pop()!;
      let aLow = pending.pop()!;
      while (aLow < aHigh && bLow < bHigh && a[aLow] === b[bLow]) {
        aLow++;
        bLow++;
      }
      while (aLow < aHigh && bLow < bHigh && a[aHigh - 1] === b[bHigh - 1]) {
        aHigh--;
        bHigh--;
      }
      if (aLow === aHigh || bLow === bHigh) {
        this.#aChanged.fill(1, aLow, aHigh);
        this.#bChanged.fill(1, bLow, bHigh);
        continue;
      }
      this.#count(aLow, aHigh, bLow, bHigh);
      const anchors = depth < DEPTH_MAX ? this.#findAnchors(aLow, aHigh) : [];
      const needed = Math.min(aHigh - aLow, bHigh - bLow) * ANCHOR_SHARE;
      const isAnchored = anchors.length > 0 && anchors.length / 2 >= needed;
      if (!isAnchored) this.#markBetween(aLow, aHigh, bLow, bHigh);
      this.#uncount(aLow, aHigh, bLow, bHigh);
      if (!isAnchored) continue;
      for (let i = 0; i < anchors.length; i += 2) {
        pending.push(aLow, anchors[i]!, bLow, anchors[i + 1]!, depth + 1);
        aLow = anchors[i]! + 1;
        bLow = anchors[i + 1]! + 1;
      }
      pending.push(aLow, aHigh, bLow, bHigh, depth + 1);
    }
  }

  #count(aLow: number, aHigh: number, bLow: number, bHigh: number): void {
    for (let i = aLow; i < aHigh; i++) this.#aCount[this.#a[i]!]!++;
    for (let i = bLow; i < bHigh; i++) {
      this.#bCount[this.#b[i]!]!++;
      this.#bLast[this.#b[i]!] = i;
    }
  }

  #uncount(aLow: number, aHigh: number, bLow: number, bHigh: number): void {
    for (let i = aLow; i < aHigh; i++) this.#aCount[this.#a[i]!] = 0;
    for (let i = bLow; i < bHigh; i++) this.#bCount[this.#b[i]!] = 0;
  }

  /** Pairs (line of a, line of b) of unique common lines, ascending on both sides; as many as possible. */
  #findAnchors(aLow: number, aHigh: number): number[] {
    // Patience sorting: `tops[k]` is the candidate with the least line of b that ends a run of k + 1.
    const aLines: number[] = [];
    const bLines: number[] = [];
    const before: number[] = [];
    const tops: number[] = [];
    for (let i = aLow; i < aHigh; i++) {
      const number = this.#a[i]!;
      if (this.#aCount[number] !== 1 || this.#bCount[number] !== 1) continue;
      const line = this.#bLast[number]!;
      let low = 0;
      let high = tops.length;
      while (low < high) {
        const middle = (low + high) >>> 1;
        if (bLines[tops[middle]!]! < line) low = middle + 1;
        else high = middle;
      }
      before.push(low === 0 ? -1 : tops[low - 1]!);
      tops[low] = aLines.length;
      aLines.push(i);
      bLines.push(line);
    }
    const anchors: number[] = new Array(tops.length * 2);
    let candidate = tops.length === 0 ? -1 : tops[tops.length - 1]!;
    for (let i = tops.length - 1; i >= 0; i--) {
      anchors[i * 2] = aLines[candidate]!;
      anchors[i * 2 + 1] = bLines[candidate]!;
      candidate = before[candidate]!;
    }
    return anchors;
  }

  /** Lines that the other side does not have at all are changed; Myers compares the others. */
  #markBetween(aLow: number, aHigh: number, bLow: number, bHigh: number): void {
    const aLines = this.#shared(this.#a, aLow, aHigh, this.#bCount, this.#aChanged);
    const bLines = this.#shared(this.#b, bLow, bHigh, this.#aCount, this.#bChanged);
    const aMarks = new Uint8Array(aLines.length);
    const bMarks = new Uint8Array(bLines.length);
    const numbers = (lines: Int32Array, of: Int32Array): Int32Array => lines.map((line) => of[line]!);
    markMyers(numbers(aLines, this.#a), numbers(bLines, this.#b), aMarks, bMarks);
    for (let i = 0; i < aMarks.length; i++) if (aMarks[i] === 1) this.#aChanged[aLines[i]!] = 1;
    for (let i = 0; i < bMarks.length; i++) if (bMarks[i] === 1) this.#bChanged[bLines[i]!] = 1;
  }

  /** Lines of a range that occur in the other one; the rest is marked. */
  #shared(
    numbers: Int32Array,
    low: number,
    high: number,
    otherCount: Int32Array,
    changed: Uint8Array,
  ): Int32Array {
    const lines = new Int32Array(high - low);
    let count = 0;
    for (let i = low; i < high; i++) {
      if (otherCount[numbers[i]!] === 0) changed[i] = 1;
      else lines[count++] = i;
    }
    return lines.subarray(0, count);
  }
}
