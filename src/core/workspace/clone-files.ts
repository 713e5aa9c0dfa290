/**
 * Fills the staging directory of a clone with every file of a tree. Files that a run before this one left
 * complete are kept: a clone continues by path.
 */
import { closeSync, fstatSync, openSync, rmSync, writeSync } from "node:fs";
import { EMPTY_BYTES } from "../base/bytes.ts";
import { throwIfAborted } from "../base/clock.ts";
import { corrupt } from "../base/errors.ts";
import { StreamHasher } from "../base/hash.ts";
import type { ObjectId } from "../base/ids.ts";
import type { TreePath } from "../base/path.ts";
import type { ContentSide } from "../codec/content-side.ts";
import type { Frame, ObjectRef } from "../objects/frame.ts";
import type { CloneThreads } from "./clone-threads.ts";
import { CLONE_KINDS, type CloneWriter, type FrameJob, ROW_FIELDS, STAT_FIELDS } from "./clone-writer.ts";
import { framesOf, streamContent } from "./content.ts";
import { DirectoryGuard, inspectPath } from "./disk-state.ts";
import type { Workspace } from "./workspace.ts";

export interface CloneFile {
  readonly path: TreePath;
  readonly side: ContentSide;
}

export interface StagedFiles {
  /** STAT_FIELDS numbers per file, in the order of `files`; NaN where the file is in its final place already. */
  readonly stats: Float64Array;
}

export interface StageOptions {
  readonly files: readonly CloneFile[];
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
    const { path, side } = files[file]!;
    writer.writeFile(path, CLONE_KINDS.indexOf(side.entry.kind), EMPTY_BYTES, file);
  }
  done += plan.empty.length;
  const total = files.length;
  const writeFrames = async (frames: AsyncIterable<Frame>): Promise<void> => {
    for await (const frame of frames) {
      throwIfAborted(signal);
      options.received(frame);
      const job = plan.jobFor(frame, files);
      if (job !== undefined) {
        done += job.rows.length / ROW_FIELDS;
        await threads.write(job);
      }
      onProgress?.({ task: "writing", done, total, unit: "files" });
    }
  };
  if (options.frames !== undefined) await writeFrames(options.frames);
  const rest = plan.missing(files);
  if (rest.length > 0) await writeFrames(framesOf(ws, rest));
  await threads.finish();
  for (const { id } of plan.missing(files)) {
    throw corrupt("the project's content", `the forge did not send object ${id}`);
  }
  for (const file of plan.chunked) {
    throwIfAborted(signal);
    await writeChunked(ws, files[file]!, stage, writer, stats, file);
    onProgress?.({ task: "writing", done: ++done, total, unit: "files" });
  }
  return { stats };
}

/** What has to be written, and by which content. Files are numbers: their place in the clone's list. */
class FilesPlan {
  readonly empty: number[] = [];
  readonly chunked: number[] = [];
  /** Content → the files that have it. */
  readonly #byContent = new Map<ObjectId, number | number[]>();
  /** By file; of those with the same content only the first counts. */
  readonly #isWritten: Uint8Array;
  #writtenContents = 0;
  left = 0;

  constructor(files: number) {
    this.#isWritten = new Uint8Array(files);
  }

  add(file: number, side: ContentSide): void {
    this.left += 1;
    if (side.entry.size === 0) this.empty.push(file);
    else if (side.entry.chunks !== undefined) this.chunked.push(file);
    else {
      const known = this.#byContent.get(side.entry.id);
      if (known === undefined) this.#byContent.set(side.entry.id, file);
      else if (typeof known === "number") this.#byContent.set(side.entry.id, [known, file]);
      else known.push(file);
    }
  }

  missing(files: readonly CloneFile[]): ObjectRef[] {
    const refs: ObjectRef[] = [];
    if (this.#writtenContents === this.#byContent.size) return refs;
    for (const [id, wanted] of this.#byContent) {
      const file = typeof wanted === "number" ? wanted : wanted[0]!;
      if (this.#isWritten[file] === 0) refs.push({ id, hint: files[file]!.side.hint });
    }
    return refs;
  }

  /** The files that this frame completes; undefined when there are none. They count as written. */
  jobFor(frame: Frame, files: readonly CloneFile[]): FrameJob | undefined {
    const wantedFiles: number[] = [];
    const from: number[] = [];
    for (let i = 0; i < frame.objects.length; i++) {
      const wanted = this.#byContent.get(frame.objects[i]!.id);
      if (wanted === undefined) continue;
      const first = typeof wanted === "number" ? wanted : wanted[0]!;
      if (this.#isWritten[first] === 1) continue;
      this.#isWritten[first] = 1;
      this.#writtenContents += 1;
      if (typeof wanted === "number") {
        wantedFiles.push(wanted);
        from.push(i);
      } else {
        for (const file of wanted) {
          wantedFiles.push(file);
          from.push(i);
        }
      }
    }
    if (wantedFiles.length === 0) return undefined;
    const rows = new Uint32Array(wantedFiles.length * ROW_FIELDS);
    const ids = Buffer.allocUnsafeSlow(wantedFiles.length * 32);
    const paths: string[] = new Array(wantedFiles.length);
    for (let i = 0, at = 0; i < wantedFiles.length; i++, at += ROW_FIELDS) {
      const object = frame.objects[from[i]!]!;
      const file = wantedFiles[i]!;
      const { path, side } = files[file]!;
      if (object.length !== side.entry.size) {
        throw corrupt("the project's tree", `${path} has ${object.length} bytes, not ${side.entry.size}`);
      }
      rows[at] = object.offset;
      rows[at + 1] = object.length;
      rows[at + 2] = CLONE_KINDS.indexOf(side.entry.kind);
      rows[at + 3] = file;
      ids.write(object.id, i * 32, 32, "hex");
      paths[i] = path;
    }
    const { stored, rawLength, compressed } = frame;
    return { stored, rawLength, compressed, rows, ids, paths: paths.join("\0") };
  }
}

function planFiles(ws: Workspace, options: StageOptions, stats: Float64Array): FilesPlan {
  const plan = new FilesPlan(options.files.length);
  const { files, stage, resuming } = options;
  const final = new DirectoryGuard(ws.root);
  const staged = new DirectoryGuard(stage);
  for (let file = 0; file < files.length; file++) {
    const { path, side } = files[file]!;
    if (resuming) {
      // Whatever stands in its final place was moved there complete; if it is something else, it is the user's.
      if (inspectFinal(ws, path, final)) {
        stats.fill(Number.NaN, file * STAT_FIELDS, (file + 1) * STAT_FIELDS);
        continue;
      }
      if (isStaged(stage, path, side, staged, stats, file)) continue;
    }
    plan.add(file, side);
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
  { path, side }: CloneFile,
  stage: string,
  writer: CloneWriter,
  stats: Float64Array,
  row: number,
): Promise<void> {
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
