/**
 * Keeps a workspace's answer to `mic status` warm, and vouches for it: an answer contains every change that was
 * made before the question was asked. For that, each question first makes a file (a cookie) below `.mic` and
 * waits until the source of changes reports it; as it reports in the order of the events, everything earlier
 * has then been heard of. Where that cannot be had, in time or at all, the answer is `blind`, and who asks
 * looks for himself.
 */
import { closeSync, openSync, readdirSync, rmSync, statSync } from "node:fs";
import { isMicError, MicError } from "../../base/errors.ts";
import { withTrackLists } from "../changes.ts";
import type { WorkspaceContext } from "../context.ts";
import { errorCode, INDEX_FILE, META_DIR, metaPath } from "../layout.ts";
import type { ScanResult } from "../scan.ts";
import { statusOf } from "../status.ts";
import {
  CONFLICTS_FILE,
  LATEST_FILE,
  PENDING_FILE,
  SETTINGS_FILE,
  TRANSITION_FILE,
  Workspace,
} from "../workspace.ts";
import type { ChangeSource } from "./change-source.ts";
import { COOKIE_PREFIX, WATCH_PROTOCOL, type WatchAnswer, type WatchRequest } from "./protocol.ts";
import { WarmChanges } from "./warm-changes.ts";

export type WatchEvent =
  | { readonly event: "watching"; readonly files: number; readonly changes: number }
  | { readonly event: "changes"; readonly changes: number }
  | { readonly event: "answered"; readonly ask: string; readonly kind: string; readonly ms: number }
  | { readonly event: "rescan"; readonly reason: string }
  | { readonly event: "blind"; readonly reason: string }
  | { readonly event: "ended"; readonly reason: string };

export interface WatchServiceOptions {
  /** Absolute and free of symlinks. */
  readonly root: string;
  readonly context: WorkspaceContext;
  /** Version and commit of this executable. */
  readonly build: string;
  readonly pid: number;
  readonly makeSource: () => ChangeSource;
  readonly onEvent?: (event: WatchEvent) => void;
  /** How long the cookie of a question may take. Default COOKIE_TIMEOUT_MS. */
  readonly cookieTimeoutMs?: number;
}

const COOKIE_TIMEOUT_MS = 1000;
/** After the last event; a storm is not looked at while it lasts, unless somebody asks. */
const QUIET_MS = 100;
const MOVED_CHECK_MS = 1000;
/** Everything is looked at again this often while there are questions: changes without events come to light. */
const VERIFY_MS = 60_000;
const RETRY_MS = 10_000;
/** A command at work replaces the state while an answer is made. */
const ATTEMPTS_MAX = 5;
/** More directories than these with changes: looking everywhere is as good. */
const DIRECTORIES_MAX = 4096;

const STATE_FILES = [SETTINGS_FILE, INDEX_FILE, CONFLICTS_FILE, PENDING_FILE, TRANSITION_FILE, LATEST_FILE];
const META_PREFIX = `${META_DIR}/`;

/** The workspace as it was loaded, and the file versions that it was loaded from. */
interface Loaded {
  readonly workspace: Workspace;
  readonly state: string;
}

export class WatchService implements AsyncDisposable {
  /** Resolves with the reason when it has ended by itself, or was told to end. */
  readonly ended: Promise<string>;
  readonly #options: WatchServiceOptions;
  readonly #metaIdentity: string;
  readonly #stop = new AbortController();
  readonly #cookies = new Map<string, (seen: boolean) => void>();
  #end: (reason: string) => void = () => undefined;
  #source: ChangeSource | undefined;
  /** Why it cannot vouch for anything now. */
  #blind: string | undefined = "it is starting";
  #loaded: Loaded | undefined;
  #warm: WarmChanges | undefined;
  #turn: Promise<unknown> = Promise.resolve();
  #lastEventMs = 0;
  #isWaking = false;
  #cookieNumber = 0;
  #lastFullMs = 0;
  #askedSince = false;
  /** The index that this service saved itself. */
  #savedIndex = "";
  #answer: { readonly key: string; readonly answer: WatchAnswer } | undefined;
  #changesShown = -1;

  private constructor(options: WatchServiceOptions) {
    this.#options = options;
    this.#metaIdentity = identify(options.root, "");
    this.ended = new Promise((resolve) => {
      this.#end = resolve;
    });
  }

  /** Resolves when it can answer. Errors: those of a scan, and of the source of changes. */
  static async start(options: WatchServiceOptions): Promise<WatchService> {
    const service = new WatchService(options);
    try {
      removeCookies(options.root);
      await service.#open();
      await service.#inTurn(() => service.#warmUp());
    } catch (error) {
      await service[Symbol.asyncDispose]();
      throw error;
    }
    const files = service.#warm!.index.count;
    service.#emit({ event: "watching", files, changes: service.#warm!.changes().length });
    void service.#lookAfter();
    return service;
  }

  async answer(request: WatchRequest): Promise<WatchAnswer> {
    const { build, root, clock } = { ...this.#options, ...this.#options.context };
    const startMs = clock.nowMs();
    let answer: WatchAnswer;
    if (request.ask === "stop") {
      answer = { kind: "stopping", pid: this.#options.pid };
      this.#finish("it was told to");
    } else if (request.protocol !== WATCH_PROTOCOL || request.build !== build) {
      answer = { kind: "blind", reason: "it is of another version" };
      this.#finish("another version of mic is in use");
    } else if (request.root !== root) {
      answer = { kind: "blind", reason: `it watches ${root}` };
      this.#checkPlace();
    } else if (request.ask === "about") {
      answer = { kind: "about", pid: this.#options.pid, ready: this.#blind === undefined };
    } else {
      this.#askedSince = true;
      answer = await this.#inTurn(() => this.#vouch(request));
    }
    this.#emit({ event: "answered", ask: request.ask, kind: answer.kind, ms: clock.nowMs() - startMs });
    return answer;
  }

  async #vouch(request: WatchRequest): Promise<WatchAnswer> {
    try {
      if (this.#blind !== undefined || !this.#checkPlace()) return this.#blindAnswer();
      if (!(await this.#hearEverything())) return this.#blindAnswer("its events are late");
      for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
        const { workspace, state } = this.#load();
        const warm = this.#warm!;
        await this.#refresh(warm);
        if (this.#blind !== undefined || !this.#checkPlace()) return this.#blindAnswer();
        const answer = this.#compose(request, workspace, warm, state);
        if (this.#identifyState() === state) return answer;
      }
      return this.#blindAnswer("another command is at work");
    } catch (error) {
      // Whoever asks finds the same, and can say it better.
      return this.#blindAnswer(messageOf(error));
    }
  }

  #blindAnswer(reason?: string): WatchAnswer {
    return { kind: "blind", reason: reason ?? this.#blind ?? "it has ended" };
  }

  #compose(request: WatchRequest, workspace: Workspace, warm: WarmChanges, state: string): WatchAnswer {
    if (request.ask === "directories") {
      const directories = warm.directories(DIRECTORIES_MAX);
      if (directories === undefined) return { kind: "blind", reason: "too much has changed" };
      return { kind: "directories", index: workspace.indexIdentity, directories };
    }
    const key = `${state} ${warm.version}`;
    if (this.#answer?.key === key) return this.#answer.answer;
    const changes = withTrackLists(workspace, warm.changes());
    const answer: WatchAnswer = {
      kind: "status",
      status: statusOf(workspace, changes, warm.passedOver()),
    };
    // Tracked paths that are ignored are looked at each time.
    if (workspace.settings.tracked.length === 0) this.#answer = { key, answer };
    return answer;
  }

  // State of the workspace

  /** Fresh when a command has changed the state since; keeps what is known when the index is the same. */
  #load(): Loaded {
    const { root, context } = this.#options;
    const state = this.#identifyState();
    if (this.#loaded?.state === state) return this.#loaded;
    const workspace = Workspace.openRoot(root, context);
    workspace.requireComplete();
    const { index } = workspace;
    const before = this.#loaded?.workspace;
    const { sparse } = workspace.settings;
    this.#loaded = { workspace, state };
    const isSame =
      before !== undefined &&
      before.indexIdentity === workspace.indexIdentity &&
      before.settings.sparse.join("\0") === sparse.join("\0");
    if (isSame && this.#warm !== undefined) return this.#loaded;
    const warm = new WarmChanges({ root, index, sparse, clock: context.clock });
    if (this.#warm?.hasUnreadable === true) void this.#reopen("a directory was not readable");
    this.#warm = warm;
    return this.#loaded;
  }

  #identifyState(): string {
    return STATE_FILES.map((name) => identify(this.#options.root, name)).join(" ");
  }

  /** Ends when `.mic` is not any more what and where it was. */
  #checkPlace(): boolean {
    if (this.#stop.signal.aborted) return false;
    if (identify(this.#options.root, "") === this.#metaIdentity) return true;
    this.#finish("the workspace was moved or deleted");
    return false;
  }

  async #refresh(warm: WarmChanges, all = false): Promise<ScanResult | undefined> {
    const scan = await warm.refresh({ all });
    if (scan === undefined) return undefined;
    if (scan.scanned.files >= warm.index.count) this.#lastFullMs = this.#options.context.clock.nowMs();
    const changes = warm.changes().length;
    if (changes !== this.#changesShown && this.#changesShown !== -1)
      this.#emit({ event: "changes", changes });
    this.#changesShown = changes;
    return scan;
  }

  /** Outside of questions: has everything looked at, and saves what makes later scans cheaper. */
  async #warmUp(): Promise<void> {
    if (this.#blind !== undefined || !this.#checkPlace()) return;
    const { workspace } = this.#load();
    const warm = this.#warm!;
    const scan = await this.#refresh(warm);
    if (scan?.worthSaving !== true || workspace.indexIdentity === this.#savedIndex) return;
    if (scan.scanned.files < warm.index.count) return;
    await workspace.saveFindings(warm.index, scan.findings);
    this.#savedIndex = identify(this.#options.root, INDEX_FILE);
    this.#load();
    await this.#refresh(this.#warm!);
  }

  // Events

  async #open(): Promise<void> {
    const source = this.#options.makeSource();
    this.#source = source;
    const isCurrent = (): boolean => this.#source === source && !this.#stop.signal.aborted;
    await source.start({
      changed: (path) => {
        if (isCurrent()) this.#changed(path);
      },
      lost: (reason) => {
        if (isCurrent()) void this.#reopen(reason);
      },
      failed: (error) => {
        if (isCurrent()) void this.#reopen(messageOf(error), RETRY_MS);
      },
    });
    if (isCurrent()) this.#blind = undefined;
  }

  #changed(path: string): void {
    this.#lastEventMs = this.#options.context.clock.nowMs();
    if (path.startsWith(META_PREFIX)) {
      const name = path.slice(META_PREFIX.length);
      if (name.startsWith(COOKIE_PREFIX)) this.#cookies.get(name)?.(true);
      else if (name === INDEX_FILE) void this.#wake();
      return;
    }
    this.#warm?.mark(path);
    void this.#wake();
  }

  /** Starts watching anew: after a loss, new directories may go unwatched and any change unheard. */
  async #reopen(reason: string, afterMs = 0): Promise<void> {
    this.#blind = reason;
    this.#emit({ event: "blind", reason });
    for (const seen of this.#cookies.values()) seen(false);
    const old = this.#source;
    this.#source = undefined;
    await old?.[Symbol.asyncDispose]();
    try {
      if (afterMs > 0) await this.#options.context.clock.sleep(afterMs, this.#stop.signal);
      if (this.#stop.signal.aborted || this.#source !== undefined) return;
      await this.#open();
      if (this.#blind !== undefined) return;
      this.#warm?.markEverything();
      this.#emit({ event: "rescan", reason });
      await this.#inTurn(() => this.#warmUp());
    } catch (error) {
      if (this.#stop.signal.aborted) return;
      if (this.#blind !== undefined) void this.#reopen(messageOf(error), RETRY_MS);
    }
  }

  /** False when the cookie was not reported in time, or watching was interrupted. */
  async #hearEverything(): Promise<boolean> {
    const { root, context, cookieTimeoutMs } = this.#options;
    const name = `${COOKIE_PREFIX}${++this.#cookieNumber}`;
    const path = metaPath(root, name);
    const timeout = new AbortController();
    try {
      const seen = new Promise<boolean>((resolve) => this.#cookies.set(name, resolve));
      closeSync(openSync(path, "w", 0o600));
      const late = context.clock.sleep(cookieTimeoutMs ?? COOKIE_TIMEOUT_MS, timeout.signal).then(
        () => false,
        () => false,
      );
      return await Promise.race([seen, late]);
    } finally {
      timeout.abort();
      this.#cookies.delete(name);
      rmSync(path, { force: true });
    }
  }

  /** Looks at what has changed once it is quiet, so that the next question is answered at once. */
  async #wake(): Promise<void> {
    if (this.#isWaking) return;
    this.#isWaking = true;
    const { clock } = this.#options.context;
    try {
      do await clock.sleep(QUIET_MS, this.#stop.signal);
      while (clock.nowMs() - this.#lastEventMs < QUIET_MS);
      this.#isWaking = false;
      await this.#inTurn(() => this.#warmUp());
    } catch (error) {
      // The next question meets it again, and whoever asks then looks for himself.
      if (!isMicError(error) && errorCode(error) === undefined) throw error;
    } finally {
      this.#isWaking = false;
    }
  }

  async #lookAfter(): Promise<void> {
    const { clock } = this.#options.context;
    while (!this.#stop.signal.aborted) {
      try {
        await clock.sleep(MOVED_CHECK_MS, this.#stop.signal);
        if (!this.#checkPlace()) return;
        if (this.#askedSince && clock.nowMs() - this.#lastFullMs >= VERIFY_MS) {
          await this.#inTurn(() => this.#verify());
        }
      } catch (error) {
        if (!isMicError(error) && errorCode(error) === undefined) throw error;
      }
    }
  }

  /** What no event told of: writing through a mapping, or on another machine of a shared file system. */
  async #verify(): Promise<void> {
    if (this.#blind !== undefined || this.#warm === undefined) return;
    const warm = this.#warm;
    await this.#refresh(warm);
    const before = JSON.stringify(warm.changes());
    this.#askedSince = false;
    await this.#refresh(warm, true);
    if (JSON.stringify(warm.changes()) !== before && !warm.isStale) {
      this.#emit({ event: "rescan", reason: "something changed without an event" });
    }
  }

  // Turns and ends

  #inTurn<T>(body: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(body);
    this.#turn = result.catch(() => undefined);
    return result;
  }

  #emit(event: WatchEvent): void {
    this.#options.onEvent?.(event);
  }

  #finish(reason: string): void {
    if (this.#stop.signal.aborted) return;
    this.#blind = "it has ended";
    this.#stop.abort(new MicError("aborted", reason));
    this.#emit({ event: "ended", reason });
    this.#end(reason);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#finish("it was closed");
    for (const seen of this.#cookies.values()) seen(false);
    await this.#source?.[Symbol.asyncDispose]();
    await this.#turn;
  }
}

/** Changes with every file that takes the name; `.mic` itself (empty name) by what it is, not what is in it. */
function identify(root: string, name: string): string {
  const path = name === "" ? metaPath(root) : metaPath(root, name);
  const stats = statSync(path, { bigint: true, throwIfNoEntry: false });
  if (stats === undefined) return "";
  if (name === "") return `${stats.dev} ${stats.ino}`;
  return `${stats.ino} ${stats.mtimeNs} ${stats.ctimeNs} ${stats.size}`;
}

/** Those of a watcher that was killed. */
function removeCookies(root: string): void {
  for (const name of readdirSync(metaPath(root))) {
    if (name.startsWith(COOKIE_PREFIX)) rmSync(metaPath(root, name), { force: true });
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
