/**
 * Writes the files of one frame below a staging directory that nobody else uses: hash, open, write, stat,
 * close, nothing more. The same code runs in the main thread and in the clone's worker, so its input and
 * output are columns that cross between threads without being walked.
 */
import { closeSync, fstatSync, lstatSync, mkdirSync, openSync, symlinkSync, writeSync } from "node:fs";
import { asBuffer, fromUtf8, releaseBytes } from "../../base/bytes.ts";
import { decompress } from "../../base/compress.ts";
import { corrupt } from "../../base/errors.ts";
import { hashBytes } from "../../base/hash.ts";
import type { EntryKind } from "../../codec/tree-entry.ts";

export const CLONE_KINDS: readonly EntryKind[] = ["file", "executable", "symlink"];
export const CLONE_RESUME_HINT = "put right what stopped it and run the same `mic clone` again to continue";
/** Numbers per file: mtime, ctime, size, inode. */
export const STAT_FIELDS = 4;
/** Numbers per row of a job: offset of the content in the raw frame, its length, index into CLONE_KINDS, file. */
export const ROW_FIELDS = 4;

/** One row per file; equal content at two paths makes two rows. */
export interface FrameJob {
  readonly stored: Uint8Array;
  readonly rawLength: number;
  readonly compressed: boolean;
  /** ROW_FIELDS each; rows of one content follow each other. */
  readonly rows: Uint32Array;
  /** 32 bytes each. */
  readonly ids: Uint8Array;
  /** Joined by NUL. */
  readonly paths: string;
}

export class CloneWriter {
  readonly #stage: string;
  readonly #stats: Float64Array;
  readonly #made = new Set<string>([""]);

  /** `stage` exists by the first write. `stats`: STAT_FIELDS numbers for every file of the clone, to be filled in. */
  constructor(stage: string, stats: Float64Array) {
    this.#stage = stage;
    this.#stats = stats;
  }

  /** Errors: `corrupt`; the file system's pass through. */
  write(job: FrameJob): void {
    const raw = job.compressed ? decompress(job.stored, job.rawLength, "frame") : job.stored;
    const paths = job.paths.split("\0");
    const { rows } = job;
    const ids = asBuffer(job.ids);
    for (let i = 0, at = 0; i < paths.length; i++, at += ROW_FIELDS) {
      const offset = rows[at]!;
      const end = offset + rows[at + 1]!;
      if (end > raw.length) throw corrupt("frame", `object ends at ${end} of ${raw.length} bytes`, offset);
      const content = raw.subarray(offset, end);
      // Rows of one object follow each other. Two objects in one place are two, whatever a frame says.
      const isSameObject =
        i > 0 &&
        offset === rows[at - ROW_FIELDS] &&
        rows[at + 1] === rows[at + 1 - ROW_FIELDS] &&
        ids.compare(ids, i * 32 - 32, i * 32, i * 32, i * 32 + 32) === 0;
      if (!isSameObject && ids.compare(hashBytes(content), 0, 32, i * 32, i * 32 + 32) !== 0) {
        throw corrupt("the project's content", `${paths[i]} is not what its id says`);
      }
      this.writeFile(paths[i]!, rows[at + 2]!, content, rows[at + 3]!);
    }
    if (job.compressed) releaseBytes(raw);
  }

  /** Complete when this returns; the stat data of `file` are filled in. */
  writeFile(path: string, kind: number, content: Uint8Array, file: number): void {
    this.makeParents(path);
    const absolute = `${this.#stage}/${path}`;
    let found: { mtimeMs: number; ctimeMs: number; size: number; ino: number };
    if (kind === 2) {
      symlinkSync(fromUtf8(content, `the target of ${path}`), absolute);
      found = lstatSync(absolute);
    } else {
      const handle = openSync(absolute, "wx", kind === 1 ? 0o777 : 0o666);
      try {
        for (let done = 0; done < content.length; ) {
          done += writeSync(handle, content, done, content.length - done);
        }
        found = fstatSync(handle);
      } finally {
        closeSync(handle);
      }
    }
    const stats = this.#stats;
    const at = file * STAT_FIELDS;
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
    // The other thread may have made it: recursive, that is no error, and an error costs more than a file.
    mkdirSync(`${this.#stage}/${dir}`, { recursive: true });
    // A copy: a slice keeps the whole text alive that it was cut from.
    this.#made.add(`${dir}/`.slice(0, -1));
  }
}
