/** Conflicts as they stand in a file: writing, finding and resolving the marked regions. */
import { asBuffer, concatBytes, utf8 } from "../base/bytes.ts";
import { indexLines, type Lines, linesBetween } from "./lines.ts";

export const MARKER_LENGTH_MIN = 7;

export type MarkerKind = "ours" | "base" | "separator" | "theirs";

const BYTE_OF: Readonly<Record<MarkerKind, number>> = {
  ours: 0x3c,
  base: 0x7c,
  separator: 0x3d,
  theirs: 0x3e,
};
const LF = 0x0a;
const CR = 0x0d;
const SPACE = 0x20;

/** A line with its terminator. The label keeps to its line whatever it holds. */
export function markerLine(kind: MarkerKind, length: number, label: string, eol: string): Uint8Array {
  const run = String.fromCharCode(BYTE_OF[kind]).repeat(length);
  const shown = label.replace(/[\r\n]+/g, " ").trim();
  return utf8(`${run}${shown === "" || kind === "separator" ? "" : ` ${shown}`}${eol}`);
}

/**
 * A length for markers that cannot be taken for text, nor text for them: longer than every run of < or > at
 * the start of a line of the texts, and unlike every such run of = and |.
 */
export function freeMarkerLength(texts: readonly Lines[]): number {
  const taken = new Set<number>();
  let length = MARKER_LENGTH_MIN;
  for (const lines of texts) {
    for (let i = 0; i < lines.count; i++) {
      const run = runLength(lines, i);
      if (run < MARKER_LENGTH_MIN) continue;
      taken.add(run);
      const first = lines.bytes[lines.starts[i]!];
      if (first === BYTE_OF.ours || first === BYTE_OF.theirs) length = Math.max(length, run + 1);
    }
  }
  while (taken.has(length)) length++;
  return length;
}

/** How often a line repeats a marker's character at its start. */
function runLength(lines: Lines, line: number): number {
  const start = lines.starts[line]!;
  const end = lines.starts[line + 1]!;
  const first = lines.bytes[start];
  if (first !== 0x3c && first !== 0x7c && first !== 0x3d && first !== 0x3e) return 0;
  let i = start + 1;
  while (i < end && lines.bytes[i] === first) i++;
  return i - start;
}

interface FoundMarker {
  readonly kind: MarkerKind;
  readonly length: number;
  readonly label: string;
}

function markerAt(lines: Lines, line: number): FoundMarker | undefined {
  const length = runLength(lines, line);
  if (length < MARKER_LENGTH_MIN) return undefined;
  const start = lines.starts[line]!;
  let end = lines.starts[line + 1]!;
  if (end > start && lines.bytes[end - 1] === LF) end--;
  if (end > start && lines.bytes[end - 1] === CR) end--;
  const isBare = start + length === end;
  if (!isBare && lines.bytes[start + length] !== SPACE) return undefined;
  const byte = lines.bytes[start];
  const label = isBare ? "" : asBuffer(lines.bytes).toString("utf8", start + length + 1, end);
  if (byte === BYTE_OF.separator) return isBare ? { kind: "separator", length, label } : undefined;
  return { kind: byte === BYTE_OF.ours ? "ours" : byte === BYTE_OF.base ? "base" : "theirs", length, label };
}

/** True when a line opens or closes a conflict, also when the other marks are gone. */
export function hasConflictMarkers(bytes: Uint8Array): boolean {
  const lines = indexLines(bytes);
  for (let i = 0; i < lines.count; i++) {
    const kind = markerAt(lines, i)?.kind;
    if (kind === "ours" || kind === "theirs") return true;
  }
  return false;
}

export interface TextPart {
  readonly kind: "text";
  readonly bytes: Uint8Array;
  /** 0-based number of its first line in the file. */
  readonly line: number;
}

export interface ConflictPart {
  readonly kind: "conflict";
  /** With the markers, as it stands in the file. */
  readonly bytes: Uint8Array;
  readonly line: number;
  readonly ours: Uint8Array;
  /** Absent when the markers do not show it. */
  readonly base?: Uint8Array;
  readonly theirs: Uint8Array;
  readonly labels: { readonly ours: string; readonly base?: string; readonly theirs: string };
}

/**
 * The file's parts in order; their bytes together are the file. Markers without their fellows are text. Where
 * conflicts have markers of several lengths, one was merged into the other: the longest are the latest, and
 * the others are text until those are resolved.
 */
export function parseConflicts(bytes: Uint8Array): (TextPart | ConflictPart)[] {
  const lines = indexLines(bytes);
  const openings = new Map<number, number[]>();
  for (let line = 0; line < lines.count; line++) {
    const marker = markerAt(lines, line);
    if (marker?.kind !== "ours") continue;
    const known = openings.get(marker.length);
    if (known === undefined) openings.set(marker.length, [line]);
    else known.push(line);
  }
  for (const length of [...openings.keys()].sort((a, b) => b - a)) {
    const conflicts = openings.get(length)!.flatMap((line) => conflictAt(lines, line) ?? []);
    if (conflicts.length > 0) return withText(lines, conflicts);
  }
  return lines.count === 0 ? [] : [{ kind: "text", bytes, line: 0 }];
}

interface FoundConflict {
  readonly part: ConflictPart;
  /** The line after it. */
  readonly end: number;
}

function withText(lines: Lines, conflicts: readonly FoundConflict[]): (TextPart | ConflictPart)[] {
  const parts: (TextPart | ConflictPart)[] = [];
  let at = 0;
  const addText = (end: number): void => {
    if (end > at) parts.push({ kind: "text", bytes: linesBetween(lines, at, end), line: at });
  };
  for (const { part, end } of conflicts) {
    addText(part.line);
    parts.push(part);
    at = end;
  }
  addText(lines.count);
  return parts;
}

/** Ends at the next opening of the same length, so conflicts of one length never overlap. */
function conflictAt(lines: Lines, line: number): FoundConflict | undefined {
  const opening = markerAt(lines, line)!;
  let baseAt = -1;
  let baseLabel = "";
  let separatorAt = -1;
  for (let i = line + 1; i < lines.count; i++) {
    const marker = markerAt(lines, i);
    if (marker === undefined || marker.length !== opening.length) continue;
    if (marker.kind === "ours") return undefined;
    if (marker.kind === "base" && baseAt === -1 && separatorAt === -1) {
      baseAt = i;
      baseLabel = marker.label;
    } else if (marker.kind === "separator" && separatorAt === -1) {
      separatorAt = i;
    } else if (marker.kind === "theirs") {
      if (separatorAt === -1) return undefined;
      const part: ConflictPart = {
        kind: "conflict",
        bytes: linesBetween(lines, line, i + 1),
        line,
        ours: linesBetween(lines, line + 1, baseAt === -1 ? separatorAt : baseAt),
        ...(baseAt === -1 ? {} : { base: linesBetween(lines, baseAt + 1, separatorAt) }),
        theirs: linesBetween(lines, separatorAt + 1, i),
        labels: {
          ours: opening.label,
          ...(baseAt === -1 ? {} : { base: baseLabel }),
          theirs: marker.label,
        },
      };
      return { part, end: i + 1 };
    }
  }
  return undefined;
}

/** `unresolved` leaves the markers; `union` is ours, then theirs. */
export type Resolution = "unresolved" | "ours" | "theirs" | "base" | "union" | { readonly bytes: Uint8Array };

/** `resolutions[i]` is for the i-th conflict among the parts; a missing one is `unresolved`. */
export function renderResolution(
  parts: readonly (TextPart | ConflictPart)[],
  resolutions: readonly Resolution[],
): Uint8Array {
  let conflicts = 0;
  return concatBytes(
    parts.map((part) => (part.kind === "text" ? part.bytes : resolved(part, resolutions[conflicts++]))),
  );
}

function resolved(part: ConflictPart, resolution: Resolution = "unresolved"): Uint8Array {
  if (typeof resolution === "object") return resolution.bytes;
  switch (resolution) {
    case "unresolved":
      return part.bytes;
    case "ours":
      return part.ours;
    case "theirs":
      return part.theirs;
    case "base":
      return part.base ?? part.bytes.subarray(0, 0);
    case "union":
      return concatBytes([part.ours, part.theirs]);
  }
}
