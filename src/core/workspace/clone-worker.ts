/** The clone's second thread: writes the frames it is sent, in order. */
import { parentPort, workerData } from "node:worker_threads";
import { releaseBytes } from "../base/bytes.ts";
import { GarbagePace } from "../base/garbage.ts";
import { CLONE_RESUME_HINT, CloneWriter, type FrameJob, ROW_FIELDS } from "./clone-writer.ts";
import { fileError } from "./file-error.ts";
import { describeError, type ErrorDescription } from "./worker-error.ts";

export interface CloneWorkerData {
  readonly stage: string;
  /** Int32: frames done so far, for a main thread that does not look at its messages. */
  readonly done: SharedArrayBuffer;
}

/** `begin` comes first, `finish` last. */
export type CloneWorkerRequest =
  | { readonly kind: "begin"; readonly stats: Float64Array }
  | { readonly kind: "frame"; readonly job: FrameJob }
  | { readonly kind: "finish" };

/** `done` answers `finish`. */
export type CloneWorkerMessage =
  | { readonly kind: "done" }
  | { readonly kind: "error"; readonly error: ErrorDescription };

const { stage, done } = workerData as CloneWorkerData;
const counter = new Int32Array(done);
const pace = new GarbagePace();
let writer: CloneWriter | undefined;

parentPort!.on("message", (request: CloneWorkerRequest) => {
  if (request.kind === "begin") writer = new CloneWriter(stage, request.stats);
  else if (request.kind === "finish") answer({ kind: "done" });
  else writeFrame(request.job);
});

function writeFrame(job: FrameJob): void {
  try {
    writer!.write(job);
  } catch (error) {
    answer({
      kind: "error",
      error: describeError(fileError(error, "cannot write a file", CLONE_RESUME_HINT)),
    });
  }
  // It was sent to be ours alone.
  releaseBytes(job.stored);
  pace.passed(job.rows.length / ROW_FIELDS);
  Atomics.add(counter, 0, 1);
}

function answer(message: CloneWorkerMessage): void {
  parentPort!.postMessage(message);
}
