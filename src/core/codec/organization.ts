/**
 * `organizations/{org}/meta`: an organization, which is what the first half of a project's name means. Created if
 * absent.
 *
 * | offset | size | type | field |
 * | --- | --- | --- | --- |
 * | 0 | 4 | bytes | magic `MICO` |
 * | 4 | 2 | u16 LE | version, 1 |
 * | 6 | 2 | bytes | reserved, 0 |
 * | 8 | 16 | bytes | nonce of the creation: a creator without an answer recognises its own |
 * | 24 | 8 | u64 LE | created, Unix ms |
 * | 32 | v | string | name: a record copied to another key is found out |
 * | … | v | string | description |
 * | … | 16 | bytes | seal (codec/sealed.ts) |
 *
 * A string is a varint byte length and UTF-8.
 */
import { ByteReader, ByteWriter, utf8 } from "../base/bytes.ts";
import { MicError } from "../base/errors.ts";
import { checkSeal, seal } from "./sealed.ts";

export const ORGANIZATION_MAGIC = "MICO";
export const ORGANIZATION_VERSION = 1;
const NONCE_BYTES = 16;

export interface OrganizationRecord {
  readonly name: string;
  readonly description: string;
  /** Unix ms. */
  readonly createdAtMs: number;
  /** 32 hex digits. */
  readonly nonce: string;
}

export function encodeOrganization(record: OrganizationRecord): Uint8Array {
  const writer = new ByteWriter(128);
  writer.bytes(utf8(ORGANIZATION_MAGIC));
  writer.u16(ORGANIZATION_VERSION).u16(0).hex(record.nonce).u64(record.createdAtMs);
  return seal(writer.string(record.name).string(record.description));
}

/** Errors: `corrupt`, `unsupported` for another version. */
export function decodeOrganization(bytes: Uint8Array): OrganizationRecord {
  const what = "organization record";
  const reader = new ByteReader(bytes, what, 0, checkSeal(bytes, what));
  reader.expectMagic(ORGANIZATION_MAGIC);
  const version = reader.u16();
  if (version !== ORGANIZATION_VERSION) throw new MicError("unsupported", `${what} has version ${version}`);
  if (reader.u16() !== 0) throw reader.fail("reserved bytes are set");
  const nonce = reader.hex(NONCE_BYTES);
  const createdAtMs = reader.safeU64();
  const name = reader.string();
  const description = reader.string();
  reader.end();
  return { name, description, createdAtMs, nonce };
}
