/**
 * Three-way merge of text by lines, with the rules of `git merge-file`: changes of the two sides that overlap
 * or touch are a conflict unless both made the same text; what both sides of a conflict have in common is
 * taken out of it.
 */
import { ByteWriter, equalBytes, utf8 } from "../base/bytes.ts";
import { diffInterned } from "./diff.ts";
import type { Hunk } from "./hunk.ts";
import { indexLines, LineInterner, type Lines, linesBetween } from "./lines.ts";
import { freeMarkerLength, markerLine } from "./markers.ts";

/** Git's rule: text has no NUL near its start. */
const BINARY_PROBE_BYTES = 8000;
/** Conflicts with at most this many common lines between them are shown as one. */
const JOIN_LINES_MAX = 3;

export interface MergeTextOptions {
  readonly labels: { readonly ours: string; readonly base?: string; readonly theirs: string };
  /** `diff3` shows the base too, and leaves conflicts whole. */
  readonly style: "merge" | "diff3";
  /** What to do where both changed the same: mark it (the default), or take a side, or both one after the other. */
  readonly strategy?: "mark" | "ours" | "theirs" | "union";
}

/** Half-open, 0-based. */
export interface LineRange {
  readonly start: number;
  readonly end: number;
}

export interface ConflictRegion {
  /** In the style `merge`, conflicts that were split share the whole base of the conflict they come from. */
  readonly base: LineRange;
  readonly ours: LineRange;
  readonly theirs: LineRange;
  /** In the merged text, markers included. */
  readonly merged: LineRange;
}

export type MergedText =
  | { readonly kind: "clean"; readonly bytes: Uint8Array }
  | { readonly kind: "conflict"; readonly bytes: Uint8Array; readonly regions: readonly ConflictRegion[] };

export function isBinary(bytes: Uint8Array): boolean {
  const end = Math.min(bytes.length, BINARY_PROBE_BYTES);
  for (let i = 0; i < end; i++) if (bytes[i] === 0) return true;
  return false;
}

/** Never throws for any bytes; whether they are text is the caller's question. */
export function mergeText(
  base: Uint8Array,
  ours: Uint8Array,
  theirs: Uint8Array,
  options: MergeTextOptions,
): MergedText {
  if (equalBytes(ours, theirs) || equalBytes(base, theirs)) return { kind: "clean", bytes: ours };
  if (equalBytes(base, ours)) return { kind: "clean", bytes: theirs };
  const texts = { base: indexLines(base), ours: indexLines(ours), theirs: indexLines(theirs) };
  const interner = new LineInterner();
  const baseNumbers = interner.intern(texts.base);
  const oursNumbers = interner.intern(texts.ours);
  const theirsNumbers = interner.intern(texts.theirs);
  const regions = alignRegions(
    diffInterned(baseNumbers, oursNumbers, interner.size),
    diffInterned(baseNumbers, theirsNumbers, interner.size),
  );
  const pieces: Piece[] = [];
  let oursAt = 0;
  for (const region of regions) {
    if (region.ours.start > oursAt) pieces.push(shared({ start: oursAt, end: region.ours.start }));
    oursAt = region.ours.end;
    if (region.changedBy === "theirs") pieces.push({ kind: "theirs", lines: region.theirs });
    else if (region.changedBy === "ours") pieces.push({ kind: "ours", lines: region.ours });
    else if (sameLines(oursNumbers, region.ours, theirsNumbers, region.theirs))
      pieces.push(shared(region.ours));
    else if (options.style === "diff3") pieces.push({ kind: "conflict", ...region });
    else pieces.push(...refined(region, oursNumbers, theirsNumbers));
  }
  if (oursAt < texts.ours.count) pieces.push(shared({ start: oursAt, end: texts.ours.count }));
  return render(options.style === "merge" ? joinNear(pieces) : pieces, texts, options);
}

interface Region {
  readonly changedBy: "ours" | "theirs" | "both";
  readonly base: LineRange;
  readonly ours: LineRange;
  readonly theirs: LineRange;
}

type Piece =
  | { readonly kind: "shared" | "ours" | "theirs"; readonly lines: LineRange }
  | {
      readonly kind: "conflict";
      readonly base: LineRange;
      readonly ours: LineRange;
      readonly theirs: LineRange;
    };

/** Lines of ours that theirs has too. */
function shared(lines: LineRange): Piece {
  return { kind: "shared", lines };
}

/** Groups the hunks of both sides that overlap or touch in the base. */
function alignRegions(oursHunks: readonly Hunk[], theirsHunks: readonly Hunk[]): Region[] {
  const regions: Region[] = [];
  let i = 0;
  let j = 0;
  // What has to be added to a line of the base to get the line of the side, after the hunks passed so far.
  let oursShift = 0;
  let theirsShift = 0;
  while (i < oursHunks.length || j < theirsHunks.length) {
    const start = Math.min(oursHunks[i]?.aStart ?? Infinity, theirsHunks[j]?.aStart ?? Infinity);
    const oursStart = start + oursShift;
    const theirsStart = start + theirsShift;
    const before = { i, j };
    let end = start;
    for (;;) {
      const ours = oursHunks[i];
      const theirs = theirsHunks[j];
      if (ours !== undefined && ours.aStart <= end) {
        end = Math.max(end, ours.aEnd);
        oursShift += ours.bEnd - ours.bStart - (ours.aEnd - ours.aStart);
        i++;
      } else if (theirs !== undefined && theirs.aStart <= end) {
        end = Math.max(end, theirs.aEnd);
        theirsShift += theirs.bEnd - theirs.bStart - (theirs.aEnd - theirs.aStart);
        j++;
      } else break;
    }
    regions.push({
      changedBy: i === before.i ? "theirs" : j === before.j ? "ours" : "both",
      base: { start, end },
      ours: { start: oursStart, end: end + oursShift },
      theirs: { start: theirsStart, end: end + theirsShift },
    });
  }
  return regions;
}

function sameLines(a: Int32Array, aLines: LineRange, b: Int32Array, bLines: LineRange): boolean {
  if (aLines.end - aLines.start !== bLines.end - bLines.start) return false;
  for (let i = aLines.start, j = bLines.start; i < aLines.end; i++, j++) if (a[i] !== b[j]) return false;
  return true;
}

/** Splits a conflict at the lines that both sides have. */
function refined(region: Region, oursNumbers: Int32Array, theirsNumbers: Int32Array): Piece[] {
  const numbering = new Map<number, number>();
  const local = (numbers: Int32Array): Int32Array =>
    numbers.map((number) => {
      const known = numbering.get(number);
      if (known !== undefined) return known;
      numbering.set(number, numbering.size);
      return numbering.size - 1;
    });
  const ours = local(oursNumbers.subarray(region.ours.start, region.ours.end));
  const theirs = local(theirsNumbers.subarray(region.theirs.start, region.theirs.end));
  const pieces: Piece[] = [];
  let oursAt = region.ours.start;
  for (const hunk of diffInterned(ours, theirs, numbering.size)) {
    const start = region.ours.start + hunk.aStart;
    const end = region.ours.start + hunk.aEnd;
    if (start > oursAt) pieces.push(shared({ start: oursAt, end: start }));
    pieces.push({
      kind: "conflict",
      base: region.base,
      ours: { start, end },
      theirs: { start: region.theirs.start + hunk.bStart, end: region.theirs.start + hunk.bEnd },
    });
    oursAt = end;
  }
  if (oursAt < region.ours.end) pieces.push(shared({ start: oursAt, end: region.ours.end }));
  return pieces;
}

/** A few common lines between two conflicts make them harder to read, not easier. */
function joinNear(pieces: readonly Piece[]): Piece[] {
  const joined: Piece[] = [];
  for (const piece of pieces) {
    const between = joined.at(-1);
    const first = joined.at(-2);
    if (piece.kind === "shared" && between?.kind === "shared") {
      joined[joined.length - 1] = shared({ start: between.lines.start, end: piece.lines.end });
      continue;
    }
    if (
      piece.kind === "conflict" &&
      between?.kind === "shared" &&
      between.lines.end - between.lines.start <= JOIN_LINES_MAX &&
      first?.kind === "conflict"
    ) {
      joined.length -= 2;
      joined.push({
        kind: "conflict",
        base: { start: first.base.start, end: piece.base.end },
        ours: { start: first.ours.start, end: piece.ours.end },
        theirs: { start: first.theirs.start, end: piece.theirs.end },
      });
    } else joined.push(piece);
  }
  return joined;
}

interface Texts {
  readonly base: Lines;
  readonly ours: Lines;
  readonly theirs: Lines;
}

function render(pieces: readonly Piece[], texts: Texts, options: MergeTextOptions): MergedText {
  const { base, ours, theirs } = texts;
  const strategy = options.strategy ?? "mark";
  const eol = usesCrLf(ours.count === 0 ? theirs : ours) ? "\r\n" : "\n";
  const isMarked = strategy === "mark" && pieces.some(({ kind }) => kind === "conflict");
  const length = isMarked ? freeMarkerLength([base, ours, theirs]) : 0;
  const output = new MergedWriter(ours.bytes.length + theirs.bytes.length, utf8(eol));
  const regions: ConflictRegion[] = [];
  for (const piece of pieces) {
    if (piece.kind !== "conflict") {
      output.lines(piece.kind === "theirs" ? theirs : ours, piece.lines);
      continue;
    }
    if (strategy !== "mark") {
      if (strategy !== "theirs") output.lines(ours, piece.ours);
      if (strategy !== "ours") output.lines(theirs, piece.theirs);
      continue;
    }
    const start = output.count;
    output.marker(markerLine("ours", length, options.labels.ours, eol));
    output.lines(ours, piece.ours);
    if (options.style === "diff3") {
      output.marker(markerLine("base", length, options.labels.base ?? "", eol));
      output.lines(base, piece.base);
    }
    output.marker(markerLine("separator", length, "", eol));
    output.lines(theirs, piece.theirs);
    output.marker(markerLine("theirs", length, options.labels.theirs, eol));
    regions.push({
      base: piece.base,
      ours: piece.ours,
      theirs: piece.theirs,
      merged: { start, end: output.count },
    });
  }
  const bytes = output.finish();
  return regions.length === 0 ? { kind: "clean", bytes } : { kind: "conflict", bytes, regions };
}

/** Counts lines, and ends a last line that has no terminator when something follows it. */
class MergedWriter {
  readonly #bytes: ByteWriter;
  readonly #eol: Uint8Array;
  #isOpen = false;
  count = 0;

  constructor(capacity: number, eol: Uint8Array) {
    this.#bytes = new ByteWriter(capacity);
    this.#eol = eol;
  }

  lines(from: Lines, range: LineRange): void {
    if (range.start === range.end) return;
    this.#close();
    const bytes = linesBetween(from, range.start, range.end);
    this.#bytes.bytes(bytes);
    this.#isOpen = bytes.at(-1) !== 0x0a;
    this.count += range.end - range.start;
  }

  marker(line: Uint8Array): void {
    this.#close();
    this.#bytes.bytes(line);
    this.count++;
  }

  #close(): void {
    if (this.#isOpen) this.#bytes.bytes(this.#eol);
    this.#isOpen = false;
  }

  finish(): Uint8Array {
    return this.#bytes.finish();
  }
}

/** As the first line does. */
function usesCrLf(lines: Lines): boolean {
  const end = lines.starts[1] ?? 0;
  return end >= 2 && lines.bytes[end - 1] === 0x0a && lines.bytes[end - 2] === 0x0d;
}
