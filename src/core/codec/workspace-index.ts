/**
 * The workspace's index, `.mic/index`: base position and root, what is tracked, and the stat data by which an
 * unchanged file is recognised. Columns, directory-major, so that a scan reads it as views without making an
 * object for any file. Little-endian; every section starts at a multiple of 8 and is padded with zeros to one.
 *
 * | offset | size | type | field |
 * | --- | --- | --- | --- |
 * | 0 | 8 | bytes | magic `micindex` |
 * | 8 | 4 | u32 | version, 1 |
 * | 12 | 4 | u32 | crc32 of bytes 0 to 11 and 16 to the end |
 * | 16 | 8 | u64 | base position |
 * | 24 | 32 | bytes | base root |
 * | 56 | 4 | u32 | D: directories |
 * | 60 | 4 | u32 | F: files |
 * | 64 | 4 | u32 | C: files stored in chunks |
 * | 68 | 4 | u32 | I: ignore files |
 * | 72 | 4 | u32 | bytes of the directory paths |
 * | 76 | 4 | u32 | bytes of the file names |
 *
 * Then the sections, in this order:
 *
 * | count | type | section |
 * | --- | --- | --- |
 * | | UTF-8 | directory paths, one after the other: path order, the root (empty) first |
 * | D | u32 | end of each path in the decoded text, in UTF-16 units |
 * | D+1 | u32 | first file of each directory, and F |
 * | D | u32 | index of the first directory that is not below this one |
 * | D | f64 | mtime in Unix milliseconds, NaN: read the directory |
 * | D | f64 | ctime |
 * | D | f64 | inode |
 * | | UTF-8 | file names, one after the other: by directory, then by UTF-8 bytes |
 * | F | u32 | end of each name in the decoded text, in UTF-16 units |
 * | F | u8 | kind: 0 file, 1 executable, 2 symlink |
 * | F | f64 | size in bytes |
 * | F | f64 | mtime in Unix milliseconds |
 * | F | f64 | ctime; NaN: compare content |
 * | F | f64 | inode |
 * | F | f64 | hint: position at which the content was introduced |
 * | F | 32 bytes | ObjectId of the content |
 * | C | u32 | file, ascending |
 * | C | 32 bytes | ObjectId of its chunk list |
 * | I | u32 | directory of an ignore file |
 * | I | u32 | 0 `.gitignore`, 1 `.micignore` |
 * | 4·I | f64 | mtime, ctime, size, inode of each |
 */
import { crc32 } from "node:zlib";
import { asBuffer, ByteReader, ByteWriter, utf8 } from "../base/bytes.ts";
import { corrupt, MicError } from "../base/errors.ts";
import { type ObjectId, type Position, toPosition } from "../base/ids.ts";

const MAGIC = "micindex";
const VERSION = 1;
const HEADER_BYTES = 80;
const CRC_OFFSET = 12;
const WHAT = "workspace index";

/** Typed arrays over one buffer when decoded; over anything when made in memory. Never changed once made. */
export interface IndexColumns {
  readonly position: Position;
  readonly root: ObjectId;

  readonly dirText: string;
  readonly dirEnd: Uint32Array;
  readonly dirFirst: Uint32Array;
  readonly dirAfter: Uint32Array;
  readonly dirMtime: Float64Array;
  readonly dirCtime: Float64Array;
  readonly dirIno: Float64Array;

  readonly nameText: string;
  readonly nameEnd: Uint32Array;
  readonly kind: Uint8Array;
  readonly size: Float64Array;
  readonly mtime: Float64Array;
  readonly ctime: Float64Array;
  readonly ino: Float64Array;
  readonly hint: Float64Array;
  /** 32 bytes each. */
  readonly ids: Uint8Array;

  readonly chunkedFile: Uint32Array;
  /** 32 bytes each. */
  readonly chunkLists: Uint8Array;

  readonly ignoreDir: Uint32Array;
  readonly ignoreName: Uint32Array;
  /** mtime, ctime, size, inode of each. */
  readonly ignoreStat: Float64Array;
}

/** The pieces of the file, to be written one after the other. */
export function encodeWorkspaceIndex(columns: IndexColumns): Uint8Array[] {
  const dirText = utf8(columns.dirText);
  const nameText = utf8(columns.nameText);
  const header = new ByteWriter(HEADER_BYTES)
    .bytes(utf8(MAGIC))
    .u32(VERSION)
    .u32(0)
    .u64(columns.position)
    .hex(columns.root)
    .u32(columns.dirEnd.length)
    .u32(columns.nameEnd.length)
    .u32(columns.chunkedFile.length)
    .u32(columns.ignoreDir.length)
    .u32(dirText.length)
    .u32(nameText.length)
    .finish();
  const pieces: Uint8Array[] = [header];
  const add = (section: ArrayBufferView): void => {
    pieces.push(new Uint8Array(section.buffer, section.byteOffset, section.byteLength));
    const padding = -section.byteLength & 7;
    if (padding !== 0) pieces.push(new Uint8Array(padding));
  };
  add(dirText);
  add(columns.dirEnd);
  add(columns.dirFirst);
  add(columns.dirAfter);
  add(columns.dirMtime);
  add(columns.dirCtime);
  add(columns.dirIno);
  add(nameText);
  add(columns.nameEnd);
  add(columns.kind);
  add(columns.size);
  add(columns.mtime);
  add(columns.ctime);
  add(columns.ino);
  add(columns.hint);
  add(columns.ids);
  add(columns.chunkedFile);
  add(columns.chunkLists);
  add(columns.ignoreDir);
  add(columns.ignoreName);
  add(columns.ignoreStat);
  let crc = crc32(header.subarray(0, CRC_OFFSET));
  crc = crc32(header.subarray(CRC_OFFSET + 4), crc);
  for (let i = 1; i < pieces.length; i++) crc = crc32(pieces[i]!, crc);
  new DataView(header.buffer, header.byteOffset).setUint32(CRC_OFFSET, crc, true);
  return pieces;
}

/**
 * Views into `bytes`, which must start at a multiple of 8 in its buffer. The bytes may be in shared memory.
 * `verified`: another thread has decoded them already. Errors: `corrupt`, `unsupported`.
 */
export function decodeWorkspaceIndex(
  bytes: Uint8Array,
  options: { readonly verified?: boolean } = {},
): IndexColumns {
  const reader = new ByteReader(bytes, WHAT);
  reader.expectMagic(MAGIC);
  const version = reader.u32();
  if (version !== VERSION) {
    throw new MicError("unsupported", `the workspace index has version ${version}`, {
      hint: "use a newer mic",
    });
  }
  const crc = reader.u32();
  const position = reader.safeU64();
  const root = reader.hex(32) as ObjectId;
  const dirs = reader.u32();
  const files = reader.u32();
  const chunked = reader.u32();
  const ignores = reader.u32();
  const dirTextBytes = reader.u32();
  const nameTextBytes = reader.u32();

  let offset = HEADER_BYTES;
  const take = (size: number): number => {
    const start = offset;
    offset += size + (-size & 7);
    if (offset > bytes.length) throw corrupt(WHAT, `needs more than its ${bytes.length} bytes`, start);
    return bytes.byteOffset + start;
  };
  const u8 = (count: number) => new Uint8Array(bytes.buffer, take(count), count);
  const u32 = (count: number) => new Uint32Array(bytes.buffer, take(count * 4), count);
  const f64 = (count: number) => new Float64Array(bytes.buffer, take(count * 8), count);

  const dirTextUtf8 = u8(dirTextBytes);
  const dirEnd = u32(dirs);
  const dirFirst = u32(dirs + 1);
  const dirAfter = u32(dirs);
  const dirMtime = f64(dirs);
  const dirCtime = f64(dirs);
  const dirIno = f64(dirs);
  const nameTextUtf8 = u8(nameTextBytes);
  const nameEnd = u32(files);
  const kind = u8(files);
  const size = f64(files);
  const mtime = f64(files);
  const ctime = f64(files);
  const ino = f64(files);
  const hint = f64(files);
  const ids = u8(files * 32);
  const chunkedFile = u32(chunked);
  const chunkLists = u8(chunked * 32);
  const ignoreDir = u32(ignores);
  const ignoreName = u32(ignores);
  const ignoreStat = f64(ignores * 4);
  if (offset !== bytes.length) throw corrupt(WHAT, `is followed by ${bytes.length - offset} bytes`, offset);
  if (options.verified !== true) {
    const found = crc32(bytes.subarray(CRC_OFFSET + 4), crc32(bytes.subarray(0, CRC_OFFSET)));
    if (found !== crc) throw corrupt(WHAT, "its checksum does not match");
  }

  const columns: IndexColumns = {
    position: toPosition(position),
    root,
    dirText: decodeText(dirTextUtf8, dirEnd),
    dirEnd,
    dirFirst,
    dirAfter,
    dirMtime,
    dirCtime,
    dirIno,
    nameText: decodeText(nameTextUtf8, nameEnd),
    nameEnd,
    kind,
    size,
    mtime,
    ctime,
    ino,
    hint,
    ids,
    chunkedFile,
    chunkLists,
    ignoreDir,
    ignoreName,
    ignoreStat,
  };
  if (options.verified !== true) checkShape(columns);
  return columns;
}

/** As many units as bytes: all ASCII, which needs no decoding of UTF-8. */
function decodeText(bytes: Uint8Array, ends: Uint32Array): string {
  return asBuffer(bytes).toString(ends[ends.length - 1] === bytes.length ? "latin1" : "utf8");
}

/** What later code uses as an index is in range. */
function checkShape(columns: IndexColumns): void {
  const dirs = columns.dirEnd.length;
  const files = columns.nameEnd.length;
  if (dirs === 0) throw corrupt(WHAT, "has no root directory");
  checkEnds(columns.dirEnd, columns.dirText.length, "directory paths");
  // Not each name's end nor each kind: a hundred thousand of them would cost a tenth of a whole status, and
  // no value there leads out of bounds. The checksum has vouched for them.
  checkLast(columns.nameEnd, columns.nameText.length, "file names");
  checkEnds(columns.dirFirst, files, "files of directories");
  if (columns.dirFirst[0] !== 0) throw corrupt(WHAT, "its first file belongs to no directory");
  for (let d = 0; d < dirs; d++) {
    const after = columns.dirAfter[d]!;
    if (after <= d || after > dirs) throw corrupt(WHAT, `directory ${d} ends at ${after}`);
  }
  if (columns.dirAfter[0] !== dirs || columns.dirEnd[0] !== 0) throw corrupt(WHAT, "its root is not first");
  let last = -1;
  for (const file of columns.chunkedFile) {
    if (file <= last || file >= files) throw corrupt(WHAT, `chunk list of file ${file}`);
    last = file;
  }
  for (let i = 0; i < columns.ignoreDir.length; i++) {
    if (columns.ignoreDir[i]! >= dirs || columns.ignoreName[i]! > 1) throw corrupt(WHAT, `ignore file ${i}`);
  }
}

function checkEnds(ends: Uint32Array, length: number, what: string): void {
  let last = 0;
  for (let i = 0; i < ends.length; i++) {
    const end = ends[i]!;
    if (end < last) throw corrupt(WHAT, `its ${what} are out of order`);
    last = end;
  }
  checkLast(ends, length, what);
}

function checkLast(ends: Uint32Array, length: number, what: string): void {
  const last = ends.length === 0 ? 0 : ends[ends.length - 1]!;
  if (last !== length) throw corrupt(WHAT, `its ${what} end at ${last}, not ${length}`);
}
