/**
 * Carries out the steps of a move: removals first, then contents as their frames arrive. Every file is written
 * under `.mic/tmp`, compared with what was planned for once more, and renamed into place: under its final name
 * it is complete or not there. A step that finds something else than it expected leaves it alone and reports it.
 */
import {
  chmodSync,
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  openSync,
  renameSync,
  rmdirSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { EMPTY_BYTES, fromUtf8 } from "../../base/bytes.ts";
import { throwIfAborted } from "../../base/clock.ts";
import { corrupt, invariant } from "../../base/errors.ts";
import { StreamHasher } from "../../base/hash.ts";
import type { ObjectId } from "../../base/ids.ts";
import type { TreePath } from "../../base/path.ts";
import { type ContentSide, sameSide } from "../../codec/content-side.ts";
import type { TransitionStep } from "../../codec/transition.ts";
import type { Frame, ObjectRef } from "../../objects/frame.ts";
import { streamChangedChunks } from "../content/changed-chunks.ts";
import { eachObject, streamContent } from "../content/content.ts";
import { ensureDirectory } from "../disk/atomic-file.ts";
import { SafePaths } from "../disk/safe-paths.ts";
import { type FileStat, fileStatOf, fileSystemTimeMs, sameStat } from "../disk/stat.ts";
import { errorCode, isMissing, metaPath, TEMPORARY_DIR } from "../layout.ts";
import { DirectoryGuard, type DiskState, inspectPath } from "../scan/disk-state.ts";
import type { Workspace } from "../workspace.ts";

/** Files waiting for their rename; a batch puts distance between the time of content and that of the rename. */
const RENAME_BATCH = 256;

export interface ApplyOptions {
  readonly steps: readonly TransitionStep[];
  /** Stat data from planning: what is still the same need not be hashed again. */
  readonly stats: ReadonlyMap<TreePath, FileStat>;
  /** Frames that hold the wanted objects, each object at least once. */
  frames(wants: readonly ObjectRef[]): AsyncIterable<Frame>;
}

export interface ApplyResult {
  /** Paths written or removed. */
  readonly changed: readonly TreePath[];
  /** Stat data that may be trusted, of files that now are what their step says. */
  readonly stats: ReadonlyMap<TreePath, FileStat>;
  /** Steps that found neither what was before nor what is to be after. */
  readonly surprised: readonly { readonly step: TransitionStep; readonly state: DiskState }[];
}

interface Waiting {
  readonly step: TransitionStep;
  readonly temporary: string;
  /** Undefined for a symlink. */
  readonly written: FileStat | undefined;
}

export async function applySteps(ws: Workspace, options: ApplyOptions): Promise<ApplyResult> {
  using applier = new Applier(ws, options);
  return await applier.run();
}

class Applier implements Disposable {
  readonly #ws: Workspace;
  readonly #options: ApplyOptions;
  readonly #paths: SafePaths;
  readonly #guard: DirectoryGuard;
  readonly #changed: TreePath[] = [];
  readonly #surprised: { step: TransitionStep; state: DiskState }[] = [];
  readonly #written = new Map<TreePath, FileStat>();
  readonly #unchanged = new Map<TreePath, FileStat>();
  readonly #startedMs: number;
  #waiting: Waiting[] = [];
  #temporaries = 0;

  constructor(ws: Workspace, options: ApplyOptions) {
    this.#ws = ws;
    this.#options = options;
    this.#paths = new SafePaths(ws.root);
    this.#guard = new DirectoryGuard(ws.root);
    this.#startedMs = fileSystemTimeMs(ws.root);
    ensureDirectory(metaPath(ws.root, TEMPORARY_DIR));
  }

  async run(): Promise<ApplyResult> {
    const writes: TransitionStep[] = [];
    for (const step of this.#options.steps.toReversed()) {
      if (step.diskAfter === undefined) this.#remove(step);
      else writes.push(step);
    }
    await this.#write(writes.reverse());
    this.#flush();
    return { changed: this.#changed, stats: this.#trustedStats(), surprised: this.#surprised };
  }

  /** What is at the step's path: `before`, `after`, or `other` (which is reported). */
  #look(step: TransitionStep): "before" | "after" | "other" {
    const { path, diskBefore, diskAfter } = step;
    const expected = this.#options.stats.get(path);
    const indexed =
      expected !== undefined && diskBefore !== undefined
        ? { path, entry: diskBefore.entry, hint: diskBefore.hint, stat: expected }
        : this.#ws.index.find(path);
    const state = inspectPath(this.#ws.root, path, indexed, this.#guard);
    const disk = state.kind === "content" ? state.side : undefined;
    const isPlain = state.kind === "content" || state.kind === "absent";
    if (isPlain && sameSide(disk, diskAfter)) {
      if (state.kind === "content") this.#unchanged.set(path, state.stat);
      return "after";
    }
    if (isPlain && sameSide(disk, diskBefore)) return "before";
    // The file was not to be touched: whatever it is by now is the user's.
    if (sameSide(diskBefore, diskAfter)) return "after";
    this.#surprised.push({ step, state });
    return "other";
  }

  #remove(step: TransitionStep): void {
    if (step.diskBefore === undefined) return;
    if (this.#look(step) !== "before") return;
    const { path } = step;
    const located = this.#paths.locate(path, false);
    if (located === undefined) return;
    unlinkSync(located);
    this.#changed.push(path);
    this.#removeEmptyParents(path);
  }

  #removeEmptyParents(path: TreePath): void {
    let dir = path.slice(0, Math.max(0, path.lastIndexOf("/")));
    while (dir !== "") {
      const located = this.#paths.locate(dir, false);
      if (located === undefined) return;
      try {
        rmdirSync(located);
      } catch (error) {
        const code = errorCode(error);
        if (code === "ENOTEMPTY" || code === "EEXIST") return;
        // A mount point or a directory that is somebody's current one may stay.
        if (code === "EBUSY" || code === "EACCES" || code === "EPERM") return;
        if (!isMissing(error)) throw error;
      }
      this.#paths.forget(dir);
      this.#guard.forget();
      dir = dir.slice(0, Math.max(0, dir.lastIndexOf("/")));
    }
  }

  async #write(steps: readonly TransitionStep[]): Promise<void> {
    const byObject = new Map<ObjectId, TransitionStep[]>();
    const wants: ObjectRef[] = [];
    const chunked: TransitionStep[] = [];
    const total = steps.length;
    let done = 0;
    for (const step of steps) {
      const look = this.#look(step);
      if (look !== "before") {
        done++;
        continue;
      }
      const { entry, hint } = step.diskAfter!;
      if (this.#changeMode(step)) done++;
      else if (entry.size === 0) {
        this.#writeTemporary(step, EMPTY_BYTES);
        done++;
      } else if (entry.chunks !== undefined) chunked.push(step);
      else {
        const known = byObject.get(entry.id);
        if (known !== undefined) known.push(step);
        else {
          byObject.set(entry.id, [step]);
          wants.push({ id: entry.id, hint });
        }
      }
    }
    const { onProgress, signal } = this.#ws.context;
    if (wants.length > 0) {
      for await (const frame of this.#options.frames(wants)) {
        throwIfAborted(signal);
        eachObject(
          frame,
          (id) => byObject.has(id),
          (id, content) => {
            for (const step of byObject.get(id)!) this.#writeTemporary(step, content);
            done += byObject.get(id)!.length;
            byObject.delete(id);
          },
        );
        onProgress?.({ task: "writing", done, total, unit: "files" });
        if (byObject.size === 0) break;
      }
    }
    for (const [id, missing] of byObject) {
      throw corrupt("the project's content", `the forge did not send ${id} for ${missing[0]!.path}`);
    }
    for (const step of chunked) {
      throwIfAborted(signal);
      await this.#writeChunked(step);
      onProgress?.({ task: "writing", done: ++done, total, unit: "files" });
    }
  }

  /** Same content under another mode: nothing has to be written. */
  #changeMode(step: TransitionStep): boolean {
    const { diskBefore, diskAfter, path } = step;
    if (diskBefore?.entry.id !== diskAfter?.entry.id || diskBefore === undefined) return false;
    if (diskBefore.entry.kind === "symlink" || diskAfter!.entry.kind === "symlink") return false;
    const located = this.#paths.locate(path, false);
    if (located === undefined) return false;
    const mode = lstatSync(located).mode & 0o777;
    // Whoever may read may execute, as for a new file under the same umask.
    const executable = mode | ((mode & 0o444) >> 2);
    chmodSync(located, diskAfter!.entry.kind === "executable" ? executable : mode & ~0o111);
    this.#changed.push(path);
    return true;
  }

  #newTemporary(): string {
    this.#temporaries += 1;
    return metaPath(this.#ws.root, TEMPORARY_DIR, `file-${this.#temporaries}`);
  }

  #create(temporary: string, side: ContentSide): number {
    // What a killed command left under this name; the lock makes sure that nobody is using it.
    rmSync(temporary, { force: true });
    const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | (constants.O_NOFOLLOW ?? 0);
    return openSync(temporary, flags, side.entry.kind === "executable" ? 0o777 : 0o666);
  }

  #writeTemporary(step: TransitionStep, content: Uint8Array): void {
    const side = step.diskAfter!;
    if (content.length !== side.entry.size) {
      throw corrupt("the project's tree", `${step.path} has ${content.length} bytes, not ${side.entry.size}`);
    }
    const temporary = this.#newTemporary();
    if (side.entry.kind === "symlink") {
      rmSync(temporary, { force: true });
      symlinkSync(fromUtf8(content, `the target of ${step.path}`), temporary);
      this.#enqueue({ step, temporary, written: undefined });
      return;
    }
    const file = this.#create(temporary, side);
    try {
      writeAll(file, content);
      this.#enqueue({ step, temporary, written: fileStatOf(fstatSync(file)) });
    } finally {
      closeSync(file);
    }
  }

  async #writeChunked(step: TransitionStep): Promise<void> {
    const side = step.diskAfter!;
    const temporary = this.#newTemporary();
    const file = this.#create(temporary, side);
    try {
      const hasher = new StreamHasher();
      let size = 0;
      for await (const part of this.#chunksOf(step, side)) {
        hasher.update(part);
        size += part.length;
        writeAll(file, part);
      }
      if (size !== side.entry.size || hasher.digest() !== side.entry.id) {
        throw corrupt("the project's content", `the chunks of ${step.path} are not its content`);
      }
      this.#enqueue({ step, temporary, written: fileStatOf(fstatSync(file)) });
    } finally {
      closeSync(file);
    }
  }

  #chunksOf(step: TransitionStep, side: ContentSide): AsyncIterable<Uint8Array> {
    const { diskBefore, path } = step;
    const located = this.#ws.inDirectory ? undefined : this.#paths.locate(path, false);
    if (located === undefined || diskBefore?.entry.chunks === undefined) return streamContent(this.#ws, side);
    return streamChangedChunks(this.#ws, located, diskBefore, side);
  }

  #enqueue(waiting: Waiting): void {
    this.#waiting.push(waiting);
    if (this.#waiting.length >= RENAME_BATCH) this.#flush();
  }

  #flush(): void {
    const batch = this.#waiting;
    this.#waiting = [];
    this.#guard.forget();
    for (const waiting of batch) this.#moveIntoPlace(waiting);
  }

  #moveIntoPlace({ step, temporary, written }: Waiting): void {
    const { path } = step;
    if (this.#look(step) === "other") {
      rmSync(temporary, { force: true });
      return;
    }
    const located = this.#paths.locate(path, true);
    invariant(located !== undefined, "a directory that was to be created is missing");
    renameSync(temporary, located);
    this.#changed.push(path);
    this.#unchanged.delete(path);
    if (written !== undefined) this.#written.set(path, written);
  }

  /**
   * Of the files just renamed, those that are still what was written: same file, same time of content, renamed
   * in a later tick than they were written in (so an edit since would have changed that time), and a rename
   * that lies in the past.
   */
  #trustedStats(): Map<TreePath, FileStat> {
    const trusted = new Map<TreePath, FileStat>();
    for (const [path, stat] of this.#unchanged) {
      if (stat.mtimeMs < this.#startedMs && stat.ctimeMs < this.#startedMs) trusted.set(path, stat);
    }
    if (this.#written.size === 0) return trusted;
    const nowMs = fileSystemTimeMs(this.#ws.root);
    for (const [path, written] of this.#written) {
      const located = this.#paths.locate(path, false);
      if (located === undefined) continue;
      const stats = lstatSync(located, { throwIfNoEntry: false });
      if (stats === undefined) continue;
      const stat = fileStatOf(stats);
      const sameContent = sameStat({ ...stat, ctimeMs: written.ctimeMs }, written);
      if (sameContent && stat.mtimeMs < stat.ctimeMs && stat.ctimeMs < nowMs) trusted.set(path, stat);
    }
    return trusted;
  }

  [Symbol.dispose](): void {
    for (const { temporary } of this.#waiting) rmSync(temporary, { force: true });
    this.#paths[Symbol.dispose]();
  }
}

function writeAll(file: number, bytes: Uint8Array): void {
  for (let offset = 0; offset < bytes.length; ) {
    offset += writeSync(file, bytes, offset, bytes.length - offset);
  }
}
