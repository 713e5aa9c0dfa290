/**
 * Fills the staging directory of a clone with every file of a tree. Files that a run before this one left
 * complete are kept: a clone continues by path.
 */
import { closeSync, fstatSync, openSync, rmSync, writeSync } from "node:fs";
import { EMPTY_BYTES } from "../../base/bytes.ts";
import { throwIfAborted } from "../../base/clock.ts";
import { corrupt } from "../../base/errors.ts";
import { GarbagePace } from "../../base/garbage.ts";
import { StreamHasher } from "../../base/hash.ts";
import type { TreePath } from "../../base/path.ts";
import type { ContentSide } from "../../codec/content-side.ts";
import type { Frame } from "../../objects/frame.ts";
import { framesOf, streamContent } from "../content/content.ts";
import { DirectoryGuard, inspectPath } from "../scan/disk-state.ts";
import type { Workspace } from "../workspace.ts";
import type { CloneList } from "./list.ts";
import { ClonePlan } from "./plan.ts";
import type { CloneThreads } from "./threads.ts";
import { type CloneWriter, ROW_FIELDS, STAT_FIELDS } from "./writer.ts";

export interface StagedFiles {
  /** STAT_FIELDS numbers per file, in the order of `files`; NaN where the file is in its final place already. */
  readonly stats: Float64Array;
}

export interface StageOptions {
  readonly files: CloneList;
  /** Absolute; exists. */
  readonly stage: string;
  /** An earlier run may have left files, in the stage or in their final place. */
  readonly resuming: boolean;
  /** Frames as they arrive; absent when resuming. */
  readonly frames: AsyncIterable<Frame> | undefined;
  /** Told each frame, whose bytes it may not keep. */
  readonly received: (frame: Frame) => void;
  readonly threads: CloneThreads;
}

export async function stageFiles(ws: Workspace, options: StageOptions): Promise<StagedFiles> {
  const { files, stage, threads } = options;
  const { onProgress, signal } = ws.context;
  const { stats, writer } = threads.begin(files.length);
  const plan = planFiles(ws, options, stats);
  let done = files.length - plan.left;
  for (const file of plan.empty) {
    writer.writeFile(files.path(file), files.kind(file), EMPTY_BYTES, file);
  }
  done += plan.empty.length;
  const total = files.length;
  const pace = new GarbagePace();
  const writeFrames = async (frames: AsyncIterable<Frame>): Promise<void> => {
    for await (const frame of frames) {
      throwIfAborted(signal);
      options.received(frame);
      const job = plan.jobFor(frame);
      if (job !== undefined) {
        done += job.rows.length / ROW_FIELDS;
        await threads.write(job);
      }
      // Each was found, listed for a thread, and perhaps written here.
      pace.passed(2 * frame.objects.length);
      onProgress?.({ task: "writing", done, total, unit: "files" });
    }
  };
  if (options.frames !== undefined) await writeFrames(options.frames);
  const rest = plan.missing();
  if (rest.length > 0) await writeFrames(framesOf(ws, rest));
  await threads.finish();
  for (const { id } of plan.missing()) {
    throw corrupt("the project's content", `the forge did not send object ${id}`);
  }
  for (const file of plan.chunked) {
    throwIfAborted(signal);
    await writeChunked(ws, files, file, stage, writer, stats);
    onProgress?.({ task: "writing", done: ++done, total, unit: "files" });
  }
  return { stats };
}

function planFiles(ws: Workspace, options: StageOptions, stats: Float64Array): ClonePlan {
  const plan = new ClonePlan(options.files);
  const { files, stage, resuming } = options;
  const final = new DirectoryGuard(ws.root);
  const staged = new DirectoryGuard(stage);
  for (let file = 0; file < files.length; file++) {
    if (resuming) {
      const path = files.path(file);
      // Whatever stands in its final place was moved there complete; if it is something else, it is the user's.
      if (inspectFinal(ws, path, final)) {
        stats.fill(Number.NaN, file * STAT_FIELDS, (file + 1) * STAT_FIELDS);
        continue;
      }
      if (isStaged(stage, path, files.side(file), staged, stats, file)) continue;
    }
    plan.add(file);
  }
  return plan;
}

function inspectFinal(ws: Workspace, path: TreePath, guard: DirectoryGuard): boolean {
  return inspectPath(ws.root, path, undefined, guard).kind !== "absent";
}

function isStaged(
  stage: string,
  path: TreePath,
  side: ContentSide,
  guard: DirectoryGuard,
  stats: Float64Array,
  file: number,
): boolean {
  const state = inspectPath(stage, path, undefined, guard);
  if (state.kind === "absent") return false;
  const { entry } = side;
  if (state.kind === "content" && state.side.entry.id === entry.id && state.side.entry.kind === entry.kind) {
    const { mtimeMs, ctimeMs, size, ino } = state.stat;
    stats.set([mtimeMs, ctimeMs, size, ino], file * STAT_FIELDS);
    return true;
  }
  // Cut short by what ended the earlier run.
  rmSync(`${stage}/${path}`, { recursive: true, force: true });
  return false;
}

async function writeChunked(
  ws: Workspace,
  files: CloneList,
  row: number,
  stage: string,
  writer: CloneWriter,
  stats: Float64Array,
): Promise<void> {
  const path = files.path(row);
  const side = files.side(row);
  writer.makeParents(path);
  const file = openSync(`${stage}/${path}`, "wx", side.entry.kind === "executable" ? 0o777 : 0o666);
  try {
    const hasher = new StreamHasher();
    let size = 0;
    for await (const part of streamContent(ws, side)) {
      hasher.update(part);
      size += part.length;
      for (let done = 0; done < part.length; ) done += writeSync(file, part, done, part.length - done);
    }
    if (size !== side.entry.size || hasher.digest() !== side.entry.id) {
      throw corrupt("the project's content", `the chunks of ${path} are not its content`);
    }
    const { mtimeMs, ctimeMs, ino } = fstatSync(file);
    stats.set([mtimeMs, ctimeMs, size, ino], row * STAT_FIELDS);
  } finally {
    closeSync(file);
  }
}
