/**
 * Shares the frames of a clone between this thread and a worker. The worker is kept some frames ahead; what
 * does not fit its queue is written here. A small clone costs no thread.
 */
import { setImmediate } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { EMPTY_BYTES } from "../../base/bytes.ts";
import { invariant, type MicError } from "../../base/errors.ts";
import { workerEntry } from "../../base/worker-entry.ts";
import { restoreError } from "../../base/worker-error.ts";
import type { CloneWorkerData, CloneWorkerMessage, CloneWorkerRequest, SlotJob } from "./clone-worker.ts";
import { CloneWriter, type FrameJob, ROW_FIELDS, STAT_FIELDS } from "./writer.ts";

/** Batches in the worker's queue: enough to bridge what this thread does between two of them. */
const SLOTS = 8;
/** Stored bytes of a batch. */
const SLOT_BYTES = 256 << 10;
/** A batch with so many files is not added to: what the worker has left at the end, this thread waits for. */
const BATCH_FILES_MIN = 1000;
/** Files that make a second thread worth its start. */
const FILES_MIN = 1500;

export class CloneThreads implements AsyncDisposable {
  readonly #stage: string;
  readonly #canStart: boolean;
  #writer: CloneWriter | undefined;
  #worker: Worker | undefined;
  /** Batches that the worker is done with. */
  readonly #done = new Int32Array(new SharedArrayBuffer(4));
  #sent = 0;
  /** Carry the stored bytes of batches in turn: new memory for each would cost more than the copy. */
  #slots = EMPTY_BYTES;
  /** The batch that is being filled. */
  #batch: SlotJob[] = [];
  #batchBytes = 0;
  #batchFiles = 0;
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
    this.#slots = new Uint8Array(new SharedArrayBuffer(SLOTS * SLOT_BYTES));
    const workerData: CloneWorkerData = {
      stage: this.#stage,
      done: this.#done.buffer as SharedArrayBuffer,
      slots: this.#slots.buffer as SharedArrayBuffer,
    };
    this.#worker = new Worker(workerEntry("src/core/workspace/clone/clone-worker.ts"), { workerData });
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

  /** `job.stored` is not needed any more when this returns. */
  async write(job: FrameJob): Promise<void> {
    invariant(this.#writer !== undefined, "a frame before begin()");
    if (this.#failure !== undefined) throw this.#failure;
    if (!this.#takeUp(job)) {
      this.#writer.write(job);
      return;
    }
    // Errors are delivered between turns of this thread's loop.
    if (this.#batch.length === 0 && (this.#sent & 3) === 0) await setImmediate();
  }

  /** Puts a frame into a batch for the worker, unless it is busy enough. */
  #takeUp(job: FrameJob): boolean {
    if (this.#worker === undefined) return false;
    if (this.#batchBytes + job.stored.length > SLOT_BYTES) this.#sendBatch();
    const queued = this.#sent - Atomics.load(this.#done, 0);
    if (this.#batch.length === 0 && queued >= SLOTS) return false;
    if (job.stored.length > SLOT_BYTES) {
      const stored = new Uint8Array(job.stored);
      this.#worker.postMessage({ kind: "frame", job: { ...job, stored } }, [stored.buffer]);
      this.#sent += 1;
      return true;
    }
    const at = (this.#sent % SLOTS) * SLOT_BYTES + this.#batchBytes;
    this.#slots.set(job.stored, at);
    const { stored, ...rest } = job;
    this.#batch.push({ ...rest, at, storedLength: stored.length });
    this.#batchBytes += stored.length;
    this.#batchFiles += job.rows.length / ROW_FIELDS;
    if (queued < 2 || this.#batchFiles >= BATCH_FILES_MIN) this.#sendBatch();
    return true;
  }

  #sendBatch(): void {
    if (this.#batch.length === 0) return;
    this.#post({ kind: "frames", jobs: this.#batch });
    this.#sent += 1;
    this.#batch = [];
    this.#batchBytes = 0;
    this.#batchFiles = 0;
  }

  /** Resolves when everything sent is on disk. */
  async finish(): Promise<void> {
    this.#sendBatch();
    this.#post({ kind: "finish" });
    while (this.#worker !== undefined && !this.#isFinished && this.#failure === undefined) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    if (this.#failure !== undefined) throw this.#failure;
  }

  #post(request: CloneWorkerRequest): void {
    this.#worker?.postMessage(request);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Waited for: after a failure nothing may go on writing behind the caller's back.
    await this.#worker?.terminate();
  }
}
