/** The scan's second thread: takes tasks from the shared counter and posts one message at the end. */
import { parentPort, workerData } from "node:worker_threads";
import { describeError, type ErrorDescription } from "../../base/worker-error.ts";
import { WorkspaceIndex } from "../index/workspace-index.ts";
import { type PackedBatch, packBatch } from "./batch.ts";
import { runTasks, type ScanTasks, type TaskCounter } from "./tasks.ts";
import { ScanWalk } from "./walk.ts";

export interface ScanWorkerData {
  readonly root: string;
  /** The index as stored. */
  readonly index: SharedArrayBuffer | undefined;
  readonly sparse: readonly string[] | undefined;
  readonly stampMs: number;
  readonly keepModes: boolean;
  readonly tasks: ScanTasks;
  readonly counter: TaskCounter;
}

export type ScanWorkerMessage = { readonly batch: PackedBatch } | { readonly error: ErrorDescription };

async function main(): Promise<void> {
  const data = workerData as ScanWorkerData;
  const index = data.index === undefined ? WorkspaceIndex.empty() : WorkspaceIndex.fromShared(data.index);
  const walk = new ScanWalk({ ...data, index });
  await runTasks({ ...data, walk, index });
  const { message, transfer } = packBatch(walk.batch);
  parentPort?.postMessage({ batch: message } satisfies ScanWorkerMessage, transfer);
}

main().catch((error: unknown) => {
  parentPort?.postMessage({ error: describeError(error) } satisfies ScanWorkerMessage);
});
