/** Unified diffs that `git apply` and `patch -p1` accept. */
import { createHash } from "node:crypto";
import { concatBytes, EMPTY_BYTES, utf8 } from "../base/bytes.ts";
import type { EntryKind } from "../codec/tree-entry.ts";
import { diffIndexedLines } from "./diff.ts";
import type { Hunk } from "./hunk.ts";
import { indexLines, type Lines } from "./lines.ts";
import { isBinary } from "./merge3.ts";
import { quotePath } from "./quote-path.ts";

export interface FileChange {
  readonly oldPath: string;
  /** Differs from `oldPath` for a rename. */
  readonly newPath: string;
  /** Absent: the file is new. */
  readonly oldMode?: EntryKind | undefined;
  /** Absent: the file was deleted. */
  readonly newMode?: EntryKind | undefined;
  /** Content, or the target of a symlink; ignored where there is no mode. */
  readonly before: Uint8Array;
  readonly after: Uint8Array;
  /** Unchanged lines around each hunk, default 3. */
  readonly context?: number;
  /** Percent, for renames. */
  readonly similarity?: number;
}

/** One line, with its terminator. */
export interface DiffLine {
  readonly kind: "header" | "hunk" | "context" | "added" | "removed" | "note";
  /** Bytes, since text need not be UTF-8. */
  readonly bytes: Uint8Array;
}

export interface DiffStat {
  /** Lines. */
  readonly added: number;
  readonly removed: number;
  readonly isBinary: boolean;
}

const CONTEXT_LINES = 3;
const SECTION_BYTES_MAX = 80;
const ID_DIGITS = 10;
const NO_ID = "0".repeat(ID_DIGITS);
const MODES: Readonly<Record<EntryKind, string>> = {
  file: "100644",
  executable: "100755",
  symlink: "120000",
};

/** The whole diff of one file as bytes; empty when nothing changed. */
export function unifiedDiff(change: FileChange): Uint8Array {
  const parts: Uint8Array[] = [];
  for (const line of unifiedLines(change)) parts.push(line.bytes);
  return concatBytes(parts);
}

/** Line by line, for colouring. A change between a symlink and a file is a deletion and an addition. */
export function* unifiedLines(change: FileChange): Generator<DiffLine> {
  const { oldMode, newMode } = change;
  if (oldMode !== undefined && newMode !== undefined && (oldMode === "symlink") !== (newMode === "symlink")) {
    yield* fileLines({ ...change, newPath: change.oldPath, newMode: undefined });
    yield* fileLines({ ...change, oldPath: change.newPath, oldMode: undefined });
    return;
  }
  yield* fileLines(change);
}

function* fileLines(change: FileChange): Generator<DiffLine> {
  const { oldPath, newPath, oldMode, newMode } = change;
  const before = oldMode === undefined ? EMPTY_BYTES : change.before;
  const after = newMode === undefined ? EMPTY_BYTES : change.after;
  const hasBinary = isBinary(before) || isBinary(after);
  const a = indexLines(before);
  const b = indexLines(after);
  const isSame = before.length === after.length && Buffer.compare(before, after) === 0;
  const hunks = hasBinary || isSame ? [] : diffIndexedLines(a, b);
  if (isSame && oldMode === newMode && oldPath === newPath) return;

  yield header(`diff --git ${quotePath(`a/${oldPath}`)} ${quotePath(`b/${newPath}`)}`);
  if (oldMode === undefined && newMode !== undefined) yield header(`new file mode ${MODES[newMode]}`);
  else if (newMode === undefined && oldMode !== undefined)
    yield header(`deleted file mode ${MODES[oldMode]}`);
  else if (oldMode !== newMode) {
    yield header(`old mode ${MODES[oldMode!]}`);
    yield header(`new mode ${MODES[newMode!]}`);
  }
  if (oldPath !== newPath) {
    const similarity = change.similarity ?? (isSame ? 100 : undefined);
    if (similarity !== undefined) yield header(`similarity index ${Math.floor(similarity)}%`);
    yield header(`rename from ${quotePath(oldPath)}`);
    yield header(`rename to ${quotePath(newPath)}`);
  }
  // An empty file that comes or goes has no lines, and patch needs the ids to see it.
  if (isSame && oldMode !== undefined && newMode !== undefined) return;
  const ids = `${oldMode === undefined ? NO_ID : gitBlobId(before)}..${newMode === undefined ? NO_ID : gitBlobId(after)}`;
  yield header(`index ${ids}${oldMode === newMode && oldMode !== undefined ? ` ${MODES[oldMode]}` : ""}`);
  if (isSame) return;
  const oldName = oldMode === undefined ? "/dev/null" : quotePath(`a/${oldPath}`);
  const newName = newMode === undefined ? "/dev/null" : quotePath(`b/${newPath}`);
  if (hasBinary) {
    yield { kind: "note", bytes: utf8(`Binary files ${oldName} and ${newName} differ\n`) };
    return;
  }
  yield header(`--- ${ended(oldName)}`);
  yield header(`+++ ${ended(newName)}`);
  yield* hunkLines(hunks, a, b, change.context ?? CONTEXT_LINES);
}

/** Git's name for the content, so that `git apply --3way` and patch know what a hunk is about. */
function gitBlobId(content: Uint8Array): string {
  const hash = createHash("sha1").update(`blob ${content.length}\0`).update(content);
  return hash.digest("hex").slice(0, ID_DIGITS);
}

function header(text: string): DiffLine {
  return { kind: "header", bytes: utf8(`${text}\n`) };
}

/** A tab ends a name with spaces, as in git's diffs: patch would take what follows a space for a date. */
function ended(name: string): string {
  return name.includes(" ") ? `${name}\t` : name;
}

function* hunkLines(hunks: readonly Hunk[], a: Lines, b: Lines, context: number): Generator<DiffLine> {
  let section = -1;
  let scanned = 0;
  for (let i = 0; i < hunks.length; ) {
    const first = hunks[i]!;
    let end = i + 1;
    while (end < hunks.length && hunks[end]!.aStart - hunks[end - 1]!.aEnd <= 2 * context) end++;
    const last = hunks[end - 1]!;
    const lead = Math.min(context, first.aStart);
    const trail = Math.min(context, a.count - last.aEnd);
    const aStart = first.aStart - lead;
    const aEnd = last.aEnd + trail;
    section = lastSection(a, scanned, aStart) ?? section;
    scanned = aStart;
    const ranges = `-${range(aStart, aEnd)} +${range(first.bStart - lead, last.bEnd + trail)}`;
    yield {
      kind: "hunk",
      bytes: concatBytes([utf8(`@@ ${ranges} @@`), sectionText(a, section), utf8("\n")]),
    };
    let at = aStart;
    for (; i < end; i++) {
      const hunk = hunks[i]!;
      for (; at < hunk.aStart; at++) yield* bodyLine("context", " ", a, at);
      for (; at < hunk.aEnd; at++) yield* bodyLine("removed", "-", a, at);
      for (let line = hunk.bStart; line < hunk.bEnd; line++) yield* bodyLine("added", "+", b, line);
    }
    for (; at < aEnd; at++) yield* bodyLine("context", " ", a, at);
  }
}

/** 1-based start and count; an empty range names the line before it. */
function range(start: number, end: number): string {
  const count = end - start;
  if (count === 1) return String(start + 1);
  return `${count === 0 ? start : start + 1},${count}`;
}

const NO_NEWLINE = utf8("\\ No newline at end of file\n");

function* bodyLine(kind: DiffLine["kind"], sign: string, lines: Lines, line: number): Generator<DiffLine> {
  const start = lines.starts[line]!;
  const end = lines.starts[line + 1]!;
  const isEnded = lines.bytes[end - 1] === 0x0a;
  const bytes = new Uint8Array(end - start + (isEnded ? 1 : 2));
  bytes[0] = sign.charCodeAt(0);
  bytes.set(lines.bytes.subarray(start, end), 1);
  if (!isEnded) bytes[bytes.length - 1] = 0x0a;
  yield { kind, bytes };
  if (!isEnded) yield { kind: "note", bytes: NO_NEWLINE };
}

/** Git's guess at the function around a hunk: the last line above it that begins with a letter, _ or $. */
function lastSection(a: Lines, from: number, upTo: number): number | undefined {
  for (let line = upTo - 1; line >= from; line--) {
    const first = a.bytes[a.starts[line]!]!;
    const letter = first | 0x20;
    if ((letter >= 0x61 && letter <= 0x7a) || first === 0x5f || first === 0x24) return line;
  }
  return undefined;
}

function sectionText(a: Lines, line: number): Uint8Array {
  if (line === -1) return EMPTY_BYTES;
  const start = a.starts[line]!;
  let end = Math.min(a.starts[line + 1]!, start + SECTION_BYTES_MAX);
  // Not in the middle of a character.
  while (end < a.starts[line + 1]! && end > start && (a.bytes[end]! & 0xc0) === 0x80) end--;
  while (end > start && a.bytes[end - 1]! <= 0x20) end--;
  return concatBytes([utf8(" "), a.bytes.subarray(start, end)]);
}

/** Lines that were added and removed between two contents; zero for binary ones. */
export function diffStat(before: Uint8Array, after: Uint8Array): DiffStat {
  if (isBinary(before) || isBinary(after)) return { added: 0, removed: 0, isBinary: true };
  let added = 0;
  let removed = 0;
  for (const hunk of diffIndexedLines(indexLines(before), indexLines(after))) {
    added += hunk.bEnd - hunk.bStart;
    removed += hunk.aEnd - hunk.aStart;
  }
  return { added, removed, isBinary: false };
}
