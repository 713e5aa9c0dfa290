/**
 * Tree entries, operations and changes straight from and to bytes: `mic.v1.TreeEntry`, `Operation`, `TreeChange`.
 * Calls carry them by the hundred thousand.
 */
import { MicError } from "../base/errors.ts";
import { OBJECT_ID_BYTES, type ObjectId } from "../base/ids.ts";
import { parseTreePath, type TreePath } from "../base/path.ts";
import type { EntryKind, TreeEntry } from "../codec/tree-entry.ts";
import type { LocatedEntry, Operation, TreeChange } from "../forge/forge.ts";
import { ProtoReader } from "./proto-reader.ts";
import { BYTES, ProtoWriter, varintLength } from "./proto-writer.ts";

/** By their number on the wire. */
const KINDS: readonly (EntryKind | undefined)[] = [undefined, "file", "executable", "symlink"];
const ID_FIELD_BYTES = 2 + OBJECT_ID_BYTES;
/** Of a usual encoded entry, to size buffers. */
const ENTRY_BYTES_TYPICAL = 96;

const tagOf = (field: number, wireType: number): number => (field << 3) | wireType;
const ENTRY_KIND = tagOf(1, 0);
const ENTRY_SIZE = tagOf(2, 0);
const ENTRY_ID = tagOf(3, BYTES);
const ENTRY_CHUNKS = tagOf(4, BYTES);
const ENTRY_HINT = tagOf(5, 0);
const PATH = tagOf(1, BYTES);
const SECOND = tagOf(2, BYTES);
const THIRD = tagOf(3, BYTES);

export interface HintedEntry {
  readonly entry: TreeEntry;
  readonly hint: number;
}

function entryLength({ entry, hint }: HintedEntry): number {
  const { size, chunks } = entry;
  return (
    2 +
    (size === 0 ? 0 : 1 + varintLength(size)) +
    ID_FIELD_BYTES +
    (chunks === undefined ? 0 : ID_FIELD_BYTES) +
    (hint === 0 ? 0 : 1 + varintLength(hint))
  );
}

/** The fields of an entry, without tag and length. */
function writeEntryFields(writer: ProtoWriter, { entry, hint }: HintedEntry): void {
  const kind = KINDS.indexOf(entry.kind);
  if (kind < 1) throw new MicError("usage", `${JSON.stringify(entry.kind)} is not a kind of entry`);
  writer.uint(1, kind).uint(2, entry.size).hex(3, entry.id);
  if (entry.chunks !== undefined) writer.hex(4, entry.chunks);
  writer.uint(5, hint);
}

function writeEntry(writer: ProtoWriter, field: number, value: HintedEntry, length: number): void {
  writer.tag(field, BYTES).varint(length);
  writeEntryFields(writer, value);
}

function readEntry(reader: ProtoReader): HintedEntry {
  const end = reader.nested();
  let kind: EntryKind | undefined;
  let size = 0;
  let id: ObjectId | undefined;
  let chunks: ObjectId | undefined;
  let hint = 0;
  while (reader.offset < end) {
    const tag = reader.varint();
    if (tag === ENTRY_KIND) kind = KINDS[reader.varint()];
    else if (tag === ENTRY_SIZE) size = reader.varint();
    else if (tag === ENTRY_ID) id = reader.hex(OBJECT_ID_BYTES, "an object id") as ObjectId;
    else if (tag === ENTRY_CHUNKS) chunks = reader.hex(OBJECT_ID_BYTES, "a chunk list's id") as ObjectId;
    else if (tag === ENTRY_HINT) hint = reader.varint();
    else reader.skip(tag);
  }
  reader.expectEnd(end);
  if (kind === undefined) throw reader.fail("an entry of an unknown kind");
  if (id === undefined) throw reader.fail("an entry without an id");
  if (chunks === undefined) return { entry: { kind, size, id }, hint };
  if (kind === "symlink") throw reader.fail("a symlink with a chunk list");
  return { entry: { kind, size, id, chunks }, hint };
}

function pathFieldLength(pathLength: number): number {
  return pathLength === 0 ? 0 : 1 + varintLength(pathLength) + pathLength;
}

/** A put's entry, or a delete. `Operation` and `LocatedEntry` are the same message. */
export function writeOperation(
  writer: ProtoWriter,
  field: number,
  operation: Operation | LocatedEntry,
): void {
  const { path } = operation;
  const put = "entry" in operation ? operation : undefined;
  const pathLength = Buffer.byteLength(path);
  const inner = put === undefined ? 0 : entryLength(put);
  writer
    .tag(field, BYTES)
    .varint(pathFieldLength(pathLength) + (inner === 0 ? 0 : 1 + varintLength(inner) + inner));
  writer.text(1, path, pathLength);
  if (put !== undefined) writeEntry(writer, 2, put, inner);
}

interface PathAndEntry {
  readonly path: TreePath;
  readonly located: HintedEntry | undefined;
}

function readPathAndEntry(reader: ProtoReader): PathAndEntry {
  const end = reader.nested();
  let path = "";
  let located: HintedEntry | undefined;
  while (reader.offset < end) {
    const tag = reader.varint();
    if (tag === PATH) path = reader.string();
    else if (tag === SECOND) located = readEntry(reader);
    else reader.skip(tag);
  }
  reader.expectEnd(end);
  return { path: parseTreePath(path), located };
}

export function readOperation(reader: ProtoReader): Operation {
  const { path, located } = readPathAndEntry(reader);
  return located === undefined
    ? { kind: "delete", path }
    : { kind: "put", path, entry: located.entry, hint: located.hint };
}

function readLocatedEntry(reader: ProtoReader): LocatedEntry {
  const { path, located } = readPathAndEntry(reader);
  if (located === undefined) throw reader.fail("an entry is missing");
  return { path, entry: located.entry, hint: located.hint };
}

export function writeChange(writer: ProtoWriter, field: number, { path, before, after }: TreeChange): void {
  const pathLength = Buffer.byteLength(path);
  const old = before === undefined ? 0 : entryLength(before);
  const fresh = after === undefined ? 0 : entryLength(after);
  writer
    .tag(field, BYTES)
    .varint(
      pathFieldLength(pathLength) +
        (old === 0 ? 0 : 1 + varintLength(old) + old) +
        (fresh === 0 ? 0 : 1 + varintLength(fresh) + fresh),
    );
  writer.text(1, path, pathLength);
  if (before !== undefined) writeEntry(writer, 2, before, old);
  if (after !== undefined) writeEntry(writer, 3, after, fresh);
}

export function readChange(reader: ProtoReader): TreeChange {
  const end = reader.nested();
  let path = "";
  let before: HintedEntry | undefined;
  let after: HintedEntry | undefined;
  while (reader.offset < end) {
    const tag = reader.varint();
    if (tag === PATH) path = reader.string();
    else if (tag === SECOND) before = readEntry(reader);
    else if (tag === THIRD) after = readEntry(reader);
    else reader.skip(tag);
  }
  reader.expectEnd(end);
  return { path: parseTreePath(path), before, after };
}

/** `ListEntriesResponse`, and `Operations`: one repeated field 1. */
export function encodeEntries(entries: readonly LocatedEntry[]): Uint8Array {
  const writer = new ProtoWriter(entries.length * ENTRY_BYTES_TYPICAL);
  for (const entry of entries) writeOperation(writer, 1, entry);
  return writer.finish();
}

export function decodeEntries(bytes: Uint8Array): LocatedEntry[] {
  return readRepeated(bytes, 1, readLocatedEntry);
}

/** Every occurrence of one field; others are skipped. */
export function readRepeated<T>(bytes: Uint8Array, field: number, read: (reader: ProtoReader) => T): T[] {
  const reader = new ProtoReader(bytes);
  const wanted = tagOf(field, BYTES);
  const items: T[] = [];
  while (reader.offset < reader.length) {
    const tag = reader.varint();
    if (tag === wanted) items.push(read(reader));
    else reader.skip(tag);
  }
  return items;
}

/** `DiffResponse`, and a `FetchResponse` of changes. */
export function encodeChanges(changes: readonly TreeChange[]): Uint8Array {
  const writer = new ProtoWriter(changes.length * ENTRY_BYTES_TYPICAL);
  for (const change of changes) writeChange(writer, 1, change);
  return writer.finish();
}

export function decodeChanges(bytes: Uint8Array): TreeChange[] {
  return readRepeated(bytes, 1, readChange);
}
