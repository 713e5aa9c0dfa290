/**
 * The tar archives of backups: regular files alone, as POSIX.1-1988 ustar. A size of 8 GiB or more is written in
 * base 256, as GNU tar does. Any tar reads them.
 *
 * | offset | size | field |
 * | --- | --- | --- |
 * | 0 | 100 | name, ended by a zero |
 * | 100 | 24 | mode `0000600`, owner and group `0000000`, each ended by a zero |
 * | 124 | 12 | size in octal, ended by a zero; or 0x80 and the size, big-endian |
 * | 136 | 12 | time of change, Unix seconds in octal, ended by a zero |
 * | 148 | 8 | sum of all bytes of the header with spaces here: six octal digits, zero, space |
 * | 156 | 1 | `0` |
 * | 257 | 8 | `ustar`, zero, `00` |
 *
 * The content follows, filled up with zeros to 512 bytes; two blocks of zeros end the archive.
 */
import type { FileHandle } from "node:fs/promises";
import { MicError } from "../../core/base/errors.ts";
import { StreamHasher } from "../../core/base/hash.ts";

const BLOCK_BYTES = 512;
const NAME_BYTES_MAX = 99;
const OCTAL_SIZE_MAX = 8 ** 11 - 1;
const BUFFER_BYTES = 1 << 20;
/** Names that a backup may hold: below the directory that it is restored to, and nowhere else. */
const SAFE_NAME = /^(?!.*(?:^|\/)\.{1,2}(?:\/|$))[A-Za-z0-9._-]+(?:\/[A-Za-z0-9._-]+)*$/;

export interface TarEntry {
  readonly name: string;
  /** Bytes. */
  readonly size: number;
  /** BLAKE3 of the content. */
  readonly hash: string;
}

export class TarWriter {
  readonly #file: FileHandle;
  readonly #timeMs: number;
  readonly #buffer = Buffer.allocUnsafe(BUFFER_BYTES);

  constructor(file: FileHandle, timeMs: number) {
    this.#file = file;
    this.#timeMs = timeMs;
  }

  async add(name: string, source: FileHandle): Promise<TarEntry> {
    const { size } = await source.stat();
    await writeAll(this.#file, header(name, size, this.#timeMs));
    const hasher = new StreamHasher();
    for (let done = 0; done < size; ) {
      const wanted = Math.min(BUFFER_BYTES, size - done);
      const { bytesRead } = await source.read(this.#buffer, 0, wanted, done);
      if (bytesRead === 0) throw new MicError("corrupt", `${name} became shorter while it was read`);
      const part = this.#buffer.subarray(0, bytesRead);
      hasher.update(part);
      await writeAll(this.#file, part);
      done += bytesRead;
    }
    await writeAll(this.#file, Buffer.alloc(padding(size)));
    return { name, size, hash: hasher.digest() };
  }

  async addBytes(name: string, bytes: Uint8Array): Promise<void> {
    await writeAll(this.#file, header(name, bytes.length, this.#timeMs));
    await writeAll(this.#file, bytes);
    await writeAll(this.#file, Buffer.alloc(padding(bytes.length)));
  }

  async end(): Promise<void> {
    await writeAll(this.#file, Buffer.alloc(2 * BLOCK_BYTES));
  }
}

/**
 * Every entry in turn. `take` reads its content through `parts` to the end. Errors: `corrupt` for what is no whole
 * archive of this kind.
 */
export async function readTar(
  file: FileHandle,
  take: (name: string, size: number, parts: AsyncIterable<Uint8Array>) => Promise<void>,
): Promise<void> {
  const { size: length } = await file.stat();
  let offset = 0;
  for (;;) {
    const block = await readExactly(file, offset, BLOCK_BYTES, length);
    offset += BLOCK_BYTES;
    if (block.every((byte) => byte === 0)) return;
    const { name, size } = parseHeader(block, offset - BLOCK_BYTES);
    if (size > length - offset) throw damaged(`${name} is cut off`, offset);
    await take(name, size, contentOf(file, offset, size));
    offset += size + padding(size);
  }
}

async function* contentOf(file: FileHandle, start: number, size: number): AsyncGenerator<Uint8Array> {
  const buffer = Buffer.allocUnsafe(Math.min(BUFFER_BYTES, Math.max(1, size)));
  for (let done = 0; done < size; ) {
    const { bytesRead } = await file.read(buffer, 0, Math.min(buffer.length, size - done), start + done);
    if (bytesRead === 0) throw damaged("it ends early", start + done);
    yield buffer.subarray(0, bytesRead);
    done += bytesRead;
  }
}

function header(name: string, size: number, timeMs: number): Buffer {
  if (!SAFE_NAME.test(name) || name.length > NAME_BYTES_MAX) {
    throw new MicError("internal", `bug: ${JSON.stringify(name)} cannot be in a backup`);
  }
  const block = Buffer.alloc(BLOCK_BYTES);
  block.write(name, 0, "latin1");
  block.write(`0000600\0${"0000000\0".repeat(2)}`, 100, "latin1");
  if (size <= OCTAL_SIZE_MAX) block.write(`${octal(size, 11)}\0`, 124, "latin1");
  else {
    block[124] = 0x80;
    block.writeBigUInt64BE(BigInt(size), 128);
  }
  block.write(`${octal(Math.floor(timeMs / 1000), 11)}\0`, 136, "latin1");
  block.write("        0", 148, "latin1");
  block.write("ustar\x0000", 257, "latin1");
  block.write(`${octal(sumOf(block), 6)}\0 `, 148, "latin1");
  return block;
}

function parseHeader(block: Buffer, offset: number): { readonly name: string; readonly size: number } {
  const text = (start: number, end: number): string =>
    block
      .subarray(start, end)
      .toString("latin1")
      .replace(/[\0 ].*$/s, "");
  const sum = Number.parseInt(text(148, 156), 8);
  block.fill(" ", 148, 156);
  if (sum !== sumOf(block)) throw damaged("a header is", offset);
  const name = text(0, 100);
  const size = block[124] === 0x80 ? Number(block.readBigUInt64BE(128)) : Number.parseInt(text(124, 136), 8);
  const isFile = block[156] === 0x30;
  if (!isFile || !SAFE_NAME.test(name) || !Number.isSafeInteger(size) || size < 0) {
    throw damaged(`it holds ${JSON.stringify(name)}, which no backup does`, offset);
  }
  return { name, size };
}

function sumOf(block: Buffer): number {
  let sum = 0;
  for (const byte of block) sum += byte;
  return sum;
}

function octal(value: number, digits: number): string {
  return value.toString(8).padStart(digits, "0");
}

function padding(size: number): number {
  return (BLOCK_BYTES - (size % BLOCK_BYTES)) % BLOCK_BYTES;
}

async function writeAll(file: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    done += (await file.write(bytes, done, bytes.length - done)).bytesWritten;
  }
}

async function readExactly(file: FileHandle, offset: number, size: number, length: number): Promise<Buffer> {
  if (offset + size > length) throw damaged("it ends early", offset);
  const block = Buffer.alloc(size);
  const { bytesRead } = await file.read(block, 0, size, offset);
  if (bytesRead !== size) throw damaged("it ends early", offset);
  return block;
}

function damaged(what: string, offset: number): MicError {
  return new MicError("corrupt", `the backup is damaged: ${what} (byte ${offset})`, {
    hint: "use another backup",
    data: { offset },
  });
}
