/**
 * Shares the frames of a clone between this thread and a worker. The worker is kept some frames ahead; what
 * does not fit its queue is written here. A small clone costs no thread.
 */
import { setImmediate } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { releaseBytes } from "../base/bytes.ts";
import { invariant, type MicError } from "../base/errors.ts";
import { workerEntry } from "../base/worker-entry.ts";
import type { CloneWorkerData, CloneWorkerMessage, CloneWorkerRequest } from "./clone-worker.ts";
import { CloneWriter, type FrameJob, STAT_FIELDS } from "./clone-writer.ts";
import { restoreError } from "./worker-error.ts";

/** Frames in the worker's queue: enough to bridge what this thread does between two of them. */
const QUEUE_MAX = 24;
/** Files that make a second thread worth its start. */
const FILES_MIN = 1500;

export class CloneThreads implements AsyncDisposable {
  readonly #stage: string;
  readonly #canStart: boolean;
  #writer: CloneWriter | undefined;
  #worker: Worker | undefined;
  readonly #done = new Int32Array(new SharedArrayBuffer(4));
  #sent = 0;
  #failure: MicError | Error | undefined;
  #isFinished = false;
  #wake: (() => void) | undefined;

  constructor(stage: string, workers: number) {
    this.#stage = stage;
    this.#canStart = workers > 0;
  }

  /** There will be at least so many files: the worker can start while they are still being listed. */
  expect(files: number): void {
    if (!this.#canStart || files < FILES_MIN || this.#worker !== undefined) return;
    const workerData: CloneWorkerData = {
      stage: this.#stage,
      done: this.#done.buffer as SharedArrayBuffer,
    };
    this.#worker = new Worker(workerEntry("src/core/workspace/clone-worker.ts"), { workerData });
    this.#worker.on("message", (message: CloneWorkerMessage) => {
      if (message.kind === "error") this.#failure ??= restoreError(message.error);
      else this.#isFinished = true;
      this.#wake?.();
    });
    this.#worker.on("error", (error: Error) => {
      this.#failure ??= error;
      this.#wake?.();
    });
  }

  /** Once, before the first frame. `stats`: STAT_FIELDS numbers per file, which both threads fill in. */
  begin(files: number): { readonly stats: Float64Array; readonly writer: CloneWriter } {
    this.expect(files);
    const bytes = files * STAT_FIELDS * Float64Array.BYTES_PER_ELEMENT;
    const stats = new Float64Array(
      this.#worker === undefined ? new ArrayBuffer(bytes) : new SharedArrayBuffer(bytes),
    );
    const writer = new CloneWriter(this.#stage, stats);
    this.#writer = writer;
    this.#post({ kind: "begin", stats });
    return { stats, writer };
  }

  /** Takes `job.stored` over: it is gone afterwards. */
  async write(job: FrameJob): Promise<void> {
    invariant(this.#writer !== undefined, "a frame before begin()");
    if (this.#failure !== undefined) throw this.#failure;
    // A view of a larger buffer is copied and left alone: others may need the rest.
    const isWhole = job.stored.byteLength === job.stored.buffer.byteLength;
    if (this.#worker !== undefined && this.#sent - Atomics.load(this.#done, 0) < QUEUE_MAX) {
      const stored = isWhole ? job.stored : job.stored.slice();
      this.#sent += 1;
      this.#post({ kind: "frame", job: { ...job, stored } }, [stored.buffer as ArrayBuffer]);
      // Errors are delivered between turns of this thread's loop.
      if ((this.#sent & 15) === 0) await setImmediate();
      return;
    }
    this.#writer.write(job);
    if (isWhole) releaseBytes(job.stored);
  }

  /** Resolves when everything sent is on disk. */
  async finish(): Promise<void> {
    this.#post({ kind: "finish" });
    while (this.#worker !== undefined && !this.#isFinished && this.#failure === undefined) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    if (this.#failure !== undefined) throw this.#failure;
  }

  #post(request: CloneWorkerRequest, transfer: readonly ArrayBuffer[] = []): void {
    this.#worker?.postMessage(request, transfer);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Waited for: after a failure nothing may go on writing behind the caller's back.
    await this.#worker?.terminate();
  }
}
