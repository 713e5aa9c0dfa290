/**
 * Turns files of the workspace into frames of content, in this thread and a worker: read, hashed and
 * compressed in runs of path order, which each thread takes as it becomes free.
 */
import { platform } from "node:os";
import { setImmediate } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { EMPTY_BYTES, utf8 } from "../../base/bytes.ts";
import { throwIfAborted } from "../../base/clock.ts";
import { invariant, MicError } from "../../base/errors.ts";
import { GarbagePace } from "../../base/garbage.ts";
import type { ObjectId } from "../../base/ids.ts";
import { CHUNK_THRESHOLD_BYTES } from "../../base/limits.ts";
import type { List } from "../../base/list.ts";
import type { TreePath } from "../../base/path.ts";
import { workerEntry } from "../../base/worker-entry.ts";
import { restoreError } from "../../base/worker-error.ts";
import type { ChunkList } from "../../codec/chunk-list.ts";
import type { Progress } from "../../forge/forge.ts";
import type { Frame } from "../../objects/frame.ts";
import { fileSystemTimeMs } from "../disk/stat.ts";
import { FilePacker } from "./batch.ts";
import {
  FILE_KINDS,
  NEXT,
  newPackControl,
  OUTSTANDING,
  type PackedResults,
  type PackMessage,
  type PackWorkerData,
  packResults,
  STOP,
  unpackFrames,
} from "./messages.ts";
import { PackedFiles, type SizedFile } from "./packed-files.ts";

export interface PackFilesOptions {
  readonly root: string;
  /** In path order. */
  readonly files: List<SizedFile>;
  /** Position at which content that the project already has was introduced (0: not known which). */
  readonly isKnown: (id: ObjectId) => number | undefined;
  /** The ids for which `isKnown` answers, 32 bytes each: without them the worker frames such content again. */
  readonly knownIds?: () => Uint8Array;
  /** Chunks of the version before. A chunk is reused when its hint is above 0: make hints absolute. */
  readonly priorChunks?: (path: TreePath) => ChunkList | undefined;
  /** Looks for secrets in new content: `PackedFiles.secrets()`. Default false. */
  readonly findsSecrets?: boolean;
  /** Frames come nearly in path order. No more are made while the answer is pending. */
  readonly onFrame: (frame: Frame) => void | Promise<void>;
  /** Worker threads for much content: 0 or 1, default 1. */
  readonly workers?: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: Progress) => void;
  /** Default: of this machine. On `win32` files keep the kind that is given. */
  readonly platform?: string;
}

const BATCH_BYTES = 4 << 20;
const BATCH_FILES = 1024;
/** What a file costs besides its bytes. */
const FILE_WEIGHT_BYTES = 4 << 10;
/** Below this a worker costs more than it brings. */
const PARALLEL_WEIGHT_MIN = 16 << 20;

/**
 * In the order of `files`. Errors, which name the file: `forbidden`, `dirty` (it changes while it is read, or
 * is gone), `aborted`. Frames that were given out by then are of no use.
 */
export async function packFiles(options: PackFilesOptions): Promise<PackedFiles> {
  const { files, priorChunks } = options;
  const kinds = new Uint8Array(files.length);
  const shared: number[] = [];
  const own: number[] = [];
  let total = 0;
  let weight = 0;
  let from = 0;
  let i = 0;
  for (const { kind, size } of files) {
    kinds[i] = FILE_KINDS.indexOf(kind);
    const large = size > CHUNK_THRESHOLD_BYTES;
    const mustBeOwn = large && priorChunks !== undefined;
    if (large && i > from) {
      shared.push(from, i);
      from = i;
    }
    weight += size + FILE_WEIGHT_BYTES;
    total += size + FILE_WEIGHT_BYTES;
    i++;
    if (!large && weight < BATCH_BYTES && i - from < BATCH_FILES && i < files.length) continue;
    (mustBeOwn ? own : shared).push(from, i);
    from = i;
    weight = 0;
  }
  const parallel = (options.workers ?? 1) > 0 && total >= PARALLEL_WEIGHT_MIN && shared.length > 2;
  return new PackRun(options).run(own, Int32Array.from(shared), parallel ? kinds : undefined);
}

class PackRun {
  readonly #options: PackFilesOptions;
  readonly #stampMs: number;
  readonly #keepModes: boolean;
  readonly #control = newPackControl();
  readonly #packed: PackedFiles;
  readonly #pace = new GarbagePace();
  #done = 0;

  readonly #inbox: PackMessage[] = [];
  #wake: (() => void) | undefined;
  #workerEnded = true;
  #workerFailure: unknown;

  constructor(options: PackFilesOptions) {
    this.#options = options;
    this.#stampMs = fileSystemTimeMs(options.root);
    this.#keepModes = (options.platform ?? platform()) === "win32";
    this.#packed = new PackedFiles(options.files);
  }

  /** `workerKinds`: of each file, for a worker; undefined to do without one. */
  async run(
    own: readonly number[],
    shared: Int32Array,
    workerKinds: Uint8Array | undefined,
  ): Promise<PackedFiles> {
    if (workerKinds !== undefined) this.#startWorker(shared, workerKinds);
    try {
      await this.#packHere(own, shared);
      while (!this.#workerEnded || this.#inbox.length > 0) await this.#takeMessages();
      if (this.#workerFailure !== undefined) throw this.#workerFailure;
    } finally {
      // After an error: the worker must neither wait for us nor go on reading behind the caller's back.
      Atomics.store(this.#control, STOP, 1);
      Atomics.notify(this.#control, OUTSTANDING);
      while (!this.#workerEnded) await this.#nextMessage();
    }
    invariant(this.#done === this.#options.files.length, "a file was not packed");
    return this.#packed;
  }

  async #packHere(own: readonly number[], shared: Int32Array): Promise<void> {
    const { root, isKnown, priorChunks, files } = this.#options;
    const packer = new FilePacker({
      root,
      stampMs: this.#stampMs,
      keepModes: this.#keepModes,
      findsSecrets: this.#options.findsSecrets === true,
      known: isKnown,
      priorChunks: priorChunks && ((path) => priorChunks(path as TreePath)?.chunks),
      emit: async (frames) => {
        for (const frame of frames) await this.#options.onFrame(frame);
        await this.#between();
      },
    });
    const pack = async (from: number, to: number): Promise<void> => {
      this.#store(from, packResults(await packer.pack(files.slice(from, to))));
      await this.#between();
    };
    for (let i = 0; i < own.length; i += 2) await pack(own[i]!, own[i + 1]!);
    for (;;) {
      const batch = Atomics.add(this.#control, NEXT, 1);
      if (batch * 2 >= shared.length) return;
      await pack(shared[batch * 2]!, shared[batch * 2 + 1]!);
    }
  }

  #store(from: number, results: PackedResults): void {
    this.#packed.store(from, results, (id) => this.#hintOf(id));
    this.#done += results.kinds.length;
    this.#pace.passed(results.kinds.length);
  }

  async #between(): Promise<void> {
    const { signal, onProgress, files } = this.#options;
    onProgress?.({ done: this.#done, total: files.length, unit: "files" });
    // Messages, timers and signals arrive only when this thread lets them.
    if (!this.#workerEnded || signal !== undefined || onProgress !== undefined) await setImmediate();
    throwIfAborted(signal);
    if (this.#inbox.length > 0) await this.#takeMessages();
  }

  #startWorker(batches: Int32Array, kinds: Uint8Array): void {
    const { root, files, knownIds } = this.#options;
    const paths: Uint8Array[] = [];
    for (let i = 0; i < batches.length; i += 2) {
      const batch = files.slice(batches[i], batches[i + 1]);
      paths.push(utf8(batch.map(({ path }) => path).join("\0")));
    }
    const data: PackWorkerData = {
      root,
      stampMs: this.#stampMs,
      keepModes: this.#keepModes,
      findsSecrets: this.#options.findsSecrets === true,
      paths,
      kinds,
      batches,
      knownIds: knownIds?.() ?? EMPTY_BYTES,
      control: this.#control,
    };
    const worker = new Worker(workerEntry("src/core/workspace/packing/pack-worker.ts"), {
      workerData: data,
      transferList: paths.map((text) => text.buffer as ArrayBuffer),
    });
    this.#workerEnded = false;
    const end = (failure?: unknown): void => {
      if (!this.#workerEnded) this.#workerFailure = failure;
      this.#workerEnded = true;
      worker.unref();
      this.#wake?.();
    };
    worker.on("message", (message: PackMessage) => {
      if (message.kind === "done") end();
      else if (message.kind === "error") end(restoreError(message.error));
      else {
        this.#inbox.push(message);
        this.#wake?.();
      }
    });
    worker.on("error", end);
    worker.on("exit", (code) => end(new MicError("internal", `the packing worker ended with code ${code}`)));
  }

  async #takeMessages(): Promise<void> {
    if (this.#inbox.length === 0) await this.#nextMessage();
    for (let message = this.#inbox.shift(); message !== undefined; message = this.#inbox.shift()) {
      if (message.kind === "frames") {
        for (const frame of unpackFrames(message.frames)) await this.#options.onFrame(frame);
        Atomics.sub(this.#control, OUTSTANDING, message.kib);
        Atomics.notify(this.#control, OUTSTANDING);
      } else if (message.kind === "results") {
        this.#store(message.from, message.results);
      }
      throwIfAborted(this.#options.signal);
    }
  }

  #hintOf(id: ObjectId): number {
    const hint = this.#options.isKnown(id);
    invariant(hint !== undefined, "knownIds holds an id that isKnown does not know");
    return hint;
  }

  async #nextMessage(): Promise<void> {
    if (this.#workerEnded) return;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
    this.#wake = undefined;
  }
}
