/**
 * `projects/{project}/pages/{epoch}/{hash}`: the part of a head's list of packs that no longer fits the head.
 * Immutable, named by its hash, so there is no checksum inside.
 *
 * | offset | size | type | field |
 * | --- | --- | --- | --- |
 * | 0 | 4 | bytes | magic `MICG` |
 * | 4 | 2 | u16 LE | version, 1 |
 * | 6 | 1 | u8 | level |
 * | 7 | 1 | u8 | 0 |
 * | 8 | 4 | u32 LE | number of entries |
 * | 12 | 59·n | | level 0: packs (codec/pack-entry.ts), by last position ascending |
 * | 12 | 51·n | | level ≥ 1: pages of the level below (codec/page-ref.ts), oldest first |
 */
import { ByteReader, ByteWriter, utf8 } from "../base/bytes.ts";
import { MicError } from "../base/errors.ts";
import { type ManifestPack, readPackEntries, writePackEntry } from "./pack-entry.ts";
import { PAGE_REF_BYTES, type PageRef, readPageRef, writePageRef } from "./page-ref.ts";

export const PAGE_MAGIC = "MICG";
export const PAGE_VERSION = 1;

export type ManifestPage =
  | { readonly level: 0; readonly packs: readonly ManifestPack[] }
  | { readonly level: number; readonly pages: readonly PageRef[] };

export function encodeManifestPage(page: ManifestPage): Uint8Array {
  const writer = new ByteWriter(16 << 10);
  writer.bytes(utf8(PAGE_MAGIC)).u16(PAGE_VERSION).u8(page.level).u8(0);
  if ("packs" in page) {
    writer.u32(page.packs.length);
    for (const entry of page.packs) writePackEntry(writer, entry);
  } else {
    writer.u32(page.pages.length);
    for (const ref of page.pages) writePageRef(writer, ref);
  }
  return writer.finish();
}

/** The caller has checked the hash. Errors: `corrupt`, `unsupported`. */
export function decodeManifestPage(bytes: Uint8Array): ManifestPage {
  const reader = new ByteReader(bytes, "manifest page");
  reader.expectMagic(PAGE_MAGIC);
  const version = reader.u16();
  if (version !== PAGE_VERSION) throw new MicError("unsupported", `manifest page has version ${version}`);
  const level = reader.u8();
  if (reader.u8() !== 0) throw reader.fail("reserved byte is not 0");
  const stored = reader.u32();
  if (level === 0) {
    const packs = readPackEntries(reader, stored);
    reader.end();
    return { level, packs };
  }
  const pages: PageRef[] = [];
  for (let left = reader.count(stored, PAGE_REF_BYTES); left > 0; left--) {
    const ref = readPageRef(reader);
    if (ref.level !== level - 1) throw reader.fail(`a page of level ${ref.level} in one of level ${level}`);
    pages.push(ref);
  }
  reader.end();
  return { level, pages };
}
