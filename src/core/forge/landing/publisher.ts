/**
 * Lands into one project, one swap of its head at a time. While a swap is in flight, landings that arrive wait;
 * the next swap carries all of them. An answer leaves this file only when it is definite: `landed` after the
 * swap was, `conflict` with what is committed. Protocol: DESIGN.md §3, RELIABILITY.md "Unknown outcomes".
 */
import type { Clock } from "../../base/clock.ts";
import { isMicError, MicError } from "../../base/errors.ts";
import { CLOCK_AHEAD_MAX_MS } from "../../base/hlc.ts";
import { epochOf, type ProjectId } from "../../base/ids.ts";
import { jitterMs, type Random } from "../../base/random.ts";
import type { Head } from "../../codec/head.ts";
import type { PackCache } from "../../objects/pack-cache.ts";
import type { CommitOutcome, ETag, ObjectStore, Put, Swap } from "../../store/object-store.ts";
import type { UploadedPacks } from "../content/uploaded-packs.ts";
import type { HeadInfo, LandResult } from "../forge.ts";
import { type ChangedLists, type ChangeOutcome, checkLists, type HeadChange } from "../head/change.ts";
import type { ProjectCaches } from "../log/caches.ts";
import { sessionLanded } from "../log/session-errors.ts";
import type { Snapshot } from "../log/snapshot.ts";
import {
  BATCH_LANDINGS_MAX,
  Batch,
  type BatchContext,
  checkWriterVersion,
  type SealedBatch,
} from "./batch.ts";
import { findConflicts } from "./conflicts.ts";
import { Gathering } from "./gathering.ts";
import {
  landed,
  type Pending,
  PendingChange,
  PendingImport,
  PendingLanding,
  type PendingOptions,
} from "./pending.ts";
import { answerImport, type PreparedImport } from "./prepared-import.ts";
import type { PreparedLanding } from "./prepared-landing.ts";
import { type SealedHead, sealChange } from "./sealed-head.ts";

const BACKOFF_BASE_MS = 5;
const BACKOFF_CAP_MS = 2_000;
/**
 * After a swap that somebody else won: each of them lets one writer pass, so a long pause helps nobody and leaves
 * those behind who lost before.
 */
const BACKOFF_LOST_CAP_MS = 200;
/** A swap that is sent again and was signed this long ago is signed anew: a third of the window of signatures. */
const SIGNED_AGAIN_MS = 5 * 60_000;
/** A head that was seen this recently is built on without asking whether it is still the newest. */
const FRESH_MS = 1_000;
/** Changes that one swap carries at most. */
const CHANGES_MAX = 64;

type PendingLandings = PendingLanding | PendingImport;
/** Anyone who waits for a swap, whatever the answer will be. */
type Waiting = Pick<Pending<unknown>, "deadlineMs" | "isSettled" | "fail" | "markAbsent">;

/** Changes that one swap carries, and the lists that they make together. */
interface NextChanges {
  readonly pending: readonly PendingChange[];
  readonly lists: ChangedLists;
}

export interface PublisherOptions {
  readonly store: ObjectStore;
  readonly project: ProjectId;
  readonly clock: Clock;
  readonly random: Random;
  readonly trustWriters: boolean;
  readonly cache: PackCache;
  readonly caches: ProjectCaches;
  readonly uploads: UploadedPacks;
  /** From the first attempt of a landing until it is given up. */
  readonly timeoutMs: number;
  /** The newest snapshot known, without asking the store. */
  newest(): Snapshot | undefined;
  /** Unix milliseconds at which the store was last asked for it. */
  askedAtMs(): number;
  /** The newest snapshot, after asking the store. `untilMs`: when nobody waits for it any more. */
  refresh(untilMs?: number): Promise<Snapshot>;
  /** Takes in a head that this process has just committed over the one with the ETag `replaced`. */
  adopt(head: Head, etag: ETag, replaced: ETag | null): void;
}

export class Publisher {
  readonly #options: PublisherOptions;
  readonly #queue: PendingLandings[] = [];
  readonly #changes: PendingChange[] = [];
  #isRunning = false;
  /** The last swap was not simply committed: ask for the head before building on it. */
  #mustAsk = false;
  /** How often the store has been asked for the head. */
  #asks = 0;
  /** Attempts in a row that were not committed. */
  #setbacks = 0;
  readonly #gathering: Gathering;

  constructor(options: PublisherOptions) {
    this.#options = options;
    this.#gathering = new Gathering(options.clock);
  }

  /** Something is landing or waits for it. */
  get isRunning(): boolean {
    return this.#isRunning;
  }

  land(landing: PreparedLanding, signal?: AbortSignal): Promise<LandResult> {
    return this.#enqueue(new PendingLanding(landing, this.#pendingOptions(signal)));
  }

  importLandings(prepared: PreparedImport, signal?: AbortSignal): Promise<HeadInfo> {
    return this.#enqueue(new PendingImport(prepared, this.#pendingOptions(signal)));
  }

  /** Rides on the next swap of the head, or has one of its own when nobody lands. */
  attach(change: HeadChange, signal?: AbortSignal): Promise<ChangeOutcome> {
    const pending = new PendingChange(change, this.#pendingOptions(signal));
    this.#changes.push(pending);
    this.#start();
    return pending.result;
  }

  #pendingOptions(signal: AbortSignal | undefined): PendingOptions {
    const { clock, timeoutMs } = this.#options;
    return { deadlineMs: clock.nowMs() + timeoutMs, asksBefore: this.#asks, signal };
  }

  #enqueue<Result>(pending: PendingLandings & { readonly result: Promise<Result> }): Promise<Result> {
    this.#queue.push(pending);
    this.#gathering.came(pending.base.position, this.#queue.length);
    this.#start();
    return pending.result;
  }

  #start(): void {
    if (this.#isRunning) return;
    this.#isRunning = true;
    void this.#run();
  }

  async #run(): Promise<void> {
    while (this.#queue.length > 0 || this.#changes.length > 0) {
      const began = new Set<Waiting>([...this.#queue, ...this.#changes]);
      try {
        await this.#round();
      } catch (error) {
        // What stops a round before anything is sent stops everyone it began for. It may be over for who came since.
        for (const pending of began) pending.fail(error);
        keepOnly(this.#queue, (pending) => !began.has(pending));
        keepOnly(this.#changes, (pending) => !began.has(pending));
      }
    }
    this.#isRunning = false;
  }

  /** One batch and the changes that wait, on one head: look up, check, build, swap. */
  async #round(): Promise<void> {
    await this.#gathering.wait(() => this.#queue.length);
    const snapshot = await this.#head();
    const context = await this.#batchContext(snapshot);
    const { batch, members } = await this.#build(context);
    const changes = this.#changes.length === 0 ? undefined : await this.#nextChanges(context);
    if (members.length > 0) await this.#landBatch(batch, members, changes);
    else if (changes !== undefined) await this.#swapAlone(context, changes);
  }

  async #landBatch(
    batch: Batch,
    members: PendingLandings[],
    changes: NextChanges | undefined,
  ): Promise<void> {
    const changing = changes?.pending ?? [];
    let sealed: SealedBatch;
    try {
      sealed = sealUnsent(batch, members, changes?.lists);
    } catch (error) {
      for (const pending of members) pending.fail(error);
      // They had no part in this.
      this.#changes.unshift(...changing);
      return;
    }
    for (const pending of changing) pending.claim();
    const { clock } = this.#options;
    const beganMs = clock.nowMs();
    try {
      const outcome = await this.#commit(sealed, [...members, ...changing]);
      if (outcome.kind === "committed") {
        const first = sealed.members[0]!.record.position;
        const { position: last } = sealed.head;
        const tookMs = clock.nowMs() - beganMs;
        const { length: calls } = members;
        const callsMax = batch.isFull ? calls : BATCH_LANDINGS_MAX;
        this.#gathering.answered({ first, last, calls, callsMax, tookMs }, this.#queue.length);
        this.#settle(sealed, members, outcome.etag);
        for (const pending of changing) pending.resolve("applied");
        return;
      }
      // Not committed on that head, or committed and the answer lost: the look-up on the next head tells.
      this.#queue.unshift(...members.filter((pending) => !pending.isSettled));
      this.#changes.unshift(...changing);
    } catch (error) {
      for (const pending of [...members, ...changing]) pending.fail(error);
    }
  }

  async #swapAlone(context: BatchContext, { pending: changing, lists }: NextChanges): Promise<void> {
    try {
      const sealed = sealChange(context, lists);
      for (const pending of changing) pending.claim();
      const outcome = await this.#commit(sealed, changing);
      if (outcome.kind === "committed") {
        this.#committed(sealed, outcome.etag);
        for (const pending of changing) pending.resolve("applied");
      } else this.#changes.unshift(...changing);
    } catch (error) {
      for (const pending of changing) pending.fail(error);
    }
  }

  /** The next changes that fit this head, each on what the one before made of it. What fails to apply fails alone. */
  async #nextChanges(context: BatchContext): Promise<NextChanges | undefined> {
    const { epoch, storeMs } = context;
    const changing: PendingChange[] = [];
    const puts: Put[] = [];
    let { snapshot } = context;
    while (changing.length < CHANGES_MAX) {
      const pending = this.#changes.shift();
      if (pending === undefined) break;
      if (pending.isSettled) continue;
      try {
        const lists = await pending.change.apply(snapshot, { epoch, storeMs });
        // Whatever was sent of it expected an older head, or is in this one.
        pending.markAbsent();
        if (lists === undefined) {
          pending.resolve("obsolete");
          continue;
        }
        checkWriterVersion(snapshot.head);
        checkLists(pending.change.what, lists);
        this.#checkDeadline(pending);
        const isPaged = lists.pages !== snapshot.head.pages;
        changing.push(pending);
        puts.push(...lists.puts);
        snapshot = snapshot.withLists(lists);
        // The next one could not read pages that are not stored yet.
        if (isPaged) break;
      } catch (error) {
        pending.fail(error);
      }
    }
    if (changing.length === 0) return undefined;
    const { rollups, pages, packs } = snapshot.head;
    return { pending: changing, lists: { rollups, pages, packs, puts } };
  }

  /** A head to build on. Asks the store unless it was asked just now and nobody else seems to land. */
  async #head(): Promise<Snapshot> {
    const { newest, askedAtMs, refresh, clock } = this.#options;
    const known = newest();
    const ageMs = clock.nowMs() - askedAtMs();
    const isFresh = !this.#mustAsk && ageMs >= 0 && ageMs < FRESH_MS;
    const isBehind = this.#queue.some(({ base }) => base.position > (known?.head.position ?? 0));
    if (known !== undefined && isFresh && !isBehind) return known;
    this.#asks++;
    const snapshot = await refresh();
    this.#mustAsk = false;
    return snapshot;
  }

  /** Takes landings from the queue until the batch is full. Those that must wait stay, in order. */
  async #build(context: BatchContext): Promise<{ batch: Batch; members: PendingLandings[] }> {
    const { snapshot } = context;
    const batch = new Batch(context);
    const members: PendingLandings[] = [];
    const waiting: PendingLandings[] = [];
    while (!batch.isFull) {
      const pending = this.#queue.shift();
      if (pending === undefined) break;
      if (pending.isSettled) continue;
      // It came while this batch was built and knows a newer head than the batch does.
      const isAhead = pending.base.position > snapshot.head.position;
      const mustWait =
        pending instanceof PendingImport ? members.length > 0 : batch.mustWait(pending.landing);
      if ((isAhead && pending.asksBefore === this.#asks) || mustWait) {
        waiting.push(pending);
        continue;
      }
      try {
        const isIn =
          pending instanceof PendingImport
            ? await this.#addImport(batch, pending, context)
            : await this.#addLanding(batch, pending, context);
        if (isIn) members.push(pending);
      } catch (error) {
        // What is not there may have landed through another process since the head was asked for.
        if (isMicError(error, "not-found") && pending.asksBefore === this.#asks) {
          this.#mustAsk = true;
          waiting.push(pending);
        } else pending.fail(error);
      }
      // It stands on the head itself, all of it or nothing, so it shares no batch.
      if (pending instanceof PendingImport) break;
    }
    this.#queue.unshift(...waiting);
    return { batch, members };
  }

  async #addLanding(batch: Batch, pending: PendingLanding, context: BatchContext): Promise<boolean> {
    const answer = await answerFrom(context.snapshot, pending);
    if (answer === undefined) {
      this.#checkPlace(pending, context);
      return await batch.add(pending.landing, () => pending.claim());
    }
    pending.resolve(answer);
    return false;
  }

  async #addImport(batch: Batch, pending: PendingImport, context: BatchContext): Promise<boolean> {
    const answer = await answerImport(context.snapshot, pending.prepared, () => pending.markAbsent());
    if (answer === undefined) {
      this.#checkPlace(pending, context);
      return await batch.addAll(pending.prepared.landings, () => pending.claim());
    }
    pending.resolve(answer);
    return false;
  }

  async #batchContext(snapshot: Snapshot): Promise<BatchContext> {
    const { store, clock, cache, caches, uploads, random, trustWriters } = this.#options;
    const storeMs = await store.nowMs();
    const localMs = clock.nowMs();
    const epoch = epochOf(storeMs);
    return { snapshot, cache, pages: caches.pages, uploads, random, trustWriters, storeMs, localMs, epoch };
  }

  /** What must hold before anything new is written. Looked at after the look-up: a landed landing stays landed. */
  #checkPlace(pending: Waiting, place: { snapshot: Snapshot; storeMs: number; localMs: number }): void {
    checkWriterVersion(place.snapshot.head);
    const aheadMs = place.localMs - place.storeMs;
    if (aheadMs > CLOCK_AHEAD_MAX_MS) {
      throw new MicError(
        "out-of-range",
        `this machine's clock is ${Math.round(aheadMs / 1000)} s ahead of the store's`,
        {
          hint: "set the clock",
        },
      );
    }
    this.#checkDeadline(pending);
  }

  #checkDeadline(pending: Waiting): void {
    if (this.#options.clock.nowMs() <= pending.deadlineMs) return;
    throw new MicError("unreachable", "other writers always came first", { hint: "try again" });
  }

  /**
   * Sends the swap until its outcome is definite. `moved`: the head is another one now, so the swap was lost or
   * was applied before that; it can no longer apply. Throws when nothing was sent, or when nobody waits for the
   * outcome any more. The members' time bounds every request: a swap that it ends is unknown like any that has no
   * answer, and stays so for those who waited unless a last look at the head tells more.
   */
  async #commit(
    sealed: SealedHead,
    members: readonly Waiting[],
  ): Promise<{ kind: "committed"; etag: ETag } | { kind: "moved" }> {
    const { store, project, newest } = this.#options;
    const untilMs = Math.max(...members.map(({ deadlineMs }) => deadlineMs));
    let { swap } = sealed;
    let signedAtMs = this.#options.clock.nowMs();
    for (let attempt = 0; ; attempt++) {
      let outcome: CommitOutcome;
      try {
        if (this.#options.clock.nowMs() - signedAtMs >= SIGNED_AGAIN_MS) {
          swap = signedAgain(swap, await store.nowMs());
          signedAtMs = this.#options.clock.nowMs();
        }
        outcome = await store.commit(sealed.puts, swap, { untilMs });
      } catch (cause) {
        // Thrown: this time nothing was sent. An earlier time may still count.
        if (attempt === 0) {
          for (const pending of members) pending.markAbsent();
          throw cause;
        }
        outcome = { kind: "unknown", cause };
      }
      if (outcome.kind === "committed") return outcome;
      if (outcome.kind === "missing") {
        for (const pending of members) pending.markAbsent();
        throw headGone(project);
      }
      const cause = outcome.kind === "unknown" ? outcome.cause : undefined;
      this.#mustAsk = true;
      const capMs = outcome.kind === "lost" ? BACKOFF_LOST_CAP_MS : BACKOFF_CAP_MS;
      await this.#askAgain(members, { cause, capMs, untilMs });
      this.#mustAsk = false;
      // While the head is the one we built on, what was sent may yet apply: only the same bytes may follow.
      if (newest()?.etag !== swap.expected) return { kind: "moved" };
      this.#giveUpLate(members, cause);
    }
  }

  /** Backs off and reads the head, until that works. Throws when nobody waits any more. */
  async #askAgain(
    members: readonly Waiting[],
    { cause, capMs, untilMs }: { readonly cause: unknown; readonly capMs: number; readonly untilMs: number },
  ): Promise<void> {
    const { clock, random, refresh, project } = this.#options;
    for (;;) {
      await clock.sleep(jitterMs(random, this.#setbacks, BACKOFF_BASE_MS, capMs));
      this.#setbacks++;
      try {
        this.#asks++;
        await refresh(untilMs);
        return;
      } catch (error) {
        if (isMicError(error, "not-found")) throw headGone(project);
        if (!isMicError(error) || error.kind !== "retry") throw error;
        this.#giveUpLate(members, cause ?? error);
      }
    }
  }

  /** Ends the wait of those whose time is over. Throws when nobody is left. */
  #giveUpLate(members: readonly Waiting[], cause: unknown): void {
    const nowMs = this.#options.clock.nowMs();
    for (const pending of members) if (nowMs > pending.deadlineMs) pending.fail(cause);
    if (members.every((pending) => pending.isSettled)) throw cause;
  }

  #settle(sealed: SealedBatch, members: readonly PendingLandings[], etag: ETag): void {
    const { cache, caches } = this.#options;
    cache.admit(sealed.pack, sealed.packBytes);
    const records = sealed.members.map((member) => member.record);
    caches.records.add(sealed.pack.pack, records, sealed.recordBytes);
    for (const { tree } of sealed.members) {
      tree.markStored();
      caches.addTree(tree);
    }
    this.#committed(sealed, etag);
    for (let i = 0; i < members.length; i++) members[i]!.committed(sealed, i);
  }

  #committed({ head, swap }: SealedHead, etag: ETag): void {
    this.#options.adopt(head, etag, swap.expected);
    this.#setbacks = 0;
  }
}

/**
 * The same bytes with the time of a new check. A store takes no request whose signature is past its window, so that
 * a swap which is repeated for longer than that could never have a definite answer. What the first check vouched for
 * is that everything newly named is of that day by the store's clock, or of the day before (head/epochs.ts): on the
 * same day it is so still, and on the next one nothing is signed anew.
 */
function signedAgain(swap: Swap, storeMs: number): Swap {
  const { checkedAtMs } = swap;
  if (checkedAtMs === undefined || epochOf(storeMs) !== epochOf(checkedAtMs)) return swap;
  return { ...swap, checkedAtMs: Math.max(checkedAtMs, storeMs) };
}

function keepOnly<T>(list: T[], isKept: (item: T) => boolean): void {
  list.splice(0, list.length, ...list.filter(isKept));
}

/** Seals a batch; when that fails, nothing of it was sent. */
function sealUnsent(
  batch: Batch,
  members: readonly Waiting[],
  changed: ChangedLists | undefined,
): SealedBatch {
  try {
    return batch.seal(changed);
  } catch (error) {
    for (const pending of members) pending.markAbsent();
    throw error;
  }
}

/** A definite answer from what is committed: landed already, or in conflict. `undefined`: it may land. */
async function answerFrom(snapshot: Snapshot, pending: PendingLanding): Promise<LandResult | undefined> {
  const { landing } = pending;
  const { request } = landing;
  const { base, landingId } = request;
  const known = await snapshot.findLanding(landingId, base.position);
  if (known !== undefined) {
    if (known.digest === landing.digest && known.author === request.author) return landed(known);
    throw new MicError(
      "landing-id-reused",
      `landing id ${landingId} is already in use at ${known.position}`,
      {
        hint: "a landing whose content or base changed needs a new id",
        data: { landingId, position: known.position },
      },
    );
  }
  pending.markAbsent();
  const { position } = snapshot.head;
  if (landing.isOnly === true) {
    const landedAt = await snapshot.landingOfSession(landing.session, base.position);
    if (landedAt !== undefined) throw sessionLanded(landing.session, landedAt);
  }
  if (base.position > position || (await snapshot.rootAt(base.position)) !== base.root) {
    throw new MicError("history-changed", `the base ${base.position} is not in the history of this project`, {
      hint: "was the project restored from a backup, or is this another project?",
      data: { position },
    });
  }
  if (base.position === position) return undefined;
  const paths = await findConflicts(snapshot, request.operations, base.position);
  return paths.length === 0 ? undefined : { kind: "conflict", paths };
}

function headGone(project: ProjectId): MicError {
  return new MicError("corrupt", `the head of project ${project} is gone`, {
    hint: "restore it from a backup of the store; it is never written anew",
    data: { project },
  });
}
