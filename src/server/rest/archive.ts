/**
 * A tar archive in the pax format (POSIX.1-2001): ustar headers, with an extended header before an entry whose
 * path, target or size does not fit one.
 *
 * | offset | size | field of a header block |
 * | --- | --- | --- |
 * | 0 | 100 | name |
 * | 100 | 8 | mode, octal |
 * | 108, 116 | 8, 8 | uid, gid: 0 |
 * | 124 | 12 | size, octal |
 * | 136 | 12 | mtime in seconds, octal |
 * | 148 | 8 | sum of the header's bytes with this field as spaces: six octal digits, NUL, space |
 * | 156 | 1 | type: `0` file, `2` symlink, `x` extended header for the next entry |
 * | 157 | 100 | target of a symlink |
 * | 257 | 8 | `ustar`, NUL, `00` |
 */
import { concatBytes, utf8 } from "../../core/base/bytes.ts";
import type { EntryKind } from "../../core/codec/tree-entry.ts";
import type { LocatedEntry } from "../../core/forge/forge.ts";

const BLOCK_BYTES = 512;
const NAME_BYTES_MAX = 100;
/** What eleven octal digits hold. */
const OCTAL_SIZE_MAX = 0o77777777777;
/** Small entries are handed on together. */
const PIECE_BYTES = 64 << 10;

const MODES: Readonly<Record<EntryKind, number>> = { file: 0o644, executable: 0o755, symlink: 0o777 };

/** `timeMs`: the modification time of every entry. */
export async function* tarOf(
  pages: AsyncIterable<readonly LocatedEntry[]>,
  read: (file: LocatedEntry) => AsyncIterable<Uint8Array>,
  timeMs: number,
): AsyncGenerator<Uint8Array> {
  let parts: Uint8Array[] = [];
  let bytes = 0;
  const add = (part: Uint8Array): void => {
    parts.push(part);
    bytes += part.length;
  };
  const take = (): Uint8Array => {
    const piece = concatBytes(parts);
    parts = [];
    bytes = 0;
    return piece;
  };
  for await (const page of pages) {
    for (const file of page) {
      const { path, entry } = file;
      if (entry.kind === "symlink") {
        const target: Uint8Array[] = [];
        for await (const part of read(file)) target.push(part);
        add(entryHeader({ path, kind: "symlink", size: 0, timeMs, target: concatBytes(target) }));
        continue;
      }
      add(entryHeader({ path, kind: entry.kind, size: entry.size, timeMs }));
      for await (const part of read(file)) {
        add(part);
        if (bytes >= PIECE_BYTES) yield take();
      }
      add(padding(entry.size));
      if (bytes >= PIECE_BYTES) yield take();
    }
  }
  add(new Uint8Array(2 * BLOCK_BYTES));
  yield take();
}

interface TarEntry {
  readonly path: string;
  readonly kind: EntryKind;
  readonly size: number;
  readonly timeMs: number;
  readonly target?: Uint8Array;
}

function entryHeader({ path, kind, size, timeMs, target }: TarEntry): Uint8Array {
  const name = utf8(path);
  const records: Uint8Array[] = [];
  if (name.length > NAME_BYTES_MAX || !isAscii(name)) records.push(record("path", name));
  if (target !== undefined && (target.length > NAME_BYTES_MAX || !isAscii(target))) {
    records.push(record("linkpath", target));
  }
  if (size > OCTAL_SIZE_MAX) records.push(record("size", utf8(String(size))));
  const fields = { name, mode: MODES[kind], size, timeMs, target };
  const own = header({ ...fields, type: kind === "symlink" ? "2" : "0" });
  if (records.length === 0) return own;
  const extended = concatBytes(records);
  const before = header({
    name: utf8("pax-header"),
    mode: MODES.file,
    size: extended.length,
    timeMs,
    target: undefined,
    type: "x",
  });
  return concatBytes([before, extended, padding(extended.length), own]);
}

/** `length key=value\n`, where the length counts its own digits. */
function record(key: string, value: Uint8Array): Uint8Array {
  const rest = concatBytes([utf8(` ${key}=`), value, utf8("\n")]);
  let length = rest.length + 1;
  while (String(length).length + rest.length !== length) length = String(length).length + rest.length;
  return concatBytes([utf8(String(length)), rest]);
}

interface HeaderFields {
  readonly name: Uint8Array;
  readonly mode: number;
  readonly size: number;
  readonly timeMs: number;
  readonly target: Uint8Array | undefined;
  readonly type: "0" | "2" | "x";
}

function header({ name, mode, size, timeMs, target, type }: HeaderFields): Uint8Array {
  const block = Buffer.alloc(BLOCK_BYTES);
  block.set(name.subarray(0, NAME_BYTES_MAX), 0);
  octal(block, 100, 8, mode);
  octal(block, 108, 8, 0);
  octal(block, 116, 8, 0);
  octal(block, 124, 12, size > OCTAL_SIZE_MAX ? 0 : size);
  octal(block, 136, 12, Math.floor(timeMs / 1000));
  block.write(type, 156);
  if (target !== undefined) block.set(target.subarray(0, NAME_BYTES_MAX), 157);
  block.write("ustar\0" + "00", 257, "latin1");
  block.fill(0x20, 148, 156);
  let sum = 0;
  for (const byte of block) sum += byte;
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return block;
}

/** Octal digits and a NUL. */
function octal(block: Buffer, offset: number, width: number, value: number): void {
  block.write(`${value.toString(8).padStart(width - 1, "0")}\0`, offset, "latin1");
}

function padding(size: number): Uint8Array {
  const rest = size % BLOCK_BYTES;
  return new Uint8Array(rest === 0 ? 0 : BLOCK_BYTES - rest);
}

function isAscii(bytes: Uint8Array): boolean {
  return bytes.every((byte) => byte < 0x80);
}
