/**
 * Large objects of a local store: one file each, under a name that is never used twice. The row that names a
 * file is what publishes it; a file without a row does not exist.
 *
 * While a file has no row yet, or its row is about to go, an empty marker `writing/{pid}-{name}` stands for
 * it. A marker that a dead process left behind leads the next open to the file, which is removed when no row
 * names it. Sweeping and publishing both hold the database's write lock, and publishing checks that the
 * marker is still there, so a writer that was wrongly taken for dead (another pid namespace, a long sleep)
 * starts over instead of publishing a file that is gone.
 */
import { closeSync, existsSync, fstatSync, openSync, readdirSync, readSync, rmSync, statSync } from "node:fs";
import { mkdir, open, rm } from "node:fs/promises";
import { join } from "node:path";
import { kill, pid } from "node:process";
import { asPlainBytes, bytesToHex } from "../base/bytes.ts";
import { corrupt } from "../base/errors.ts";
import { LARGE_DIRECTORY } from "./is-local-store.ts";
import { errorCode, makeDirectories, syncDirectory, WRITING_DIRECTORY } from "./local-database.ts";

/** A marker this old is swept even when a process with its pid lives: pids are used again. */
const MARKER_AGE_MAX_MS = 60 * 60 * 1000;
/** A read up to this is done on the spot, a longer one by the thread pool. */
const SYNC_READ_BYTES_MAX = 2 << 20;
const MARKER = /^(\d+)-([0-9a-f]{32})$/;

export interface Marker {
  readonly path: string;
  readonly pid: number;
  /** Of the file that it stands for. */
  readonly name: string;
}

export class LargeFiles {
  readonly #directory: string;

  /** `directory`: of the store. */
  constructor(directory: string) {
    this.#directory = join(directory, LARGE_DIRECTORY);
  }

  /** Writes and syncs a new file, with its marker; returns its name. Nothing is left when it fails. */
  async write(bytes: Uint8Array): Promise<string> {
    const name = bytesToHex(crypto.getRandomValues(new Uint8Array(16)));
    const path = this.#pathOf(name);
    await mkdir(join(this.#directory, WRITING_DIRECTORY), { recursive: true });
    this.mark(name);
    try {
      await makeDirectories(join(path, ".."));
      const handle = await open(path, "wx");
      try {
        // In one call: `writeFile` writes half a megabyte per turn of a loop that may be busy with the next pack.
        for (let done = 0; done < bytes.length; ) {
          done += (await handle.write(bytes, done, bytes.length - done)).bytesWritten;
        }
        await handle.sync();
      } finally {
        await handle.close();
      }
      await syncDirectory(join(path, ".."));
      return name;
    } catch (error) {
      await this.remove(name);
      throw error;
    }
  }

  /**
   * Part of a file that holds `size` bytes. `undefined`: it is not there (any more). Throws `corrupt` when the
   * file has another size.
   */
  async read(name: string, size: number, start: number, end: number): Promise<Uint8Array | undefined> {
    const path = this.#pathOf(name);
    // A short read ends before a thread of the pool would have begun it.
    if (end - start <= SYNC_READ_BYTES_MAX) return readPart(path, size, start, end);
    let handle: Awaited<ReturnType<typeof open>>;
    try {
      handle = await open(path, "r");
    } catch (error) {
      if (errorCode(error) === "ENOENT") return undefined;
      throw error;
    }
    try {
      checkSize(path, (await handle.stat()).size, size);
      const bytes = newBytes(end - start);
      for (let done = 0; done < bytes.length; ) {
        const { bytesRead } = await handle.read(bytes, done, bytes.length - done, start + done);
        if (bytesRead === 0) throw corrupt(path, "ends while it is read", start + done);
        done += bytesRead;
      }
      return bytes;
    } finally {
      await handle.close();
    }
  }

  mark(name: string): void {
    closeSync(openSync(this.#markerOf(name), "w"));
  }

  /** Asked under the write lock, before the row is written. */
  isMarked(name: string): boolean {
    return existsSync(this.#markerOf(name));
  }

  /** The row is there: the file stays. */
  async unmark(name: string): Promise<void> {
    await rm(this.#markerOf(name), { force: true });
  }

  /** The file first, so that the marker outlives it. */
  async remove(name: string): Promise<void> {
    await rm(this.#pathOf(name), { force: true });
    await this.unmark(name);
  }

  /** Markers that no living writer holds. */
  abandoned(nowMs: number): Marker[] {
    let names: string[];
    try {
      names = readdirSync(join(this.#directory, WRITING_DIRECTORY));
    } catch (error) {
      if (errorCode(error) === "ENOENT") return [];
      throw error;
    }
    const markers: Marker[] = [];
    for (const text of names) {
      const match = MARKER.exec(text);
      if (match === null) continue;
      const marker = {
        path: join(this.#directory, WRITING_DIRECTORY, text),
        pid: Number(match[1]),
        name: match[2]!,
      };
      if (!isAlive(marker.pid) || isOld(marker.path, nowMs)) markers.push(marker);
    }
    return markers;
  }

  /** Under the write lock. */
  sweep(marker: Marker, isPublished: boolean): void {
    if (!isPublished) rmSync(this.#pathOf(marker.name), { force: true });
    rmSync(marker.path, { force: true });
  }

  #pathOf(name: string): string {
    return join(this.#directory, name.slice(0, 2), name);
  }

  #markerOf(name: string): string {
    return join(this.#directory, WRITING_DIRECTORY, `${pid}-${name}`);
  }
}

function readPart(path: string, size: number, start: number, end: number): Uint8Array | undefined {
  let file: number;
  try {
    file = openSync(path, "r");
  } catch (error) {
    if (errorCode(error) === "ENOENT") return undefined;
    throw error;
  }
  try {
    checkSize(path, fstatSync(file).size, size);
    const bytes = newBytes(end - start);
    for (let done = 0; done < bytes.length; ) {
      const count = readSync(file, bytes, done, bytes.length - done, start + done);
      if (count === 0) throw corrupt(path, "ends while it is read", start + done);
      done += count;
    }
    return bytes;
  } finally {
    closeSync(file);
  }
}

/** Memory of its own, not cleared: only for what is filled whole. */
function newBytes(length: number): Uint8Array {
  return asPlainBytes(Buffer.allocUnsafeSlow(length));
}

function checkSize(path: string, found: number, expected: number): void {
  if (found !== expected) throw corrupt(path, `has ${found} bytes instead of ${expected}`);
}

function isAlive(processId: number): boolean {
  try {
    kill(processId, 0);
    return true;
  } catch (error) {
    return errorCode(error) !== "ESRCH";
  }
}

function isOld(path: string, nowMs: number): boolean {
  const stat = statSync(path, { throwIfNoEntry: false });
  return stat !== undefined && nowMs - stat.mtimeMs > MARKER_AGE_MAX_MS;
}
