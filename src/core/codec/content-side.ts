/**
 * One side of a change as the workspace's own files store it: what stands at a path, or nothing.
 *
 * | size | type | field |
 * | --- | --- | --- |
 * | 1 | u8 | byte length of the entry: 0 nothing is there, else 41 or 73 |
 * | n | bytes | tree entry (codec/tree-entry.ts) |
 * | v | varint | position at which the content was introduced, 0 when it is not known; absent with length 0 |
 */
import type { ByteReader, ByteWriter } from "../base/bytes.ts";
import { decodeTreeEntry, encodeTreeEntry, type TreeEntry } from "./tree-entry.ts";

export interface ContentSide {
  readonly entry: TreeEntry;
  /** Where the content was introduced, 0 when unknown. */
  readonly hint: number;
}

export function writeSide(writer: ByteWriter, side: ContentSide | undefined): void {
  if (side === undefined) {
    writer.u8(0);
    return;
  }
  const entry = encodeTreeEntry(side.entry);
  writer.u8(entry.length).bytes(entry).varint(side.hint);
}

export function readSide(reader: ByteReader): ContentSide | undefined {
  const length = reader.u8();
  if (length === 0) return undefined;
  const entry = decodeTreeEntry(reader.bytes(length));
  return { entry, hint: reader.varint() };
}

/** Same kind and content, or both absent. */
export function sameSide(a: ContentSide | undefined, b: ContentSide | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return a.entry.id === b.entry.id && a.entry.kind === b.entry.kind;
}
