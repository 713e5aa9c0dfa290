/**
 * A block of a rollup's table of landing ids or of session ids: ids in order, each with a position.
 *
 * | size | type | field |
 * | --- | --- | --- |
 * | 16 | bytes | id |
 * | 4 | u32 LE | position − first position of the rollup: where it landed; of a session the newest such place |
 */
import { ByteReader, ByteWriter } from "../base/bytes.ts";
import { KeyColumn } from "./key-column.ts";

export const ID_BYTES = 16;
const ENTRY_BYTES = ID_BYTES + 4;
/** Ids in every block but the last. */
export const IDS_PER_BLOCK = 1024;

export interface IdBlock {
  readonly keys: KeyColumn;
  readonly positions: Uint32Array;
}

export class IdBlockWriter {
  readonly #writer = new ByteWriter(IDS_PER_BLOCK * ENTRY_BYTES);

  get count(): number {
    return this.#writer.length / ENTRY_BYTES;
  }

  add(id: Uint8Array, position: number): void {
    this.#writer.bytes(id).u32(position);
  }

  finish(): Uint8Array {
    return this.#writer.finish();
  }
}

/** The caller has checked the checksum. Errors: `corrupt`. */
export function decodeIdBlock(bytes: Uint8Array): IdBlock {
  const reader = new ByteReader(bytes, "rollup ids");
  const count = Math.floor(bytes.length / ENTRY_BYTES);
  if (count === 0 || count > IDS_PER_BLOCK) throw reader.fail(`a block of ${bytes.length} bytes`);
  const ids = new Uint8Array(count * ID_BYTES);
  const ends = new Uint32Array(count);
  const positions = new Uint32Array(count);
  const keys = new KeyColumn(ids, ends);
  for (let i = 0; i < count; i++) {
    ids.set(reader.bytes(ID_BYTES), i * ID_BYTES);
    ends[i] = (i + 1) * ID_BYTES;
    positions[i] = reader.u32();
    if (i > 0 && keys.compare(i - 1, keys.key(i)) >= 0) throw reader.fail("ids are not ascending");
  }
  reader.end();
  return { keys, positions };
}
