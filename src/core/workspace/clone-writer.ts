/**
 * Writes the files of one frame below a staging directory that nobody else uses: hash, open, write, stat,
 * close, nothing more. The same code runs in the main thread and in the clone's worker, so its input and
 * output are columns that cross between threads without being walked.
 */
import { closeSync, fstatSync, lstatSync, mkdirSync, openSync, symlinkSync, writeSync } from "node:fs";
import { asBuffer, fromUtf8, releaseBytes } from "../base/bytes.ts";
import { decompress } from "../base/compress.ts";
import { corrupt } from "../base/errors.ts";
import { hashBytes } from "../base/hash.ts";
import type { EntryKind } from "../codec/tree-entry.ts";
import { errorCode } from "./layout.ts";

export const CLONE_KINDS: readonly EntryKind[] = ["file", "executable", "symlink"];
export const CLONE_RESUME_HINT = "put right what stopped it and run the same `mic clone` again to continue";
/** Numbers per file in the answer: mtime, ctime, size, inode. */
export const STAT_FIELDS = 4;

/** One row per file; equal content at two paths makes two rows. */
export interface FrameJob {
  readonly stored: Uint8Array;
  readonly rawLength: number;
  readonly compressed: boolean;
  /** Of the content in the raw frame, and its length. */
  readonly offsets: Uint32Array;
  readonly lengths: Uint32Array;
  /** Index into CLONE_KINDS. */
  readonly kinds: Uint8Array;
  /** 32 bytes each. */
  readonly ids: Uint8Array;
  /** Joined by NUL. */
  readonly paths: string;
  /** Which of the clone's files each row is. */
  readonly files: Uint32Array;
}

export class CloneWriter {
  readonly #stage: string;
  readonly #made = new Set<string>([""]);

  /** `stage` exists. */
  constructor(stage: string) {
    this.#stage = stage;
  }

  /** Stat data of the files, STAT_FIELDS numbers each. Errors: `corrupt`; the file system's pass through. */
  write(job: FrameJob): Float64Array {
    const raw = job.compressed ? decompress(job.stored, job.rawLength, "frame") : job.stored;
    const paths = job.paths.split("\0");
    const stats = new Float64Array(paths.length * STAT_FIELDS);
    const ids = asBuffer(job.ids);
    for (let i = 0; i < paths.length; i++) {
      const offset = job.offsets[i]!;
      const end = offset + job.lengths[i]!;
      if (end > raw.length) throw corrupt("frame", `object ends at ${end} of ${raw.length} bytes`, offset);
      const content = raw.subarray(offset, end);
      // Rows of one object follow each other. Two objects in one place are two, whatever a frame says.
      const isSameObject =
        i > 0 &&
        offset === job.offsets[i - 1] &&
        job.lengths[i] === job.lengths[i - 1] &&
        ids.compare(ids, i * 32 - 32, i * 32, i * 32, i * 32 + 32) === 0;
      if (!isSameObject && ids.compare(hashBytes(content), 0, 32, i * 32, i * 32 + 32) !== 0) {
        throw corrupt("the project's content", `${paths[i]} is not what its id says`);
      }
      this.writeFile(paths[i]!, job.kinds[i]!, content, stats, i);
    }
    if (job.compressed) releaseBytes(raw);
    return stats;
  }

  /** Complete when this returns; `row` of `stats` is filled in. */
  writeFile(path: string, kind: number, content: Uint8Array, stats: Float64Array, row: number): void {
    this.makeParents(path);
    const absolute = `${this.#stage}/${path}`;
    let found: { mtimeMs: number; ctimeMs: number; size: number; ino: number };
    if (kind === 2) {
      symlinkSync(fromUtf8(content, `the target of ${path}`), absolute);
      found = lstatSync(absolute);
    } else {
      const file = openSync(absolute, "wx", kind === 1 ? 0o777 : 0o666);
      try {
        for (let done = 0; done < content.length; ) {
          done += writeSync(file, content, done, content.length - done);
        }
        found = fstatSync(file);
      } finally {
        closeSync(file);
      }
    }
    const at = row * STAT_FIELDS;
    stats[at] = found.mtimeMs;
    stats[at + 1] = found.ctimeMs;
    stats[at + 2] = found.size;
    stats[at + 3] = found.ino;
  }

  makeParents(path: string): void {
    const slash = path.lastIndexOf("/");
    if (slash !== -1) this.#make(path.slice(0, slash));
  }

  #make(dir: string): void {
    if (this.#made.has(dir)) return;
    const slash = dir.lastIndexOf("/");
    if (slash !== -1) this.#make(dir.slice(0, slash));
    try {
      mkdirSync(`${this.#stage}/${dir}`);
    } catch (error) {
      // The other thread made it.
      if (errorCode(error) !== "EEXIST") throw error;
    }
    this.#made.add(dir);
  }
}
