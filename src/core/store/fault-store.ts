/**
 * A faulty store for the simulator. One `FaultWorld` stands for the store and its network; each actor has its
 * own `FaultStore` on it, and can be stopped before or after any of its steps. All chance comes from one
 * seeded `Random` and all time from the `Clock`, so a run replays exactly.
 */
import { type Clock, throwIfAborted } from "../base/clock.ts";
import { MicError } from "../base/errors.ts";
import { hashObject } from "../base/hash.ts";
import type { Random } from "../base/random.ts";
import { FaultTable } from "./fault-table.ts";
import { FaultDice, type FaultKind, type FaultOperation, type FaultRates } from "./faults.ts";
import type {
  CommitOutcome,
  ETag,
  ListOptions,
  ListPage,
  ObjectStore,
  Put,
  ReadOptions,
  StoredObject,
  Swap,
} from "./object-store.ts";
import { checkCommit } from "./store-key.ts";

export interface FaultOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly rates: FaultRates;
  /** A commit is one step of `inner`, as in a local directory. Default false: puts, then the swap, as on S3. */
  readonly atomicCommit?: boolean;
  /** `content`: equal content has equal ETags, as on stores that answer with the MD5. Default `version`. */
  readonly etags?: "version" | "content";
  /** Longest delay of a slow or late request. Default 30 s. */
  readonly delayMsMax?: number;
  /** How long a new key may be missing from lists. Default 60 s. */
  readonly freshMs?: number;
  /** Longest stop of an actor before a request. Default 6 days. */
  readonly pauseMsMax?: number;
  /**
   * A swap that was signed longer ago than this, or for later than the store's time by as much, is refused. It is
   * signed with the time of its check, or else when it is sent. Default: none is.
   */
  readonly signatureMs?: number;
  /** What kind of object a key or a prefix is, for the table of faults. */
  readonly classOf?: (key: string) => string;
  /** How much likelier than its rate a fault is where this is done (`delete pack`): for what is done rarely. Default 1. */
  readonly weightOf?: (what: string) => number;
  /** The same for stops of an actor. Default: `weightOf`. */
  readonly stopWeightOf?: (what: string) => number;
}

const DAY_MS = 86_400_000;

export class FaultWorld {
  readonly inner: ObjectStore;
  readonly clock: Clock;
  readonly dice: FaultDice;
  readonly atomicCommit: boolean;
  readonly #contentEtags: boolean;
  readonly #delayMsMax: number;
  readonly #freshMs: number;
  readonly #pauseMsMax: number;
  readonly #signatureMs: number;
  readonly #classOf: (key: string) => string;
  readonly weightOf: (what: string) => number;
  readonly stopWeightOf: (what: string) => number;
  /** What callers have seen. */
  readonly table = new FaultTable();
  /** Keys that a second delivery has reached, of which nobody can know before looking at them again. */
  readonly #delivered = new Map<string, { readonly fault: FaultKind; readonly what: string }>();
  readonly #putAtMs = new Map<string, number>();
  /** ETags of content, by key: with the ETag that the inner store has for the same. */
  readonly #contentEtagOf = new Map<string, { readonly inner: ETag; readonly etag: ETag }>();
  readonly #late = new Set<Promise<void>>();

  constructor(inner: ObjectStore, options: FaultOptions) {
    this.inner = inner;
    this.clock = options.clock;
    this.dice = new FaultDice(options.random, options.rates);
    this.atomicCommit = options.atomicCommit ?? false;
    this.#contentEtags = options.etags === "content";
    this.#delayMsMax = options.delayMsMax ?? 30_000;
    this.#freshMs = options.freshMs ?? 60_000;
    this.#pauseMsMax = options.pauseMsMax ?? 6 * DAY_MS;
    this.#signatureMs = options.signatureMs ?? Number.POSITIVE_INFINITY;
    this.#classOf = options.classOf ?? (() => "object");
    this.weightOf = options.weightOf ?? (() => 1);
    this.stopWeightOf = options.stopWeightOf ?? this.weightOf;
  }

  actor(): FaultStore {
    return new FaultStore(this);
  }

  /** Faults that a caller has seen, by kind. */
  get counts(): ReadonlyMap<FaultKind, number> {
    return this.table.kinds();
  }

  get observed(): number {
    return this.table.total;
  }

  /** `read head`, `put pack`, … */
  nameOf(operation: FaultOperation, key: string): string {
    return operation === "clock" ? "clock" : `${operation} ${this.#classOf(key)}`;
  }

  /** Resolves when every late request has been applied. */
  async settle(): Promise<void> {
    while (this.#late.size > 0) await Promise.all(this.#late);
  }

  /** Somebody called and had an answer, right or wrong, about these keys. */
  met(keys: readonly string[]): void {
    if (this.#delivered.size === 0) return;
    for (const key of keys) {
      const delivered = this.#delivered.get(key);
      if (delivered === undefined) continue;
      this.#delivered.delete(key);
      this.table.saw(delivered.fault, delivered.what);
    }
  }

  /** Ends a stop of an actor: most take minutes, a few take days. */
  pause(): Promise<void> {
    return this.clock.sleep(Math.ceil(this.dice.fraction() ** 3 * this.#pauseMsMax));
  }

  delay(signal?: AbortSignal): Promise<void> {
    // Most delays are short; a few are as long as they can be.
    return this.clock.sleep(Math.ceil(this.dice.fraction() ** 3 * this.#delayMsMax), signal);
  }

  /** Applies a request some time after its caller was answered. `again`: a second time, which its caller cannot see. */
  later(
    apply: () => Promise<unknown>,
    again?: { readonly fault: FaultKind; readonly what: string; readonly key: string },
  ): void {
    const task = this.delay()
      .then(apply)
      .then(() => {
        this.#late.delete(task);
        if (again !== undefined) this.#delivered.set(again.key, again);
      });
    this.#late.add(task);
  }

  /** Whether the store refuses a swap for the time that it was signed with. */
  isTooLate({ checkedAtMs }: Swap): boolean {
    return checkedAtMs !== undefined && Math.abs(this.clock.nowMs() - checkedAtMs) > this.#signatureMs;
  }

  /** As it is sent: with the time that it is signed with. */
  signed(swap: Swap): Swap {
    const { checkedAtMs = this.clock.nowMs() } = swap;
    return { ...swap, checkedAtMs, bytes: new Uint8Array(swap.bytes) };
  }

  async read(key: string, options: ReadOptions | undefined): Promise<StoredObject | undefined> {
    const found = await this.inner.get(key, options);
    if (found === undefined || !this.#contentEtags) return found;
    const known = this.#contentEtagOf.get(key);
    if (known?.inner === found.etag) return { bytes: found.bytes, etag: known.etag };
    const whole = options?.range === undefined ? found : await this.inner.get(key);
    if (whole === undefined) return undefined;
    const etag = hashObject(whole.bytes);
    this.#contentEtagOf.set(key, { inner: whole.etag, etag });
    return { bytes: found.bytes, etag };
  }

  async revalidate(
    key: string,
    etag: ETag,
    options: { readonly signal?: AbortSignal } | undefined,
  ): Promise<StoredObject | "unchanged" | undefined> {
    if (!this.#contentEtags) return this.inner.revalidate(key, etag, options);
    const found = await this.read(key, options);
    return found?.etag === etag ? "unchanged" : found;
  }

  async put(key: string, bytes: Uint8Array): Promise<void> {
    this.#putAtMs.set(key, this.clock.nowMs());
    await this.inner.put(key, bytes);
  }

  async swap(puts: readonly Put[], swap: Swap): Promise<CommitOutcome> {
    if (this.isTooLate(swap)) return { kind: "unknown", cause: tooLate() };
    for (const { key } of puts) this.#putAtMs.set(key, this.clock.nowMs());
    if (!this.#contentEtags || swap.expected === null) {
      const outcome = await this.inner.commit(puts, swap);
      const isNew = outcome.kind === "committed" && swap.expected === null;
      if (isNew) this.#putAtMs.set(swap.key, this.clock.nowMs());
      return this.#withEtag(outcome, swap.bytes);
    }
    for (;;) {
      const current = await this.inner.get(swap.key);
      if (current === undefined) return { kind: "missing" };
      if (hashObject(current.bytes) !== swap.expected) return { kind: "lost" };
      const outcome = await this.inner.commit(puts, { ...swap, expected: current.etag });
      if (outcome.kind !== "lost") return this.#withEtag(outcome, swap.bytes);
    }
  }

  #withEtag(outcome: CommitOutcome, bytes: Uint8Array): CommitOutcome {
    if (outcome.kind !== "committed" || !this.#contentEtags) return outcome;
    return { kind: "committed", etag: hashObject(bytes) };
  }

  isFresh(key: string): boolean {
    const putAtMs = this.#putAtMs.get(key);
    return putAtMs !== undefined && this.clock.nowMs() - putAtMs < this.#freshMs;
  }
}

function tooLate(): MicError {
  return new MicError("unreachable", "the request was signed too long ago", {
    data: { fault: "actor-too-late" },
  });
}

export interface StoreStep {
  /** From 0, in the order of the actor's steps. */
  readonly index: number;
  readonly moment: "before" | "after";
  readonly operation: "get" | "revalidate" | "put" | "swap" | "list" | "delete" | "now";
  readonly key: string;
}

const VERB_OF: Readonly<Record<StoreStep["operation"], FaultOperation>> = {
  get: "read",
  revalidate: "read",
  put: "put",
  swap: "swap",
  list: "list",
  delete: "delete",
  now: "clock",
};

type Draw = () => FaultKind | undefined;
type Saw = (kind: FaultKind) => void;

/** One actor's view of the world. */
export class FaultStore implements ObjectStore {
  readonly #world: FaultWorld;
  #steps = 0;
  readonly #met = new Map<FaultKind, number>();
  readonly #lastMetMs = new Map<FaultKind, number>();
  #crash:
    | { readonly index: number; readonly moment: StoreStep["moment"]; readonly reached: () => void }
    | undefined;
  #rareCrash:
    | {
        readonly isMeant: (what: string) => boolean;
        left: number;
        readonly moment: StoreStep["moment"];
        readonly reached: () => void;
      }
    | undefined;
  #crashed = false;
  /** Called at every step, for logs and for tests that do something between two steps of an actor. */
  onStep: ((step: StoreStep) => void | Promise<void>) | undefined;

  constructor(world: FaultWorld) {
    this.#world = world;
  }

  get description(): string {
    return `faulty ${this.#world.inner.description}`;
  }

  /** Steps taken so far. */
  get steps(): number {
    return this.#steps;
  }

  /** Times that it was stopped. */
  get pauses(): number {
    return this.met("actor-paused");
  }

  /** Times that something befell it. */
  met(kind: FaultKind): number {
    return this.#met.get(kind) ?? 0;
  }

  /** When something befell it last, in Unix milliseconds. */
  lastMetMs(kind: FaultKind): number {
    return this.#lastMetMs.get(kind) ?? 0;
  }

  #meets(kind: FaultKind): void {
    this.#met.set(kind, this.met(kind) + 1);
    this.#lastMetMs.set(kind, this.#world.clock.nowMs());
  }

  get crashed(): boolean {
    return this.#crashed;
  }

  /**
   * Stops the actor before or after its step `index`: that call and all later ones never return, as when the
   * process dies. The promise resolves when that happens; it never does when the actor has fewer steps.
   */
  crashAt(index: number, moment: StoreStep["moment"]): Promise<void> {
    return new Promise((reached) => {
      this.#crash = { index, moment, reached };
    });
  }

  /** The same at the `times`-th step that is one of these, counted from 1: `put rollup`, `delete pack`. */
  crashWhen(isMeant: (what: string) => boolean, times: number, moment: StoreStep["moment"]): Promise<void> {
    return new Promise((reached) => {
      this.#rareCrash = { isMeant, left: times, moment, reached };
    });
  }

  async #step<T>(
    operation: StoreStep["operation"],
    key: string,
    run: (saw: Saw, draw: Draw) => Promise<T>,
    keysOf: (result: T) => readonly string[] = () => [key],
  ): Promise<T> {
    const index = this.#steps++;
    const world = this.#world;
    const what = world.nameOf(VERB_OF[operation], key);
    const rare = this.#rareCrash;
    if (rare?.isMeant(what) && --rare.left === 0) this.#crash = { ...rare, index };
    // An actor that dies has seen nothing of what came before, so faults count when the call is over.
    const seen: FaultKind[] = [];
    let keys: readonly string[] = [];
    if (!this.#crashed && world.dice.drawPause(world.stopWeightOf(what))) {
      await world.pause();
      this.#meets("actor-paused");
      seen.push("actor-paused");
    }
    await this.#moment({ index, moment: "before", operation, key }, what);
    try {
      const draw: Draw = () => world.dice.draw(VERB_OF[operation], world.weightOf(what));
      const saw: Saw = (kind) => {
        this.#meets(kind);
        seen.push(kind);
      };
      const result = await run(saw, draw);
      keys = keysOf(result);
      return result;
    } finally {
      await this.#moment({ index, moment: "after", operation, key }, what);
      world.table.called(what);
      for (const kind of seen) world.table.saw(kind, what);
      world.met(keys);
    }
  }

  async #moment(step: StoreStep, what: string): Promise<void> {
    if (!this.#crashed) await this.onStep?.(step);
    if (this.#crash?.index === step.index && this.#crash.moment === step.moment) {
      this.#crashed = true;
      this.#world.table.saw(step.moment === "before" ? "actor-died-before" : "actor-died-after", what);
      this.#crash.reached();
    }
    if (this.#crashed) await new Promise<never>(() => undefined);
  }

  get(key: string, options?: ReadOptions): Promise<StoredObject | undefined> {
    return this.#step("get", key, async (saw, draw) => {
      const found = await this.#readWithFaults(saw, draw, options?.signal, () =>
        this.#world.read(key, options),
      );
      return found === "unchanged" ? undefined : found;
    });
  }

  revalidate(
    key: string,
    etag: ETag,
    options?: { readonly signal?: AbortSignal },
  ): Promise<StoredObject | "unchanged" | undefined> {
    return this.#step("revalidate", key, (saw, draw) =>
      this.#readWithFaults(saw, draw, options?.signal, () => this.#world.revalidate(key, etag, options)),
    );
  }

  async #readWithFaults(
    saw: Saw,
    draw: Draw,
    signal: AbortSignal | undefined,
    read: () => Promise<StoredObject | "unchanged" | undefined>,
  ): Promise<StoredObject | "unchanged" | undefined> {
    throwIfAborted(signal);
    const world = this.#world;
    const fault = draw();
    if (fault === "read-timeout" || fault === "read-500" || fault === "read-503") {
      if (fault === "read-timeout") await world.delay(signal);
      throw fail(fault, saw);
    }
    if (fault === "read-slow") {
      await world.delay(signal);
      saw(fault);
    }
    const found = await read();
    if (found === undefined || found === "unchanged" || found.bytes.length === 0) return found;
    if (fault === "read-flipped") {
      saw(fault);
      const bytes = new Uint8Array(found.bytes);
      const bit = world.dice.below(bytes.length * 8);
      bytes[bit >> 3]! ^= 1 << (bit & 7);
      return { bytes, etag: found.etag };
    }
    if (fault === "read-cut") {
      saw(fault);
      return { bytes: found.bytes.slice(0, world.dice.below(found.bytes.length)), etag: found.etag };
    }
    return found;
  }

  put(key: string, bytes: Uint8Array, options?: { readonly signal?: AbortSignal }): Promise<void> {
    return this.#step("put", key, async (saw, draw) => {
      throwIfAborted(options?.signal);
      const world = this.#world;
      const copy = new Uint8Array(bytes);
      const apply = (): Promise<void> => world.put(key, copy);
      const fault = draw();
      switch (fault) {
        case "put-500":
        case "put-503":
        case "put-full":
          throw fail(fault, saw);
        case "put-answer-lost":
          await apply();
          throw fail(fault, saw);
        case "put-late":
          world.later(apply);
          throw fail(fault, saw);
        case "put-twice":
          world.later(apply, { fault, key, what: world.nameOf("put", key) });
          break;
        case "put-slow":
          await world.delay(options?.signal);
          saw(fault);
      }
      await apply();
    });
  }

  async commit(
    puts: readonly Put[],
    swap: Swap,
    options?: { readonly signal?: AbortSignal },
  ): Promise<CommitOutcome> {
    checkCommit(puts, swap);
    if (!this.#world.atomicCommit) {
      for (const { key, bytes } of puts) await this.put(key, bytes, options);
    }
    return this.#step("swap", swap.key, (saw, draw) =>
      this.#swapWithFaults(saw, draw, this.#world.atomicCommit ? puts : [], swap, options?.signal),
    );
  }

  async #swapWithFaults(
    saw: Saw,
    draw: Draw,
    puts: readonly Put[],
    swap: Swap,
    signal: AbortSignal | undefined,
  ): Promise<CommitOutcome> {
    throwIfAborted(signal);
    const world = this.#world;
    const copies = puts.map(({ key, bytes }) => ({ key, bytes: new Uint8Array(bytes) }));
    const sent = world.signed(swap);
    const apply = (): Promise<CommitOutcome> => world.swap(copies, sent);
    const answered = async (): Promise<CommitOutcome> => {
      if (world.isTooLate(sent)) saw("actor-too-late");
      return await apply();
    };
    const fault = draw();
    if (fault === undefined) return answered();
    const unknown = (): CommitOutcome => ({ kind: "unknown", cause: fail(fault, saw) });
    switch (fault) {
      case "swap-slow":
        await world.delay(signal);
        saw(fault);
        return answered();
      case "swap-answer-slow": {
        const outcome = await answered();
        await world.delay();
        saw(fault);
        return outcome;
      }
      case "swap-answer-lost":
        await apply();
        await world.delay();
        return unknown();
      case "swap-late":
        world.later(apply);
        return unknown();
      case "swap-twice": {
        const first = await apply();
        const second = await apply();
        if (first.kind === "committed") saw(fault);
        return second;
      }
      case "swap-repeated-late":
        world.later(apply, { fault, key: swap.key, what: world.nameOf("swap", swap.key) });
        return answered();
      case "swap-412":
        saw(fault);
        return { kind: "lost" };
      case "swap-timeout":
        await world.delay();
        return unknown();
      default:
        return unknown();
    }
  }

  list(prefix: string, options?: ListOptions): Promise<ListPage> {
    const run = async (saw: Saw, draw: Draw): Promise<ListPage> => {
      throwIfAborted(options?.signal);
      const world = this.#world;
      const fault = draw();
      if (fault === "list-timeout" || fault === "list-503") {
        if (fault === "list-timeout") await world.delay(options?.signal);
        throw fail(fault, saw);
      }
      const page = await world.inner.list(prefix, options);
      if (fault !== "list-omits-fresh") return page;
      const objects = page.objects.filter(({ key }) => !world.isFresh(key) || world.dice.fraction() < 0.5);
      if (objects.length === page.objects.length) return page;
      saw(fault);
      return { ...page, objects };
    };
    return this.#step("list", prefix, run, ({ objects }) => objects.map(({ key }) => key));
  }

  delete(keys: readonly string[], options?: { readonly signal?: AbortSignal }): Promise<void> {
    return this.#step("delete", keys[keys.length >> 1] ?? "", async (saw, draw) => {
      throwIfAborted(options?.signal);
      const world = this.#world;
      const copy = [...keys];
      const fault = draw();
      if (fault === "delete-timeout" || fault === "delete-503") throw fail(fault, saw);
      if (fault === "delete-late") {
        world.later(() => world.inner.delete(copy));
        throw fail(fault, saw);
      }
      if (fault === "delete-partial" && copy.length > 1) {
        await world.inner.delete(world.dice.someOf(copy));
        throw fail(fault, saw);
      }
      await world.inner.delete(copy);
      if (fault === "delete-answer-lost") throw fail(fault, saw);
    });
  }

  nowMs(): Promise<number> {
    return this.#step("now", "", async (saw, draw) => {
      const world = this.#world;
      const fault = draw();
      if (fault === "clock-timeout") {
        await world.delay();
        throw fail(fault, saw);
      }
      const nowMs = await world.inner.nowMs();
      if (fault === undefined) return nowMs;
      saw(fault);
      return nowMs + Math.round((world.dice.fraction() * 2 - 1) * 60 * 60 * 1000);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // The world belongs to the simulator.
  }
}

function fail(fault: FaultKind, saw: Saw): MicError {
  saw(fault);
  const message = fault === "put-full" ? "the store is full" : `injected fault ${fault}`;
  return new MicError("unreachable", message, { data: { fault } });
}
