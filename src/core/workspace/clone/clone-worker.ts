/** The clone's second thread: writes the frames it is sent, in order. */
import { parentPort, workerData } from "node:worker_threads";
import { releaseBytes } from "../../base/bytes.ts";
import { GarbagePace } from "../../base/garbage.ts";
import { describeError, type ErrorDescription } from "../../base/worker-error.ts";
import { fileError } from "../disk/file-error.ts";
import { CLONE_RESUME_HINT, CloneWriter, type FrameJob, ROW_FIELDS } from "./writer.ts";

export interface CloneWorkerData {
  readonly stage: string;
  /** Int32: batches done so far, for a main thread that does not look at its messages. */
  readonly done: SharedArrayBuffer;
  /** Where the stored bytes of frames stand. */
  readonly slots: SharedArrayBuffer;
}

/** A job whose stored bytes are in a slot. */
export interface SlotJob extends Omit<FrameJob, "stored"> {
  /** Offset in `slots`. */
  readonly at: number;
  readonly storedLength: number;
}

/** `begin` comes first, `finish` last. */
export type CloneWorkerRequest =
  | { readonly kind: "begin"; readonly stats: Float64Array }
  /** Too large for a slot. */
  | { readonly kind: "frame"; readonly job: FrameJob }
  | { readonly kind: "frames"; readonly jobs: readonly SlotJob[] }
  | { readonly kind: "finish" };

/** `done` answers `finish`. */
export type CloneWorkerMessage =
  | { readonly kind: "done" }
  | { readonly kind: "error"; readonly error: ErrorDescription };

const { stage, done, slots } = workerData as CloneWorkerData;
const counter = new Int32Array(done);
const pace = new GarbagePace();
let writer: CloneWriter | undefined;

parentPort!.on("message", (request: CloneWorkerRequest) => {
  if (request.kind === "begin") writer = new CloneWriter(stage, request.stats);
  else if (request.kind === "finish") answer({ kind: "done" });
  else if (request.kind === "frames") writeFrames(request.jobs.map(fromSlot));
  else {
    writeFrames([request.job]);
    releaseBytes(request.job.stored);
  }
});

function fromSlot({ at, storedLength, ...rest }: SlotJob): FrameJob {
  return { ...rest, stored: new Uint8Array(slots, at, storedLength) };
}

function writeFrames(jobs: readonly FrameJob[]): void {
  try {
    for (const job of jobs) {
      writer!.write(job);
      pace.passed(job.rows.length / ROW_FIELDS);
    }
  } catch (error) {
    answer({
      kind: "error",
      error: describeError(fileError(error, "cannot write a file", CLONE_RESUME_HINT)),
    });
  }
  // The slot may be filled again.
  Atomics.add(counter, 0, 1);
}

function answer(message: CloneWorkerMessage): void {
  parentPort!.postMessage(message);
}
