/**
 * A new workspace of a project at a position. Files are written below `.mic/staging` and moved to their places
 * when all of them are there; until then the settings say that the clone is not finished, and the same command
 * continues it.
 */
import { existsSync, lstatSync, readdirSync, renameSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { hexToBytes } from "../../base/bytes.ts";
import { MicError } from "../../base/errors.ts";
import { collectAfter, GarbagePace } from "../../base/garbage.ts";
import { EMPTY_ROOT, POSITION_ZERO, type Position } from "../../base/ids.ts";
import type { TreePath } from "../../base/path.ts";
import type { WorkspaceSettings } from "../../codec/workspace-settings.ts";
import type { FetchItem, Forge, PositionRef, ProjectInfo } from "../../forge/forge.ts";
import type { Frame } from "../../objects/frame.ts";
import { checkCollisions, checkTreePaths, nameRules } from "../checkout/guard.ts";
import { stageFiles } from "../clone/files.ts";
import { CloneList } from "../clone/list.ts";
import { ReceivedPacks } from "../clone/received-packs.ts";
import { CloneThreads } from "../clone/threads.ts";
import { CLONE_RESUME_HINT, STAT_FIELDS } from "../clone/writer.ts";
import { OBJECTS_DIR } from "../content/local-objects.ts";
import type { WorkspaceContext } from "../context.ts";
import { callOptions } from "../context.ts";
import { ensureDirectory } from "../disk/atomic-file.ts";
import { fileError } from "../disk/file-error.ts";
import { probeFolding } from "../disk/folding.ts";
import { acquireWorkspaceLock } from "../disk/lock.ts";
import { fileSystemTimeMs } from "../disk/stat.ts";
import { WorkspaceIndex } from "../index/workspace-index.ts";
import { checkOutsideMeta, META_DIR, metaPath } from "../layout.ts";
import type { CloneResult } from "../results.ts";
import { loadSettings, SETTINGS_FILE, Workspace, writeSettings } from "../workspace.ts";

export interface CloneOptions {
  /** An absolute directory or a URL: what `context.openForge` takes. */
  readonly address: string;
  /** `org/project`, or the project's id. */
  readonly projectName: string;
  readonly dir: string;
  /** Default: the newest position. */
  readonly at?: Position;
  /** Only these paths and what is below them. */
  readonly paths?: readonly TreePath[];
  /** Worker threads: 0 or 1, default 1. */
  readonly workers?: number;
}

const STAGING_DIR = "staging";
const LOCK_TIMEOUT_MS = 10_000;
/** Longer than a tick of any kernel's file times. */
const TICK_MS = 12;

/**
 * Errors: `already-exists` for a directory with files in it, `not-found`, `out-of-range`, `unsafe-path` for a
 * tree with a forbidden path or with names that are one file here (nothing is written then).
 */
export async function cloneWorkspace(options: CloneOptions, context: WorkspaceContext): Promise<CloneResult> {
  const root = resolve(options.dir);
  checkOutsideMeta(root);
  const forge = await context.openForge(options.address);
  const project = await forge.getProject(options.projectName, signalOf(context));
  const earlier = checkDestination(root, options, project);
  const target = earlier?.cloning ?? (await findTarget(forge, project, options, context));
  try {
    ensureDirectory(metaPath(root));
    await using _lock = await acquireWorkspaceLock(root, {
      timeoutMs: context.lockTimeoutMs ?? LOCK_TIMEOUT_MS,
      clock: context.clock,
      ...signalOf(context),
    });
    const settings = earlier ?? startClone(root, options, project, target);
    return await finishClone(root, settings, target, earlier !== undefined, options, context);
  } catch (error) {
    throw fileError(error, `cannot clone into ${root}`, CLONE_RESUME_HINT);
  }
}

function signalOf(context: WorkspaceContext): { signal?: AbortSignal } {
  return context.signal === undefined ? {} : { signal: context.signal };
}

/** The settings of an unfinished clone of the same project, or undefined for a new one. */
function checkDestination(
  root: string,
  options: CloneOptions,
  project: ProjectInfo,
): WorkspaceSettings | undefined {
  if (existsSync(metaPath(root, SETTINGS_FILE))) {
    const settings = loadSettings(root);
    const same =
      settings.cloning !== undefined &&
      settings.project === project.id &&
      (options.at === undefined || options.at === settings.cloning.position) &&
      settings.sparse.join("\0") === (options.paths ?? []).join("\0");
    if (same) return settings;
    throw new MicError("already-exists", `${root} is a workspace of ${settings.projectName} already`, {
      hint: "choose another directory",
      data: { directory: root },
    });
  }
  const names = existsSync(root) ? readdirSync(root).filter((name) => name !== META_DIR) : [];
  if (names.length > 0) {
    throw new MicError("already-exists", `${root} is not empty`, {
      hint: "choose another directory, or run `mic link` in it to keep its files",
      data: { directory: root },
    });
  }
  return undefined;
}

async function findTarget(
  forge: Forge,
  project: ProjectInfo,
  options: CloneOptions,
  context: WorkspaceContext,
): Promise<PositionRef> {
  const head = await forge.getHead(project.id, signalOf(context));
  if (options.at === undefined || options.at === head.position) return head;
  if (options.at > head.position) {
    throw new MicError(
      "out-of-range",
      `there is no position @${options.at}: the newest is @${head.position}`,
      {
        data: { position: options.at, latest: head.position },
      },
    );
  }
  return forge.getPosition(project.id, options.at, signalOf(context));
}

function startClone(
  root: string,
  options: CloneOptions,
  project: ProjectInfo,
  target: PositionRef,
): WorkspaceSettings {
  const settings: WorkspaceSettings = {
    address: options.address,
    project: project.id,
    projectName: project.name,
    salt: project.salt,
    sparse: options.paths ?? [],
    untracked: [],
    tracked: [],
    session: undefined,
    folding: probeFolding(root),
    cloning: { position: target.position, root: target.root },
  };
  writeSettings(root, settings);
  return settings;
}

async function finishClone(
  root: string,
  settings: WorkspaceSettings,
  target: PositionRef,
  resuming: boolean,
  options: CloneOptions,
  context: WorkspaceContext,
): Promise<CloneResult> {
  const ws = Workspace.openRoot(root, context);
  const forge = await ws.forge();
  const request = {
    from: POSITION_ZERO,
    to: target.position,
    ...(settings.sparse.length === 0 ? {} : { paths: settings.sparse }),
  };
  const near = {
    ...callOptions(ws),
    uncompressed: ws.inDirectory,
    unchecked: ws.inDirectory,
    borrowed: true,
  };
  const stream = forge.fetch(settings.project, request, near)[Symbol.asyncIterator]();
  try {
    const stage = metaPath(root, STAGING_DIR);
    await using threads = new CloneThreads(stage, options.workers ?? 1);
    const files = await readFileList(stream, threads);
    checkFiles(files, settings);
    collectAfter(files.length);
    // Of a part of the tree, its root cannot be known.
    if (!ws.inProcess && settings.sparse.length === 0) await checkRoot(files, settings.salt, target);
    ensureDirectory(stage);
    // A directory is as near as a copy of it would be.
    using received = ws.inDirectory ? undefined : new ReceivedPacks(metaPath(root, OBJECTS_DIR));
    const { stats } = await stageFiles(ws, {
      files,
      stage,
      resuming,
      frames: resuming ? undefined : framesIn(stream),
      received: (frame) => received?.add(frame),
      threads,
    });
    received?.finish();
    ws.objects.refresh();
    await waitForTick(root, stats, context);
    moveIntoPlace(stage, root);
    rmSync(stage, { recursive: true, force: true });
    const base = { position: target.position, root: target.root };
    const empty = WorkspaceIndex.empty({ position: POSITION_ZERO, root: EMPTY_ROOT });
    collectAfter(files.length);
    ws.saveIndex(empty.update({ base, upserts: files.rows(stats) }));
    ws.noteLatest(target.position);
    ws.saveSettings({ ...settings, cloning: undefined });
    const bytes = files.totalBytes();
    const { project, projectName } = settings;
    return {
      project: projectName,
      projectId: project,
      position: target.position,
      files: files.length,
      bytes,
    };
  } finally {
    await stream.return?.();
  }
}

async function readFileList(stream: AsyncIterator<FetchItem>, threads: CloneThreads): Promise<CloneList> {
  const files = new CloneList();
  const pace = new GarbagePace();
  for (;;) {
    const next = await stream.next();
    if (next.done === true || next.value.kind !== "changes") return files;
    for (const { path, after } of next.value.changes) {
      if (after !== undefined) files.add(path, after);
    }
    pace.passed(next.value.changes.length);
    threads.expect(files.length);
  }
}

/** Before anything is written. */
function checkFiles({ paths }: CloneList, settings: WorkspaceSettings): void {
  const rules = nameRules(settings.folding);
  checkTreePaths(paths, rules);
  checkCollisions(paths, rules);
}

/** That a list from a server is the tree it was said to be, down to the last name and mode. Errors: `corrupt`. */
async function checkRoot(files: CloneList, salt: string, target: PositionRef): Promise<void> {
  const root = await files.root(hexToBytes(salt));
  if (root === target.root) return;
  throw new MicError("corrupt", `the files that came are not those of @${target.position}: another tree`, {
    hint: "nothing was written; try again, and if it stays so, run `mic fsck` where the project is",
    data: { position: target.position, root },
  });
}

async function* framesIn(stream: AsyncIterator<FetchItem>): AsyncGenerator<Frame> {
  for (;;) {
    const next = await stream.next();
    if (next.done === true) return;
    if (next.value.kind === "frame") yield next.value.frame;
  }
}

/**
 * Nobody can change a file before it is moved to its place. Once the file system's time has left the tick of
 * the last write, a change after the move shows in the stat data taken at the write.
 */
async function waitForTick(root: string, stats: Float64Array, context: WorkspaceContext): Promise<void> {
  let newest = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < stats.length; i += STAT_FIELDS) {
    const ctimeMs = stats[i + 1]!;
    if (ctimeMs > newest) newest = ctimeMs;
  }
  for (let attempt = 0; attempt < 8 && fileSystemTimeMs(root) <= newest; attempt++) {
    await context.clock.sleep(TICK_MS, context.signal);
  }
}

/** Moves whole directories where nothing is in the way, else what is in them. Never replaces a file. */
function moveIntoPlace(from: string, to: string): void {
  for (const child of readdirSync(from, { withFileTypes: true })) {
    const source = join(from, child.name);
    const target = join(to, child.name);
    const existing = lstatSync(target, { throwIfNoEntry: false });
    if (existing === undefined) renameSync(source, target);
    else if (existing.isDirectory() && child.isDirectory()) moveIntoPlace(source, target);
  }
}
