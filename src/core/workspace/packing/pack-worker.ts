/** The second packing thread: takes batches from the shared counter, and waits when it gets too far ahead. */
import { parentPort, workerData } from "node:worker_threads";
import { fromUtf8 } from "../../base/bytes.ts";
import { GarbagePace } from "../../base/garbage.ts";
import { describeError } from "../../base/worker-error.ts";
import type { Frame } from "../../objects/frame.ts";
import { IdTable } from "../index/id-table.ts";
import { FilePacker } from "./batch.ts";
import {
  FILE_KINDS,
  NEXT,
  OUTSTANDING,
  type PackMessage,
  type PackWorkerData,
  packFrames,
  packResults,
  STOP,
} from "./messages.ts";

/** Frames that the main thread has not taken over yet. */
const OUTSTANDING_KIB_MAX = 8 << 10;

function post(message: PackMessage, transfer: ArrayBuffer[] = []): void {
  parentPort?.postMessage(message, transfer);
}

function emit(control: Int32Array, frames: Frame[]): void {
  const { packed, transfer } = packFrames(frames);
  const kib = Math.ceil(packed.stored.reduce((sum, bytes) => sum + bytes.length, 0) / 1024);
  for (;;) {
    const outstanding = Atomics.load(control, OUTSTANDING);
    if (outstanding < OUTSTANDING_KIB_MAX || Atomics.load(control, STOP) !== 0) break;
    Atomics.wait(control, OUTSTANDING, outstanding);
  }
  Atomics.add(control, OUTSTANDING, kib);
  post({ kind: "frames", frames: packed, kib }, transfer);
}

async function main(): Promise<void> {
  const data = workerData as PackWorkerData;
  const { control, batches, paths } = data;
  const table = new IdTable(data.knownIds);
  const packer = new FilePacker({
    root: data.root,
    stampMs: data.stampMs,
    keepModes: data.keepModes,
    findsSecrets: data.findsSecrets,
    known: (_id, bytes) => (table.find(bytes) === -1 ? undefined : 1),
    emit: (frames) => {
      emit(control, frames);
    },
  });
  const pace = new GarbagePace();
  while (Atomics.load(control, STOP) === 0) {
    const batch = Atomics.add(control, NEXT, 1);
    if (batch * 2 >= batches.length) break;
    const from = batches[batch * 2]!;
    const files = fromUtf8(paths[batch]!)
      .split("\0")
      .map((path, i) => ({ path, kind: FILE_KINDS[data.kinds[from + i]!]! }));
    post({ kind: "results", from, results: packResults(await packer.pack(files)) });
    pace.passed(files.length);
  }
  post({ kind: "done" });
}

main().catch((error: unknown) => {
  post({ kind: "error", error: describeError(error) });
});
