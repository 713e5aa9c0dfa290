/**
 * Keeps a workspace's answer to `mic status` warm, and vouches for it: an answer contains every change that was
 * made before the question was asked. For that, each question first makes a file (a cookie) below `.mic` and
 * waits until the source of changes reports it; as it reports in the order of the events, everything earlier
 * has then been heard of. Where that cannot be had, in time or at all, the answer is `blind`, and who asks
 * looks for himself.
 */
import { isMicError, MicError } from "../../base/errors.ts";
import { statusOf } from "../commands/status.ts";
import type { WorkspaceContext } from "../context.ts";
import { errorCode, INDEX_FILE, META_DIR } from "../layout.ts";
import { withTrackLists } from "../scan/changes.ts";
import type { ScanResult } from "../scan/scan.ts";
import { Workspace } from "../workspace.ts";
import type { ChangeSource } from "./change-source.ts";
import { Cookies } from "./cookies.ts";
import { WATCH_PROTOCOL, type WatchAnswer, type WatchRequest } from "./protocol.ts";
import { identifyIndexFile, identifyMeta, identifyState } from "./state-files.ts";
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
/**
 * Everything is looked at again this often while there are questions, or with this part of the time where it
 * takes long: changes without events come to light.
 */
const VERIFY_MS = 5000;
const VERIFY_SHARE = 0.01;
/** After a failure; twice as long after each that follows at once. */
const RETRY_MS = 5_000;
const RETRY_DOUBLINGS_MAX = 6;
/** A command at work replaces the state while an answer is made. */
const ATTEMPTS_MAX = 5;
/** More directories than these with changes: looking everywhere is as good. */
const DIRECTORIES_MAX = 4096;

/** Of more changes than these only the number is compared, to say that they are others. */
const COMPARED_MAX = 10_000;

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
  readonly #cookies: Cookies;
  #end: (reason: string) => void = () => undefined;
  #source: ChangeSource | undefined;
  /** Why it cannot vouch for anything now. */
  #blind: string | undefined = "it is starting";
  #loaded: Loaded | undefined;
  #warm: WarmChanges | undefined;
  #turn: Promise<unknown> = Promise.resolve();
  #lastEventMs = 0;
  #isWaking = false;
  #failures = 0;
  #askedSince = false;
  /** The index that this service saved itself. */
  #savedIndex = "";
  #answer: { readonly key: string; readonly answer: WatchAnswer } | undefined;
  /** The changes that were last told of. */
  #shown: string | undefined;

  private constructor(options: WatchServiceOptions) {
    this.#options = options;
    const { root, context, cookieTimeoutMs } = options;
    this.#metaIdentity = identifyMeta(root);
    this.#cookies = new Cookies(root, context.clock, cookieTimeoutMs ?? COOKIE_TIMEOUT_MS);
    this.ended = new Promise((resolve) => {
      this.#end = resolve;
    });
  }

  /** Resolves when it can answer. Errors: those of a scan, and of the source of changes. */
  static async start(options: WatchServiceOptions): Promise<WatchService> {
    const service = new WatchService(options);
    try {
      service.#cookies.removeLeftOver();
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
      if (!(await this.#cookies.wait())) return this.#blindAnswer("its events are late");
      for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
        const { workspace, state } = this.#load();
        const warm = this.#warm!;
        await this.#refresh(warm);
        if (this.#blind !== undefined || !this.#checkPlace()) return this.#blindAnswer();
        const answer = this.#compose(request, workspace, warm, state);
        if (identifyState(this.#options.root) === state) return answer;
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
    const state = identifyState(this.#options.root);
    if (this.#loaded?.state === state) return this.#loaded;
    const workspace = Workspace.openRoot(root, context);
    workspace.requireComplete();
    const { index } = workspace;
    const before = this.#loaded?.workspace;
    const { sparse } = workspace.settings;
    const warm = this.#warm;
    if (warm === undefined || before?.settings.sparse.join("\0") !== sparse.join("\0")) {
      this.#warm = new WarmChanges({ root, index, sparse, clock: context.clock });
    } else if (before.indexIdentity !== workspace.indexIdentity) {
      this.#warm = warm.carriedOver(index);
    }
    this.#loaded = { workspace, state };
    return this.#loaded;
  }

  /** Ends when `.mic` is not any more what and where it was. */
  #checkPlace(): boolean {
    if (this.#stop.signal.aborted) return false;
    if (identifyMeta(this.#options.root) === this.#metaIdentity) return true;
    this.#finish("the workspace was moved or deleted");
    return false;
  }

  async #refresh(warm: WarmChanges, all = false): Promise<ScanResult | undefined> {
    const scan = await warm.refresh({ all });
    if (scan === undefined) return undefined;
    this.#showChanges(warm);
    return scan;
  }

  #showChanges(warm: WarmChanges): void {
    const changes = warm.changes();
    const shown =
      changes.length > COMPARED_MAX
        ? `${changes.length}`
        : changes.map(({ op, path }) => `${op} ${path}`).join("\0");
    if (this.#shown !== undefined && this.#shown !== shown) {
      this.#emit({ event: "changes", changes: changes.length });
    }
    this.#shown = shown;
  }

  /** Outside of questions: has everything looked at, and saves what makes later scans cheaper. */
  async #warmUp(): Promise<void> {
    if (this.#blind !== undefined || !this.#checkPlace()) return;
    const { workspace } = this.#load();
    const warm = this.#warm!;
    const fullMs = warm.lastFullMs;
    const scan = await this.#refresh(warm);
    const wasFull = warm.lastFullMs !== fullMs;
    if (scan?.worthSaving !== true || !wasFull || workspace.indexIdentity === this.#savedIndex) return;
    await workspace.saveFindings(warm.index, scan.findings);
    this.#savedIndex = identifyIndexFile(this.#options.root);
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
        if (isCurrent()) void this.#reopen(messageOf(error), this.#retryMs());
      },
    });
    if (!isCurrent()) return;
    // Nothing is known of the time before.
    this.#warm?.markEverything();
    this.#blind = undefined;
    this.#failures = 0;
  }

  #changed(path: string): void {
    this.#lastEventMs = this.#options.context.clock.nowMs();
    if (path.startsWith(META_PREFIX)) {
      const name = path.slice(META_PREFIX.length);
      if (!this.#cookies.heard(name) && name === INDEX_FILE) void this.#wake();
      return;
    }
    this.#warm?.mark(path);
    void this.#wake();
  }

  #retryMs(): number {
    return RETRY_MS * 2 ** Math.min(this.#failures++, RETRY_DOUBLINGS_MAX);
  }

  /** Starts watching anew: after a loss, new directories may go unwatched and any change unheard. */
  async #reopen(reason: string, afterMs = 0): Promise<void> {
    this.#blind = reason;
    this.#emit({ event: "blind", reason });
    this.#cookies.lose();
    const old = this.#source;
    this.#source = undefined;
    await old?.[Symbol.asyncDispose]();
    try {
      if (afterMs > 0) await this.#options.context.clock.sleep(afterMs, this.#stop.signal);
      if (this.#stop.signal.aborted || this.#source !== undefined) return;
      await this.#open();
      if (this.#blind !== undefined) return;
      this.#emit({ event: "rescan", reason });
      await this.#inTurn(() => this.#warmUp());
    } catch (error) {
      if (this.#stop.signal.aborted) return;
      if (this.#blind !== undefined) void this.#reopen(messageOf(error), this.#retryMs());
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
        const { lastFullMs = 0, lastFullTookMs = 0 } = this.#warm ?? {};
        const verifyMs = Math.max(VERIFY_MS, lastFullTookMs / VERIFY_SHARE);
        if (this.#askedSince && clock.nowMs() - lastFullMs >= verifyMs) {
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
    this.#cookies.lose();
    await this.#source?.[Symbol.asyncDispose]();
    await this.#turn;
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
