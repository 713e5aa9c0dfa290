/**
 * A faulty store for the simulator. One `FaultWorld` stands for the store and its network; each actor has its
 * own `FaultStore` on it, and can be stopped before or after any of its steps. All chance comes from one
 * seeded `Random` and all time from the `Clock`, so a run replays exactly.
 */
import { type Clock, throwIfAborted } from "../base/clock.ts";
import { MicError } from "../base/errors.ts";
import { hashObject } from "../base/hash.ts";
import type { Random } from "../base/random.ts";
import { FaultDice, type FaultKind, type FaultRates } from "./faults.ts";
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
}

export class FaultWorld {
  readonly inner: ObjectStore;
  readonly clock: Clock;
  readonly dice: FaultDice;
  readonly atomicCommit: boolean;
  readonly #contentEtags: boolean;
  readonly #delayMsMax: number;
  readonly #freshMs: number;
  readonly #counts = new Map<FaultKind, number>();
  readonly #putAtMs = new Map<string, number>();
  readonly #late = new Set<Promise<void>>();

  constructor(inner: ObjectStore, options: FaultOptions) {
    this.inner = inner;
    this.clock = options.clock;
    this.dice = new FaultDice(options.random, options.rates);
    this.atomicCommit = options.atomicCommit ?? false;
    this.#contentEtags = options.etags === "content";
    this.#delayMsMax = options.delayMsMax ?? 30_000;
    this.#freshMs = options.freshMs ?? 60_000;
  }

  actor(): FaultStore {
    return new FaultStore(this);
  }

  /** Faults that a caller has seen, by kind. */
  get counts(): ReadonlyMap<FaultKind, number> {
    return this.#counts;
  }

  get observed(): number {
    let sum = 0;
    for (const count of this.#counts.values()) sum += count;
    return sum;
  }

  /** Resolves when every late request has been applied. */
  async settle(): Promise<void> {
    while (this.#late.size > 0) await Promise.all(this.#late);
  }

  saw(kind: FaultKind): void {
    this.#counts.set(kind, (this.#counts.get(kind) ?? 0) + 1);
  }

  delay(signal?: AbortSignal): Promise<void> {
    // Most delays are short; a few are as long as they can be.
    return this.clock.sleep(Math.ceil(this.dice.fraction() ** 3 * this.#delayMsMax), signal);
  }

  /** Applies a request some time after its caller was answered. */
  later(apply: () => Promise<unknown>): void {
    const task = this.delay()
      .then(apply)
      .then(() => {
        this.#late.delete(task);
      });
    this.#late.add(task);
  }

  async read(key: string, options: ReadOptions | undefined): Promise<StoredObject | undefined> {
    const found = await this.inner.get(key, options);
    if (found === undefined || !this.#contentEtags) return found;
    const whole = options?.range === undefined ? found : await this.inner.get(key);
    return whole === undefined ? undefined : { bytes: found.bytes, etag: hashObject(whole.bytes) };
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
    for (const { key } of puts) this.#putAtMs.set(key, this.clock.nowMs());
    if (!this.#contentEtags || swap.expected === null) {
      return this.#withEtag(await this.inner.commit(puts, swap), swap.bytes);
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

export interface StoreStep {
  /** From 0, in the order of the actor's steps. */
  readonly index: number;
  readonly moment: "before" | "after";
  readonly operation: "get" | "revalidate" | "put" | "swap" | "list" | "delete" | "now";
  readonly key: string;
}

/** One actor's view of the world. */
export class FaultStore implements ObjectStore {
  readonly #world: FaultWorld;
  #steps = 0;
  #crash:
    | { readonly index: number; readonly moment: StoreStep["moment"]; readonly reached: () => void }
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

  async #step<T>(operation: StoreStep["operation"], key: string, run: () => Promise<T>): Promise<T> {
    const index = this.#steps++;
    await this.#moment({ index, moment: "before", operation, key });
    try {
      return await run();
    } finally {
      await this.#moment({ index, moment: "after", operation, key });
    }
  }

  async #moment(step: StoreStep): Promise<void> {
    if (!this.#crashed) await this.onStep?.(step);
    if (this.#crash?.index === step.index && this.#crash.moment === step.moment) {
      this.#crashed = true;
      this.#crash.reached();
    }
    if (this.#crashed) await new Promise<never>(() => undefined);
  }

  get(key: string, options?: ReadOptions): Promise<StoredObject | undefined> {
    return this.#step("get", key, async () => {
      const found = await this.#readWithFaults(options?.signal, () => this.#world.read(key, options));
      return found === "unchanged" ? undefined : found;
    });
  }

  revalidate(
    key: string,
    etag: ETag,
    options?: { readonly signal?: AbortSignal },
  ): Promise<StoredObject | "unchanged" | undefined> {
    return this.#step("revalidate", key, () =>
      this.#readWithFaults(options?.signal, () => this.#world.revalidate(key, etag, options)),
    );
  }

  async #readWithFaults(
    signal: AbortSignal | undefined,
    read: () => Promise<StoredObject | "unchanged" | undefined>,
  ): Promise<StoredObject | "unchanged" | undefined> {
    throwIfAborted(signal);
    const world = this.#world;
    const fault = world.dice.draw("read");
    if (fault === "read-timeout" || fault === "read-500" || fault === "read-503") {
      if (fault === "read-timeout") await world.delay(signal);
      throw this.#fail(fault);
    }
    if (fault === "read-slow") {
      await world.delay(signal);
      world.saw(fault);
    }
    const found = await read();
    if (found === undefined || found === "unchanged" || found.bytes.length === 0) return found;
    if (fault === "read-flipped") {
      world.saw(fault);
      const bytes = new Uint8Array(found.bytes);
      const bit = world.dice.below(bytes.length * 8);
      bytes[bit >> 3]! ^= 1 << (bit & 7);
      return { bytes, etag: found.etag };
    }
    if (fault === "read-cut") {
      world.saw(fault);
      return { bytes: found.bytes.slice(0, world.dice.below(found.bytes.length)), etag: found.etag };
    }
    return found;
  }

  put(key: string, bytes: Uint8Array, options?: { readonly signal?: AbortSignal }): Promise<void> {
    return this.#step("put", key, async () => {
      throwIfAborted(options?.signal);
      const world = this.#world;
      const copy = new Uint8Array(bytes);
      const apply = (): Promise<void> => world.put(key, copy);
      const fault = world.dice.draw("put");
      switch (fault) {
        case "put-500":
        case "put-503":
        case "put-full":
          throw this.#fail(fault);
        case "put-answer-lost":
          await apply();
          throw this.#fail(fault);
        case "put-late":
          world.later(apply);
          throw this.#fail(fault);
        case "put-twice":
          world.later(apply);
          world.saw(fault);
          break;
        case "put-slow":
          await world.delay(options?.signal);
          world.saw(fault);
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
    return this.#step("swap", swap.key, () =>
      this.#swapWithFaults(this.#world.atomicCommit ? puts : [], swap, options?.signal),
    );
  }

  async #swapWithFaults(
    puts: readonly Put[],
    swap: Swap,
    signal: AbortSignal | undefined,
  ): Promise<CommitOutcome> {
    throwIfAborted(signal);
    const world = this.#world;
    const copies = puts.map(({ key, bytes }) => ({ key, bytes: new Uint8Array(bytes) }));
    const swapCopy = { ...swap, bytes: new Uint8Array(swap.bytes) };
    const apply = (): Promise<CommitOutcome> => world.swap(copies, swapCopy);
    const fault = world.dice.draw("swap");
    if (fault === undefined) return apply();
    const unknown = (): CommitOutcome => ({ kind: "unknown", cause: this.#fail(fault) });
    switch (fault) {
      case "swap-slow":
        await world.delay(signal);
        world.saw(fault);
        return apply();
      case "swap-answer-slow": {
        const outcome = await apply();
        await world.delay();
        world.saw(fault);
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
        if (first.kind === "committed") world.saw(fault);
        return second;
      }
      case "swap-repeated-late":
        world.later(apply);
        world.saw(fault);
        return apply();
      case "swap-412":
        world.saw(fault);
        return { kind: "lost" };
      case "swap-timeout":
        await world.delay();
        return unknown();
      default:
        return unknown();
    }
  }

  list(prefix: string, options?: ListOptions): Promise<ListPage> {
    return this.#step("list", prefix, async () => {
      throwIfAborted(options?.signal);
      const world = this.#world;
      const fault = world.dice.draw("list");
      if (fault === "list-timeout") {
        await world.delay(options?.signal);
        throw this.#fail(fault);
      }
      const page = await world.inner.list(prefix, options);
      if (fault !== "list-omits-fresh") return page;
      const objects = page.objects.filter(({ key }) => !world.isFresh(key) || world.dice.fraction() < 0.5);
      if (objects.length === page.objects.length) return page;
      world.saw(fault);
      return { ...page, objects };
    });
  }

  delete(keys: readonly string[], options?: { readonly signal?: AbortSignal }): Promise<void> {
    return this.#step("delete", keys[0] ?? "", async () => {
      throwIfAborted(options?.signal);
      const world = this.#world;
      const copy = [...keys];
      const fault = world.dice.draw("delete");
      if (fault === "delete-timeout") throw this.#fail(fault);
      if (fault === "delete-late") {
        world.later(() => world.inner.delete(copy));
        throw this.#fail(fault);
      }
      await world.inner.delete(copy);
      if (fault === "delete-answer-lost") throw this.#fail(fault);
    });
  }

  nowMs(): Promise<number> {
    return this.#step("now", "", async () => {
      const world = this.#world;
      const nowMs = await world.inner.nowMs();
      const fault = world.dice.draw("clock");
      if (fault === undefined) return nowMs;
      world.saw(fault);
      return nowMs + Math.round((world.dice.fraction() * 2 - 1) * 60 * 60 * 1000);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // The world belongs to the simulator.
  }

  #fail(fault: FaultKind): MicError {
    this.#world.saw(fault);
    const message = fault === "put-full" ? "the store is full" : `injected fault ${fault}`;
    return new MicError("unreachable", message, { data: { fault } });
  }
}
