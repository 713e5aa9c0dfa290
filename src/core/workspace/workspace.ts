/**
 * An open workspace: where it is, what it belongs to, and the state under `.mic` that commands share. Commands
 * that change anything run inside `exclusive`, which takes the lock and first settles what an earlier command
 * left unfinished.
 */
import { rmSync, statSync, utimesSync } from "node:fs";
import { isAbsolute, join } from "node:path";
import { ByteReader, ByteWriter } from "../base/bytes.ts";
import { isMicError, MicError } from "../base/errors.ts";
import type { Position, SessionId } from "../base/ids.ts";
import { type Conflict, decodeConflictState, encodeConflictState } from "../codec/conflict-state.ts";
import {
  decodeOperationLog,
  EMPTY_OPERATION_LOG,
  encodedTransition,
  encodeOperationLog,
  type OperationLog,
} from "../codec/operation-log.ts";
import { decodePendingLanding, encodePendingLanding, type PendingLanding } from "../codec/pending-landing.ts";
import { decodeTransition, type Transition } from "../codec/transition.ts";
import {
  decodeWorkspaceSettings,
  encodeWorkspaceSettings,
  type WorkspaceSettings,
} from "../codec/workspace-settings.ts";
import type { Forge } from "../forge/forge.ts";
import { LocalObjects } from "./content/local-objects.ts";
import type { WorkspaceContext } from "./context.ts";
import { readFileIfExistsSync, writeFileAtomic } from "./disk/atomic-file.ts";
import { acquireWorkspaceLock } from "./disk/lock.ts";
import { fileSystemTimeMs } from "./disk/stat.ts";
import type { ScanFindings } from "./index/scan-findings.ts";
import { type IndexChange, WorkspaceIndex } from "./index/workspace-index.ts";
import { errorCode, findWorkspaceRoot, INDEX_FILE, metaPath } from "./layout.ts";

export const SETTINGS_FILE = "settings";
export const CONFLICTS_FILE = "conflicts";
export const PENDING_FILE = "pending";
export const PENDING_CONTENT_FILE = "pending-content";
export const TRANSITION_FILE = "transition";
export const OPERATIONS_FILE = "operations";
export const LATEST_FILE = "latest-known";

/** Address of a forge inside the workspace: relative, so that the directory can be moved. */
export const EMBEDDED_ADDRESS = ".mic/forge";

const LOCK_TIMEOUT_MS = 10_000;
const LAND_TIMEOUT_MS = 120_000;

export class Workspace implements AsyncDisposable {
  /** Absolute. */
  readonly root: string;
  readonly context: WorkspaceContext;
  readonly objects: LocalObjects;
  #settings: WorkspaceSettings;
  #index: WorkspaceIndex | undefined;
  /** Which file the loaded index came from, so that taking the lock need not load it again. */
  #indexFile = "";
  #conflicts: readonly Conflict[] | undefined;
  /** As read or written with the lock held. */
  #operations: OperationLog | undefined;
  #isLocked = false;

  private constructor(root: string, context: WorkspaceContext, settings: WorkspaceSettings) {
    this.root = root;
    this.context = context;
    this.objects = new LocalObjects(root);
    this.#settings = settings;
  }

  /** Walks up from `startDir`. Errors: `not-a-workspace`, `corrupt`, `unsupported`. */
  static async open(startDir: string, context: WorkspaceContext): Promise<Workspace> {
    return Workspace.openRoot(await findWorkspaceRoot(startDir), context);
  }

  /** `root` holds `.mic`. */
  static openRoot(root: string, context: WorkspaceContext): Workspace {
    return new Workspace(root, context, loadSettings(root));
  }

  get settings(): WorkspaceSettings {
    return this.#settings;
  }

  /** True when the forge is inside this workspace. */
  get embedded(): boolean {
    return this.#settings.address === EMBEDDED_ADDRESS;
  }

  /** True when the forge is a directory: a process that is gone cannot land there any more. */
  get inDirectory(): boolean {
    return this.embedded || isAbsolute(this.#settings.address);
  }

  /** True when no server stands between: whatever the forge says of a tree was verified in this process. */
  get inProcess(): boolean {
    return this.inDirectory || this.#settings.address.startsWith("s3://");
  }

  /** What `context.openForge` takes. */
  get forgeAddress(): string {
    return this.embedded ? join(this.root, EMBEDDED_ADDRESS) : this.#settings.address;
  }

  forge(): Promise<Forge> {
    return this.context.openForge(this.forgeAddress);
  }

  /** Base and files as of the last command. Loaded once; commands that change it set it. */
  get index(): WorkspaceIndex {
    if (this.#index === undefined) {
      // Looked at first: if the file is replaced meanwhile, the index is taken for older than it is.
      this.#indexFile = this.#identifyIndex();
      this.#index = WorkspaceIndex.load(this.root);
    }
    return this.#index;
  }

  /** Every save makes another file. */
  #identifyIndex(): string {
    const stats = statSync(metaPath(this.root, INDEX_FILE), { bigint: true, throwIfNoEntry: false });
    return stats === undefined ? "" : `${stats.ino} ${stats.mtimeNs} ${stats.ctimeNs} ${stats.size}`;
  }

  /** Tells the index in use from every other that was saved; empty when there is no file. */
  get indexIdentity(): string {
    return this.#index === undefined ? this.#identifyIndex() : this.#indexFile;
  }

  /** Saves what a scan learned, unless another command is at work or has saved another index meanwhile. */
  async saveFindings(scanned: WorkspaceIndex, findings: ScanFindings): Promise<void> {
    const { clock } = this.context;
    try {
      await using _lock = await acquireWorkspaceLock(this.root, { timeoutMs: 0, clock });
      if (this.#index !== scanned || this.#identifyIndex() !== this.#indexFile) return;
      scanned.update({ scan: findings }).save(this.root);
      this.#index = undefined;
    } catch (error) {
      // It would only have made the next scan faster.
      if (!isMicError(error, "pending") && errorCode(error) === undefined) throw error;
    }
  }

  /** Base and entries change together, in one rename. */
  saveIndex(index: WorkspaceIndex): void {
    index.save(this.root, { sync: true });
    this.#index = index;
    this.#indexFile = this.#identifyIndex();
  }

  /** Saves the next version of the index; the one before may have been written over, also when saving fails. */
  changeIndex(change: IndexChange): void {
    const next = this.index.become(change);
    // What is in memory is no longer what is on disk: if saving fails, it is loaded again.
    this.#index = undefined;
    this.saveIndex(next);
  }

  /** Unresolved, sorted by tree key. */
  get conflicts(): readonly Conflict[] {
    if (this.#conflicts === undefined) {
      const bytes = readFileIfExistsSync(metaPath(this.root, CONFLICTS_FILE));
      this.#conflicts = bytes === undefined ? [] : decodeConflictState(bytes);
    }
    return this.#conflicts;
  }

  saveConflicts(conflicts: readonly Conflict[]): void {
    if (conflicts.length === 0) this.#remove(CONFLICTS_FILE);
    else this.#write(CONFLICTS_FILE, encodeConflictState(conflicts));
    this.#conflicts = conflicts;
  }

  saveSettings(settings: WorkspaceSettings): void {
    writeSettings(this.root, settings);
    this.#settings = settings;
  }

  saveSession(session: SessionId | undefined): void {
    this.saveSettings({ ...this.#settings, session });
  }

  loadPending(): PendingLanding | undefined {
    const bytes = readFileIfExistsSync(metaPath(this.root, PENDING_FILE));
    return bytes === undefined ? undefined : decodePendingLanding(bytes);
  }

  /** Durable on return. `content` is an encoded pack. */
  savePending(pending: PendingLanding, content: Uint8Array | undefined): void {
    if (content !== undefined) this.#write(PENDING_CONTENT_FILE, content);
    this.#write(PENDING_FILE, encodePendingLanding(pending));
    if (pending.resendable) this.notePendingSending();
  }

  loadPendingContent(): Uint8Array | undefined {
    return readFileIfExistsSync(metaPath(this.root, PENDING_CONTENT_FILE));
  }

  /**
   * Until when the pending landing is sent at the latest, and how long ago that was, negative while it is to come: by
   * the file system's clock.
   */
  pendingSent(): { readonly untilMs: number; readonly ageMs: number } {
    const untilMs = statSync(metaPath(this.root, PENDING_FILE)).mtimeMs;
    return { untilMs, ageMs: fileSystemTimeMs(this.root) - untilMs };
  }

  /** The pending landing is sent from now on. */
  notePendingSending(): void {
    const untilMs = fileSystemTimeMs(this.root) + this.#sendingMsMax;
    this.notePendingSent(Math.max(untilMs, this.pendingSent().untilMs));
  }

  notePendingSent(untilMs: number): void {
    if (!Number.isFinite(untilMs)) return;
    utimesSync(metaPath(this.root, PENDING_FILE), untilMs / 1000, untilMs / 1000);
  }

  /** The last attempt may begin at the end of the time for them. */
  get #sendingMsMax(): number {
    return 2 * (this.context.landTimeoutMs ?? LAND_TIMEOUT_MS);
  }

  clearPending(): void {
    this.#remove(PENDING_FILE);
    this.#remove(PENDING_CONTENT_FILE);
  }

  loadTransition(): Transition | undefined {
    const bytes = readFileIfExistsSync(metaPath(this.root, TRANSITION_FILE));
    return bytes === undefined ? undefined : decodeTransition(bytes);
  }

  /** Durable on return. */
  saveTransition(transition: Transition): void {
    this.#write(TRANSITION_FILE, encodedTransition(transition));
  }

  clearTransition(): void {
    this.#remove(TRANSITION_FILE);
  }

  loadOperations(): OperationLog {
    if (this.#operations !== undefined) return this.#operations;
    const bytes = readFileIfExistsSync(metaPath(this.root, OPERATIONS_FILE));
    const log = bytes === undefined ? EMPTY_OPERATION_LOG : decodeOperationLog(bytes);
    if (this.#isLocked) this.#operations = log;
    return log;
  }

  saveOperations(log: OperationLog): void {
    writeFileAtomic(metaPath(this.root, OPERATIONS_FILE), encodeOperationLog(log));
    if (this.#isLocked) this.#operations = log;
  }

  /** The newest position that this workspace has heard of; at least its base. */
  get latestKnown(): Position {
    const bytes = readFileIfExistsSync(metaPath(this.root, LATEST_FILE));
    const known = bytes?.length === 8 ? Number(new ByteReader(bytes, "latest known position").u64()) : 0;
    // Advice without a seal: what cannot be a position is damage, and knowing nothing does no harm.
    const heard = Number.isSafeInteger(known) ? known : 0;
    return Math.max(heard, this.index.base.position) as Position;
  }

  noteLatest(position: Position): void {
    if (position > this.latestKnown) this.#writeLatest(position);
  }

  /** What the forge says its head is: also takes back what was damaged, or heard before a forge was restored. */
  noteHead(position: Position): void {
    if (position !== this.latestKnown && position >= this.index.base.position) this.#writeLatest(position);
  }

  #writeLatest(position: Position): void {
    const bytes = new ByteWriter(8).u64(position).finish();
    writeFileAtomic(metaPath(this.root, LATEST_FILE), bytes, { unlocked: true });
  }

  /**
   * Runs `body` with the workspace's lock held, on state read after the lock was taken. Errors: `pending` when
   * another command keeps the lock, or when a clone into this workspace is not finished.
   */
  async exclusive<T>(body: () => Promise<T>): Promise<T> {
    const { clock, lockTimeoutMs, signal } = this.context;
    await using _lock = await acquireWorkspaceLock(this.root, {
      timeoutMs: lockTimeoutMs ?? LOCK_TIMEOUT_MS,
      clock,
      ...(signal === undefined ? {} : { signal }),
    });
    this.#settings = loadSettings(this.root);
    if (this.#index !== undefined && this.#identifyIndex() !== this.#indexFile) this.#index = undefined;
    this.#conflicts = undefined;
    this.objects.refresh();
    this.requireComplete();
    this.#isLocked = true;
    try {
      return await body();
    } finally {
      this.#isLocked = false;
      this.#operations = undefined;
    }
  }

  requireComplete(): void {
    const { cloning, projectName } = this.#settings;
    if (cloning === undefined) return;
    throw new MicError("pending", `the clone of ${projectName} into this directory is not finished`, {
      hint: "run the same `mic clone` again to continue it",
    });
  }

  #write(name: string, bytes: Uint8Array): void {
    writeFileAtomic(metaPath(this.root, name), bytes, { sync: true });
  }

  #remove(name: string): void {
    rmSync(metaPath(this.root, name), { force: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Nothing is held open between calls; the forge belongs to the context.
  }
}

/** Durable on return. */
export function writeSettings(root: string, settings: WorkspaceSettings): void {
  writeFileAtomic(metaPath(root, SETTINGS_FILE), encodeWorkspaceSettings(settings), { sync: true });
}

export function loadSettings(root: string): WorkspaceSettings {
  const bytes = readFileIfExistsSync(metaPath(root, SETTINGS_FILE));
  if (bytes === undefined) {
    throw new MicError("not-a-workspace", `${join(root, ".mic")} has no settings`, {
      hint: "run `mic init` or `mic clone`; if one of them was interrupted, run it again",
      data: { directory: root },
    });
  }
  try {
    return decodeWorkspaceSettings(bytes);
  } catch (error) {
    if (!isMicError(error, "corrupt")) throw error;
    const path = metaPath(root, SETTINGS_FILE);
    throw new MicError("corrupt", `${path}: ${error.message}`, {
      hint: "no file of yours is affected; delete it and run `mic link ADDRESS --at N` with the position you were at",
      cause: error,
      data: error.data,
    });
  }
}
