/**
 * Shares the frames of a clone between this thread and a worker. The worker is kept a few frames ahead; what
 * does not fit its queue is written here. Started late, so that a small clone costs no thread.
 */
import { setImmediate } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { releaseBytes } from "../base/bytes.ts";
import type { MicError } from "../base/errors.ts";
import { workerEntry } from "../base/worker-entry.ts";
import type { CloneWorkerData, CloneWorkerMessage } from "./clone-worker.ts";
import { type CloneWriter, type FrameJob, STAT_FIELDS } from "./clone-writer.ts";
import { restoreError } from "./worker-error.ts";

/** Frames in the worker's queue: enough to bridge a frame that is written here. */
const QUEUE_MAX = 24;
/** Files that make a second thread worth its start. */
const FILES_MIN = 1500;

export class CloneThreads implements AsyncDisposable {
  readonly #writer: CloneWriter;
  /** STAT_FIELDS numbers per file of the clone. */
  readonly #stats: Float64Array;
  readonly #worker: Worker | undefined;
  readonly #done = new Int32Array(new SharedArrayBuffer(4));
  #sent = 0;
  #answered = 0;
  #failure: MicError | Error | undefined;
  #wake: (() => void) | undefined;

  constructor(stage: string, writer: CloneWriter, stats: Float64Array, workers: number) {
    this.#writer = writer;
    this.#stats = stats;
    if (workers === 0 || stats.length / STAT_FIELDS < FILES_MIN) return;
    const workerData: CloneWorkerData = { stage, done: this.#done.buffer as SharedArrayBuffer };
    this.#worker = new Worker(workerEntry("src/core/workspace/clone-worker.ts"), { workerData });
    this.#worker.on("message", (message: CloneWorkerMessage) => {
      this.#answered += 1;
      if ("error" in message) this.#failure ??= restoreError(message.error);
      else this.#fillIn(message.files, message.stats);
      this.#wake?.();
    });
    this.#worker.on("error", (error: Error) => {
      this.#failure ??= error;
      this.#wake?.();
    });
  }

  /** Takes `job.stored` over: it is gone afterwards. */
  async write(job: FrameJob): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure;
    // A view of a larger buffer is copied and left alone: others may need the rest.
    const isWhole = job.stored.byteLength === job.stored.buffer.byteLength;
    if (this.#worker !== undefined && this.#sent - Atomics.load(this.#done, 0) < QUEUE_MAX) {
      const stored = isWhole ? job.stored : job.stored.slice();
      this.#sent += 1;
      this.#worker.postMessage({ ...job, stored }, [stored.buffer as ArrayBuffer]);
      // Answers are delivered between turns of this thread's loop.
      if ((this.#sent & 15) === 0) await setImmediate();
      return;
    }
    this.#fillIn(job.files, this.#writer.write(job));
    if (isWhole) releaseBytes(job.stored);
  }

  /** Resolves when everything sent is on disk. */
  async finish(): Promise<void> {
    while (this.#answered < this.#sent && this.#failure === undefined) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    if (this.#failure !== undefined) throw this.#failure;
  }

  #fillIn(files: Uint32Array, stats: Float64Array): void {
    const all = this.#stats;
    for (let i = 0; i < files.length; i++) {
      const from = i * STAT_FIELDS;
      const to = files[i]! * STAT_FIELDS;
      all[to] = stats[from]!;
      all[to + 1] = stats[from + 1]!;
      all[to + 2] = stats[from + 2]!;
      all[to + 3] = stats[from + 3]!;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Waited for: after a failure nothing may go on writing behind the caller's back.
    await this.#worker?.terminate();
  }
}
