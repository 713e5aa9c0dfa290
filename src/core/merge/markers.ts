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

/** The least length ≥ 7 that no line of the texts has as a run of a marker's character at its start. */
export function freeMarkerLength(texts: readonly Lines[]): number {
  const taken = new Set<number>();
  for (const lines of texts) {
    for (let i = 0; i < lines.count; i++) {
      const length = runLength(lines, i);
      if (length >= MARKER_LENGTH_MIN) taken.add(length);
    }
  }
  let length = MARKER_LENGTH_MIN;
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

/** The file's parts in order; their bytes together are the file. Markers without their fellows are text. */
export function parseConflicts(bytes: Uint8Array): (TextPart | ConflictPart)[] {
  const lines = indexLines(bytes);
  const parts: (TextPart | ConflictPart)[] = [];
  let textStart = 0;
  const endText = (end: number): void => {
    if (end > textStart)
      parts.push({ kind: "text", bytes: linesBetween(lines, textStart, end), line: textStart });
  };
  for (let line = 0; line < lines.count; ) {
    const found = markerAt(lines, line)?.kind === "ours" ? conflictAt(lines, line) : undefined;
    if (found === undefined) {
      line++;
      continue;
    }
    endText(line);
    parts.push(found.part);
    line = found.end;
    textStart = line;
  }
  endText(lines.count);
  return parts;
}

function conflictAt(lines: Lines, line: number): { part: ConflictPart; end: number } | undefined {
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
