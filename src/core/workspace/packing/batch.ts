/**
 * Reads, hashes and frames one run of files in path order; both threads of `packFiles` do this. A file is
 * framed while its bytes are still in the processor's cache.
 */
import {
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  openSync,
  readlinkSync,
  readSync,
  type Stats,
} from "node:fs";
import { bytesToHex } from "../../base/bytes.ts";
import { isMicError, MicError } from "../../base/errors.ts";
import { hashBytes, hashObject } from "../../base/hash.ts";
import type { ObjectId } from "../../base/ids.ts";
import { BLOB_FRAME_RAW_BYTES, CHUNK_THRESHOLD_BYTES } from "../../base/limits.ts";
import type { Chunk } from "../../codec/chunk-list.ts";
import type { EntryKind } from "../../codec/tree-entry.ts";
import type { Frame } from "../../objects/frame.ts";
import { FrameBuilder } from "../../objects/frame-builder.ts";
import { IdNumbers } from "../../objects/id-numbers.ts";
import { LargeContentFramer } from "../../objects/large-content.ts";
import { type FoundSecret, findSecretsIn } from "../../secrets/scanner.ts";
import { type FileStat, fileStatOf, kindOfMode, trustedStat } from "../disk/stat.ts";
import { errorCode, isMissing } from "../layout.ts";

export interface FileToPack {
  readonly path: string;
  readonly kind: EntryKind;
}

export interface PackResult {
  readonly kind: EntryKind;
  readonly size: number;
  readonly id: ObjectId;
  readonly chunks: ObjectId | undefined;
  /** Where known content was introduced; 0 for content that is among the frames. */
  readonly hint: number;
  readonly stat: FileStat | undefined;
  readonly secrets?: readonly FoundSecret[];
}

export interface PackerOptions {
  readonly root: string;
  /** Time of the file system before anything is read: see stat.ts. */
  readonly stampMs: number;
  /** The file system knows no execute bit. */
  readonly keepModes: boolean;
  /** Hint of content that need not be framed, or undefined. `id` is the same as `bytes`. */
  readonly known: (id: ObjectId, bytes: Uint8Array) => number | undefined;
  /** Chunks of the version before, with the positions at which they were introduced. */
  readonly priorChunks?: ((path: string) => readonly Chunk[] | undefined) | undefined;
  /** Looks for secrets in new content, of large files in their beginning. */
  readonly findsSecrets: boolean;
  /** Takes finished frames; called at least once for every few MiB of a large file. */
  readonly emit: (frames: Frame[]) => void | Promise<void>;
}

const OPEN_FLAGS = constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0);
const LARGE_READ_BYTES = 1 << 20;
/** How often a file that changes while it is read is read again. */
const ATTEMPTS_MAX = 5;

/** Thrown and caught here: the file was not the same before and after. */
class ChangedWhileRead extends Error {}

export class FilePacker {
  readonly #options: PackerOptions;
  readonly #builder = new FrameBuilder({ rawTarget: BLOB_FRAME_RAW_BYTES });
  /** Whole files framed by this packer already. */
  readonly #framed = new IdNumbers();
  /** Chunks and chunk lists framed by it. */
  readonly #framedParts = new Set<string>();
  /** One byte more than the largest file that is read whole, so that growth is seen. */
  readonly #buffer = new Uint8Array(CHUNK_THRESHOLD_BYTES + 1);

  constructor(options: PackerOptions) {
    this.#options = options;
  }

  /** Emits what is complete. Errors name the file: `forbidden`, `dirty` when it does not hold still. */
  async pack(files: readonly FileToPack[]): Promise<PackResult[]> {
    const results: PackResult[] = [];
    for (const file of files) {
      const packed = this.#packFile(file);
      results.push(packed instanceof Promise ? await packed : packed);
    }
    await this.#emit(this.#builder.finish());
    return results;
  }

  #packFile(file: FileToPack): PackResult | Promise<PackResult> {
    const absolute = `${this.#options.root}/${file.path}`;
    for (let attempt = 1; ; attempt++) {
      try {
        return file.kind === "symlink" ? this.#packLink(absolute) : this.#packContent(file, absolute);
      } catch (error) {
        if (!(error instanceof ChangedWhileRead)) throw describe(error, file.path);
        if (attempt === ATTEMPTS_MAX) throw changedWhileRead(file.path);
      }
    }
  }

  #packLink(absolute: string): PackResult {
    const target = readlinkSync(absolute, "buffer");
    const stats = lstatSync(absolute);
    if (!stats.isSymbolicLink() || stats.size !== target.length) throw new ChangedWhileRead();
    return {
      ...this.#addBlob(target),
      kind: "symlink",
      size: target.length,
      stat: this.#trusted(stats, target),
    };
  }

  #trusted(stats: Stats, content: Uint8Array): FileStat | undefined {
    const stat = fileStatOf(stats);
    return stat.size === content.length ? trustedStat(stat, this.#options.stampMs) : undefined;
  }

  #packContent(file: FileToPack, absolute: string): PackResult | Promise<PackResult> {
    const handle = openSync(absolute, OPEN_FLAGS);
    let keepOpen = false;
    try {
      let length = readSync(handle, this.#buffer, 0, this.#buffer.length, 0);
      const stats = fstatSync(handle);
      if (length < stats.size) length = readRest(handle, this.#buffer, length);
      if (length === this.#buffer.length) {
        keepOpen = true;
        return this.#packLarge(file, absolute, handle);
      }
      if (!stats.isFile() || stats.size !== length) throw new ChangedWhileRead();
      const content = this.#buffer.subarray(0, length);
      const stat = trustedStat(fileStatOf(stats), this.#options.stampMs);
      // Trusted: not touched since before it was opened. Otherwise it may have been written to while it was
      // read, and only reading the same twice shows that it was not.
      const blob = hashBytes(content);
      if (stat === undefined && !readsAgainAs(handle, this.#buffer, blob, stats))
        throw new ChangedWhileRead();
      const added = this.#addHashed(blob, content);
      const secrets = added.hint === 0 ? this.#secretsOf(file, content) : undefined;
      return {
        ...added,
        kind: this.#kind(file, stats),
        size: length,
        stat,
        ...(secrets === undefined ? {} : { secrets }),
      };
    } finally {
      if (!keepOpen) closeSync(handle);
    }
  }

  #secretsOf(file: FileToPack, content: Uint8Array): readonly FoundSecret[] | undefined {
    if (!this.#options.findsSecrets) return undefined;
    const found = findSecretsIn(file.path, content);
    return found.length === 0 ? undefined : found;
  }

  #kind(file: FileToPack, stats: Stats): EntryKind {
    if (this.#options.keepModes) return file.kind;
    return kindOfMode(stats.mode) === "executable" ? "executable" : "file";
  }

  #addBlob(content: Uint8Array): { id: ObjectId; chunks: undefined; hint: number } {
    return this.#addHashed(hashBytes(content), content);
  }

  #addHashed(hash: Uint8Array, content: Uint8Array): { id: ObjectId; chunks: undefined; hint: number } {
    const id = bytesToHex(hash) as ObjectId;
    const hint = this.#options.known(id, hash);
    const framed = this.#framed.count;
    if (hint === undefined && this.#framed.add(hash) === framed) this.#builder.add("blob", id, content);
    return { id, chunks: undefined, hint: hint ?? 0 };
  }

  /** A file above the threshold, in one pass with bounded memory. Closes `handle`. */
  async #packLarge(file: FileToPack, absolute: string, handle: number): Promise<PackResult> {
    let open: number | undefined = handle;
    try {
      for (let attempt = 1; ; attempt++) {
        open ??= openSync(absolute, OPEN_FLAGS);
        const result = await this.#streamLarge(file, open);
        if (result !== undefined) return result;
        closeSync(open);
        open = undefined;
        if (attempt === ATTEMPTS_MAX) throw changedWhileRead(file.path);
      }
    } catch (error) {
      throw describe(error, file.path);
    } finally {
      if (open !== undefined) closeSync(open);
    }
  }

  /** Undefined when the file changed meanwhile: what was framed of it is left over, and harmless. */
  async #streamLarge(file: FileToPack, handle: number): Promise<PackResult | undefined> {
    const before = fstatSync(handle);
    if (!before.isFile()) return undefined;
    const prior = new Map<string, Chunk>();
    for (const chunk of this.#options.priorChunks?.(file.path) ?? []) prior.set(chunk.id, chunk);
    const framer = new LargeContentFramer({
      builder: this.#builder,
      framed: this.#framedParts,
      known: (id) => prior.get(id),
    });
    const buffer = this.#buffer.subarray(0, LARGE_READ_BYTES);
    let secrets: readonly FoundSecret[] | undefined;
    let read = 0;
    for (;;) {
      const length = readSync(handle, buffer, 0, buffer.length, read);
      if (length === 0) break;
      if (read === 0) secrets = this.#secretsOf(file, buffer.subarray(0, length));
      framer.push(buffer.subarray(0, length));
      read += length;
      await this.#emit(this.#builder.takeFull());
    }
    const { id, size, list } = framer.finish();
    await this.#emit(this.#builder.takeFull());
    const after = fstatSync(handle);
    if (after.size !== size || !sameTimes(before, after)) return undefined;
    if (size <= CHUNK_THRESHOLD_BYTES) return undefined;
    const chunks = hashObject(list.content);
    if (!this.#framedParts.has(chunks)) {
      this.#framedParts.add(chunks);
      this.#builder.add("chunk-list", chunks, list.content, list.sidecar);
    }
    const stat = trustedStat(fileStatOf(after), this.#options.stampMs);
    return {
      kind: this.#kind(file, after),
      size,
      id,
      stat,
      chunks,
      hint: 0,
      ...(secrets === undefined ? {} : { secrets }),
    };
  }

  async #emit(frames: Frame[]): Promise<void> {
    if (frames.length > 0) await this.#options.emit(frames);
  }
}

/** A read of a regular file is short only at its end, except on some network file systems. */
function readRest(handle: number, buffer: Uint8Array, start: number): number {
  let length = start;
  while (length < buffer.length) {
    const more = readSync(handle, buffer, length, buffer.length - length, length);
    if (more === 0) break;
    length += more;
  }
  return length;
}

function readsAgainAs(handle: number, buffer: Uint8Array, hash: Uint8Array, before: Stats): boolean {
  const length = readRest(handle, buffer, 0);
  const after = fstatSync(handle);
  if (length !== before.size || !sameTimes(before, after)) return false;
  return bytesToHex(hashBytes(buffer.subarray(0, length))) === bytesToHex(hash);
}

function sameTimes(a: Stats, b: Stats): boolean {
  return a.mtimeMs === b.mtimeMs && a.ctimeMs === b.ctimeMs && a.size === b.size;
}

function changedWhileRead(path: string): MicError {
  return new MicError("dirty", `${path} changes while it is being read`, {
    hint: "run this again when nothing writes to it",
    kind: "retry",
    data: { paths: [path] },
  });
}

/** A link, no link any more, a directory, a socket, a pipe. */
const SOMETHING_ELSE_NOW = new Set(["ELOOP", "EINVAL", "EISDIR", "ENXIO", "EAGAIN", "ESPIPE"]);

function describe(error: unknown, path: string): unknown {
  if (isMicError(error)) return error;
  const code = errorCode(error);
  if (code === "EACCES" || code === "EPERM") {
    return new MicError("forbidden", `${path} cannot be read: permission denied`, {
      hint: "change its permissions, or exclude it with .micignore",
      cause: error,
      data: { paths: [path] },
    });
  }
  if (isMissing(error) || (code !== undefined && SOMETHING_ELSE_NOW.has(code))) {
    return changedWhileRead(path);
  }
  return error;
}
