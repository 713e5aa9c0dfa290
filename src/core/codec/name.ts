/**
 * `names/{org}/{name}`: which project a name means. Created if absent, changed by swaps, never deleted.
 *
 * | offset | size | type | field |
 * | --- | --- | --- | --- |
 * | 0 | 4 | bytes | magic `MICN` |
 * | 4 | 2 | u16 LE | version, 1 |
 * | 6 | 1 | u8 | state: 0 current, 1 redirect (a former name), 2 tombstone |
 * | 7 | 1 | u8 | reserved, 0 |
 * | 8 | 16 | bytes | project id |
 * | 24 | 1..4 | varint | byte length of the name |
 * | … | n | UTF-8 | the name itself, `org/project`: a record copied to another key is found out |
 * | … | 16 | bytes | seal (codec/sealed.ts) |
 */
import { ByteReader, ByteWriter, utf8 } from "../base/bytes.ts";
import { MicError } from "../base/errors.ts";
import type { ProjectId } from "../base/ids.ts";
import { checkSeal, seal } from "./sealed.ts";

export const NAME_MAGIC = "MICN";
export const NAME_VERSION = 1;

/** `current` and `redirect` both resolve to the project; `tombstone` keeps a deleted project's name taken. */
export type NameState = "current" | "redirect" | "tombstone";

export interface NameRecord {
  readonly name: string;
  readonly project: ProjectId;
  readonly state: NameState;
}

const STATES: readonly NameState[] = ["current", "redirect", "tombstone"];

export function encodeName(record: NameRecord): Uint8Array {
  const writer = new ByteWriter(128);
  writer.bytes(utf8(NAME_MAGIC));
  writer.u16(NAME_VERSION).u8(STATES.indexOf(record.state)).u8(0).hex(record.project).string(record.name);
  return seal(writer);
}

/** Errors: `corrupt`, `unsupported` for another version. */
export function decodeName(bytes: Uint8Array): NameRecord {
  const what = "name record";
  const reader = new ByteReader(bytes, what, 0, checkSeal(bytes, what));
  reader.expectMagic(NAME_MAGIC);
  const version = reader.u16();
  if (version !== NAME_VERSION) throw new MicError("unsupported", `${what} has version ${version}`);
  const state = STATES[reader.u8()];
  if (state === undefined) throw reader.fail("unknown state");
  if (reader.u8() !== 0) throw reader.fail("reserved byte is set");
  const project = reader.hex(16) as ProjectId;
  const name = reader.string();
  reader.end();
  return { name, project, state };
}
