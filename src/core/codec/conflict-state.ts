/**
 * `.mic/conflicts`: paths that a merge could not settle. Replaced as a whole; absent when there are none.
 *
 * | offset | size | type | field |
 * | --- | --- | --- | --- |
 * | 0 | 4 | bytes | magic `MCON` |
 * | 4 | 2 | u16 LE | version, 1 |
 * | 6 | 4 | u32 LE | number of conflicts, sorted by tree key, each as below |
 * | … | 16 | bytes | seal (codec/sealed.ts) |
 *
 * | size | type | field |
 * | --- | --- | --- |
 * | 1 | u8 | kind: 0 content, 1 binary, 2 deleted by us, 3 deleted by them, 4 kind, 5 directory |
 * | v | string | path |
 * | v | side ×4 | base, ours, theirs, written (codec/content-side.ts) |
 */
import { ByteReader, ByteWriter, utf8 } from "../base/bytes.ts";
import { MicError } from "../base/errors.ts";
import { comparePaths, parseTreePath, type TreePath } from "../base/path.ts";
import { type ContentSide, readSide, writeSide } from "./content-side.ts";
import { checkSeal, seal } from "./sealed.ts";

export const CONFLICT_STATE_MAGIC = "MCON";
export const CONFLICT_STATE_VERSION = 1;

/**
 * `content`: overlapping text edits, marked in the file. `binary`: both sides changed content that has no
 * lines. `deleted-by-us`, `deleted-by-them`: one side deleted what the other changed. `kind`: file, executable
 * or symlink disagree. `directory`: one side's file is the other side's directory. Except for `content`, the
 * file of ours is left as it was.
 */
export type ConflictKind = "content" | "binary" | "deleted-by-us" | "deleted-by-them" | "kind" | "directory";

export interface Conflict {
  readonly path: TreePath;
  readonly kind: ConflictKind;
  readonly base: ContentSide | undefined;
  /** The workspace's version before the merge. */
  readonly ours: ContentSide | undefined;
  /** The project's version. */
  readonly theirs: ContentSide | undefined;
  /** What the merge left in the workspace, with markers for `content`; undefined: nothing is there. */
  readonly written: ContentSide | undefined;
}

const WHAT = "conflict state";
const KINDS: readonly ConflictKind[] = [
  "content",
  "binary",
  "deleted-by-us",
  "deleted-by-them",
  "kind",
  "directory",
];
const CONFLICT_BYTES_MIN = 7;

export function encodeConflictState(conflicts: readonly Conflict[]): Uint8Array {
  const writer = new ByteWriter(256);
  writer.bytes(utf8(CONFLICT_STATE_MAGIC)).u16(CONFLICT_STATE_VERSION);
  writeConflicts(writer, conflicts);
  return seal(writer);
}

/** Errors: `corrupt`, `unsupported` for another version, `unsafe-path`. */
export function decodeConflictState(bytes: Uint8Array): Conflict[] {
  const reader = new ByteReader(bytes, WHAT, 0, checkSeal(bytes, WHAT));
  reader.expectMagic(CONFLICT_STATE_MAGIC);
  const version = reader.u16();
  if (version !== CONFLICT_STATE_VERSION) throw new MicError("unsupported", `${WHAT} has version ${version}`);
  const conflicts = readConflicts(reader);
  reader.end();
  return conflicts;
}

/** The count and the conflicts, as part of another format. */
export function writeConflicts(writer: ByteWriter, conflicts: readonly Conflict[]): void {
  writer.u32(conflicts.length);
  for (const conflict of conflicts) {
    writer.u8(KINDS.indexOf(conflict.kind)).string(conflict.path);
    writeSide(writer, conflict.base);
    writeSide(writer, conflict.ours);
    writeSide(writer, conflict.theirs);
    writeSide(writer, conflict.written);
  }
}

export function readConflicts(reader: ByteReader): Conflict[] {
  const conflicts: Conflict[] = [];
  for (let left = reader.count(reader.u32(), CONFLICT_BYTES_MIN); left > 0; left--) {
    const kind = KINDS[reader.u8()];
    if (kind === undefined) throw reader.fail("unknown kind of conflict");
    const path = parseTreePath(reader.string());
    const previous = conflicts.at(-1);
    if (previous !== undefined && comparePaths(previous.path, path) >= 0) {
      throw reader.fail("conflicts are not sorted");
    }
    const base = readSide(reader);
    const ours = readSide(reader);
    const theirs = readSide(reader);
    conflicts.push({ path, kind, base, ours, theirs, written: readSide(reader) });
  }
  return conflicts;
}
