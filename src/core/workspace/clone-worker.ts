/** The clone's second thread: writes the frames it is sent, in order, and answers with stat data. */
import { parentPort, workerData } from "node:worker_threads";
import { releaseBytes } from "../base/bytes.ts";
import { CLONE_RESUME_HINT, CloneWriter, type FrameJob } from "./clone-writer.ts";
import { fileError } from "./file-error.ts";
import { describeError, type ErrorDescription } from "./worker-error.ts";

export interface CloneWorkerData {
  readonly stage: string;
  /** Int32: frames done so far, for a main thread that does not look at its messages. */
  readonly done: SharedArrayBuffer;
}

export type CloneWorkerMessage =
  | { readonly files: Uint32Array; readonly stats: Float64Array }
  | { readonly error: ErrorDescription };

const { stage, done } = workerData as CloneWorkerData;
const writer = new CloneWriter(stage);
const counter = new Int32Array(done);

parentPort!.on("message", (job: FrameJob) => {
  let answer: CloneWorkerMessage;
  try {
    answer = { files: job.files, stats: writer.write(job) };
  } catch (error) {
    answer = { error: describeError(fileError(error, "cannot write a file", CLONE_RESUME_HINT)) };
  }
  // It was sent to be ours alone.
  releaseBytes(job.stored);
  Atomics.add(counter, 0, 1);
  parentPort!.postMessage(answer);
});
