/**
 * `projects/{project}/meta`: what is known about a project beside its history. Changed by compare-and-swap.
 *
 * | offset | size | type | field |
 * | --- | --- | --- | --- |
 * | 0 | 4 | bytes | magic `MICM` |
 * | 4 | 2 | u16 LE | version, 1 |
 * | 6 | 1 | u8 | kind: 0 project |
 * | 7 | 1 | u8 | visibility: 0 private, 1 public |
 * | 8 | 16 | bytes | project id |
 * | 24 | 8 | bytes | lineage salt, as in the head |
 * | 32 | 8 | u64 LE | created, Unix ms |
 * | 40 | 8 | u64 LE | deleted, Unix ms; 0: not deleted |
 * | 48 | 8 | u64 LE | revision, one more with every change: no two versions have equal bytes |
 * | 56 | v | string | name, `org/project` |
 * | … | v | string | description |
 * | … | v | varint | number of former names |
 * | … | v | string | each former name, whose name record redirects here |
 * | … | 16 | bytes | seal (codec/sealed.ts) |
 *
 * A string is a varint byte length and UTF-8.
 */
import { ByteReader, ByteWriter, utf8 } from "../base/bytes.ts";
import { MicError } from "../base/errors.ts";
import type { ProjectId } from "../base/ids.ts";
import { checkSeal, seal } from "./sealed.ts";

export const META_MAGIC = "MICM";
export const META_VERSION = 1;
export const DESCRIPTION_BYTES_MAX = 4096;

export interface ProjectMeta {
  readonly id: ProjectId;
  /** `org/project`. */
  readonly name: string;
  readonly description: string;
  readonly visibility: "private" | "public";
  /** 16 hex digits. */
  readonly salt: string;
  /** Unix ms. */
  readonly createdAtMs: number;
  /** Unix ms; 0 while the project exists. */
  readonly deletedAtMs: number;
  readonly revision: number;
  /** Oldest first. */
  readonly formerNames: readonly string[];
}

const VISIBILITIES = ["private", "public"] as const;
const KIND_PROJECT = 0;

export function encodeMeta(meta: ProjectMeta): Uint8Array {
  const writer = new ByteWriter(256);
  writer.bytes(utf8(META_MAGIC));
  writer.u16(META_VERSION).u8(KIND_PROJECT).u8(VISIBILITIES.indexOf(meta.visibility));
  writer.hex(meta.id).hex(meta.salt).u64(meta.createdAtMs).u64(meta.deletedAtMs);
  writer.u64(meta.revision);
  writer.string(meta.name).string(meta.description).varint(meta.formerNames.length);
  for (const name of meta.formerNames) writer.string(name);
  return seal(writer);
}

/** Errors: `corrupt`, `unsupported` for another version or kind. */
export function decodeMeta(bytes: Uint8Array): ProjectMeta {
  const what = "project meta";
  const reader = new ByteReader(bytes, what, 0, checkSeal(bytes, what));
  reader.expectMagic(META_MAGIC);
  const version = reader.u16();
  if (version !== META_VERSION) throw new MicError("unsupported", `${what} has version ${version}`);
  const kind = reader.u8();
  if (kind !== KIND_PROJECT) throw new MicError("unsupported", `${what} has kind ${kind}`);
  const visibility = VISIBILITIES[reader.u8()];
  if (visibility === undefined) throw reader.fail("unknown visibility");
  const id = reader.hex(16) as ProjectId;
  const salt = reader.hex(8);
  const createdAtMs = reader.safeU64();
  const deletedAtMs = reader.safeU64();
  const revision = reader.safeU64();
  const name = reader.string();
  const description = reader.string();
  const formerNames: string[] = [];
  for (let left = reader.count(reader.varint(), 1); left > 0; left--) formerNames.push(reader.string());
  reader.end();
  return { id, name, description, visibility, salt, createdAtMs, deletedAtMs, revision, formerNames };
}
