/**
 * Days in the life of a few projects: one faulty store with a signature window, several agents (whole forges) that
 * crash, are stopped and come back, one virtual clock, and weather that changes.
 */
import type { Clock } from "../../../src/core/base/clock.ts";
import type { ObjectId } from "../../../src/core/base/ids.ts";
import { ForgeService } from "../../../src/core/forge/service.ts";
import { type FaultStore, FaultWorld } from "../../../src/core/store/fault-store.ts";
import { type FaultRates, uniformRates } from "../../../src/core/store/faults.ts";
import { MemoryStore } from "../../../src/core/store/memory-store.ts";
import type { ObjectStore } from "../../../src/core/store/object-store.ts";
import { SeededRandom } from "../../support/seeded-random.ts";
import { VirtualClock } from "../../support/virtual-clock.ts";
import { classOf } from "../key-class.ts";
import { retrying } from "../retrying-store.ts";
import { addTroubles, NO_TROUBLES, Since, type Troubles } from "../troubles.ts";
import { WatchedStore } from "./watched-store.ts";

export const SECOND_MS = 1000;
export const HOUR_MS = 3_600_000;
export const DAY_MS = 24 * HOUR_MS;
/** As on S3. */
const SIGNATURE_MS = 15 * 60 * SECOND_MS;
/** What is under way arrives within the window, or after it. */
const DELAY_MS_MAX = 25 * 60 * SECOND_MS;
/** A key that is older than this is in every list. */
export const FRESH_MS: number = 30 * 60 * SECOND_MS;

/**
 * What is done a few times in a life. `weight`: how much likelier than its rate a fault is there. `deaths`: of a
 * thousand such requests, so many are an agent's last.
 */
const RARE: Readonly<Record<string, { readonly weight: number; readonly deaths: number }>> = {
  "delete blob": { weight: 40, deaths: 60 },
  "delete pack": { weight: 25, deaths: 50 },
  "delete page": { weight: 100, deaths: 250 },
  "delete rollup": { weight: 60, deaths: 160 },
  "list blob": { weight: 6, deaths: 8 },
  "list pack": { weight: 4, deaths: 12 },
  "list project": { weight: 6, deaths: 20 },
  "list session": { weight: 6, deaths: 10 },
  "put blob": { weight: 1, deaths: 2 },
  "put pack": { weight: 1, deaths: 1 },
  "put page": { weight: 5, deaths: 15 },
  "put rollup": { weight: 4, deaths: 10 },
  "read gc": { weight: 4, deaths: 5 },
  "read meta": { weight: 4, deaths: 3 },
  "read page": { weight: 4, deaths: 8 },
  "read rollup": { weight: 4, deaths: 2 },
  "swap blob": { weight: 6, deaths: 15 },
  "swap gc": { weight: 8, deaths: 60 },
  "swap head": { weight: 1, deaths: 2 },
  "swap session": { weight: 4, deaths: 1 },
};

/** Stops are rarer than other faults. */
const RARE_STOPS = 4;
/** Where little happens, those who were stopped before their swap find the head as they left it. */
const QUIET_SWAP_STOPS = 60;

function weightOf(what: string): number {
  return RARE[what]?.weight ?? 1;
}

function stopWeightOf(what: string): number {
  return what in RARE && what !== "swap head" && what !== "swap session" ? RARE_STOPS * weightOf(what) : 1;
}

/**
 * `tidy`: longer, with more people who keep it small, so that what is done rarely elsewhere is done often. `quiet`:
 * one author who comes every other day, and one agent.
 */
type Temper = "usual" | "tidy" | "quiet";
const TEMPERS: readonly Temper[] = ["usual", "usual", "usual", "usual", "usual", "usual", "tidy", "quiet"];
const PACES_MS: Readonly<Record<Temper, readonly number[]>> = {
  usual: [20 * 60 * SECOND_MS, 3 * HOUR_MS, 12 * HOUR_MS, 40 * HOUR_MS],
  tidy: [HOUR_MS, 3 * HOUR_MS],
  quiet: [40 * HOUR_MS],
};

/** The virtual clock as one machine shows it. */
class WrongClock implements Clock {
  readonly #clock: Clock;
  readonly #shiftMs: number;
  /** Called the first time that somebody is told the wrong time. */
  #onAsked: (() => void) | undefined;

  constructor(clock: Clock, shiftMs: number, onAsked: () => void) {
    this.#clock = clock;
    this.#shiftMs = shiftMs;
    this.#onAsked = onAsked;
  }

  nowMs(): number {
    this.#onAsked?.();
    this.#onAsked = undefined;
    return this.#clock.nowMs() + this.#shiftMs;
  }

  sleep(durationMs: number, signal?: AbortSignal): Promise<void> {
    return this.#clock.sleep(durationMs, signal);
  }
}

/** A forge over a store that has no faults, as the auditor and the last calm days use it. */
export function openForge(
  store: ObjectStore,
  clock: Clock,
  random: SeededRandom,
  name: string,
): ForgeService {
  return new ForgeService({
    store,
    address: name,
    clock,
    random,
    trustWriters: random.below(4) !== 0,
    cacheBytes: random.below(3) === 0 ? 64 << 10 : 8 << 20,
  });
}

/** A process that serves others. After a crash it is started again, knowing nothing. */
export class LifeAgent {
  readonly name: string;
  readonly #world: LifeWorld;
  #store: FaultStore | undefined;
  #earlier: Troubles = NO_TROUBLES;
  isClockWrong = false;
  forge!: ForgeService;

  constructor(name: string, world: LifeWorld) {
    this.name = name;
    this.#world = world;
    this.start();
  }

  get troubles(): Troubles {
    return this.#store === undefined ? NO_TROUBLES : addTroubles(this.#earlier, this.#store);
  }

  /** Stops so far: what it began before one may be out of date after it. */
  get pauses(): number {
    return this.troubles.pauses;
  }

  start(): void {
    const { faults, random, clock, isCalm } = this.#world;
    this.#earlier = this.troubles;
    const actor = faults.actor();
    this.#store = actor;
    const isWrong = !isCalm && random.below(8) === 0;
    const shiftMs = isWrong ? random.below(2 * HOUR_MS) - HOUR_MS : 0;
    const shown = isWrong
      ? new WrongClock(clock, shiftMs, () => faults.table.saw("actor-clock-wrong", "clock"))
      : clock;
    this.isClockWrong = isWrong;
    const store = random.below(3) === 0 ? actor : retrying(actor, clock);
    this.forge = openForge(store, shown, new SeededRandom(random.next()), this.name);
    if (isCalm) return;
    const moment = random.below(2) === 0 ? "before" : "after";
    if (random.below(3) === 0) void this.#restartAfter(actor.crashAt(5 + random.below(300), moment));
    const isLast = (what: string): boolean => faults.dice.below(1000) < (RARE[what]?.deaths ?? 0);
    void this.#restartAfter(actor.crashWhen(isLast, 1, moment));
  }

  async #restartAfter(crash: Promise<void>): Promise<void> {
    await crash;
    const { clock, random } = this.#world;
    this.#world.note(`${this.name} crashes`);
    await clock.sleep(random.below(10) === 0 ? random.below(2 * DAY_MS) : random.below(60_000));
    this.start();
  }
}

export interface LifeStats {
  /** Calls that ended well. */
  rollups: number;
  merged: number;
  collected: number;
  reads: number;
  syncs: number;
  sessions: number;
}

export class LifeWorld {
  readonly seed: number;
  readonly random: SeededRandom;
  readonly clock: VirtualClock;
  readonly store: WatchedStore;
  readonly faults: FaultWorld;
  readonly agents: readonly LifeAgent[];
  readonly trace: string[] = [];
  /** Everything that was ever written, by its id. */
  readonly contents = new Map<ObjectId, Uint8Array>();
  readonly endMs: number;
  readonly temper: Temper;
  /** Usual time between two things that somebody does: from minutes to days. */
  readonly paceMs: number;
  readonly stats: LifeStats = { rollups: 0, merged: 0, collected: 0, reads: 0, syncs: 0, sessions: 0 };
  isCalm = false;
  #fail: (error: Error) => void = () => undefined;
  /** Rejects at the first breach of what must always hold. */
  readonly breach: Promise<never>;

  constructor(seed: number) {
    this.seed = seed;
    this.random = new SeededRandom(seed ^ 0x5eed11fe);
    const { random } = this;
    this.clock = new VirtualClock(Date.UTC(2026, 0, 1) + random.below(DAY_MS));
    this.temper = TEMPERS[random.below(TEMPERS.length)]!;
    const days = this.temper === "usual" ? 4 + random.below(9) : 9 + random.below(8);
    this.endMs = this.clock.nowMs() + days * DAY_MS;
    const paces = PACES_MS[this.temper];
    this.paceMs = paces[random.below(paces.length)]!;
    this.breach = new Promise((_, reject) => {
      this.#fail = reject;
    });
    this.breach.catch(() => undefined);
    this.store = new WatchedStore(new MemoryStore(this.clock), (what) => this.fail(what));
    this.faults = new FaultWorld(this.store, {
      clock: this.clock,
      random: new SeededRandom(random.next()),
      rates: {},
      etags: random.below(2) === 0 ? "content" : "version",
      delayMsMax: DELAY_MS_MAX,
      freshMs: FRESH_MS,
      signatureMs: SIGNATURE_MS,
      classOf,
      weightOf,
      stopWeightOf: (what) =>
        this.temper === "quiet" && what === "swap head" ? QUIET_SWAP_STOPS : stopWeightOf(what),
    });
    const count = this.temper === "quiet" ? 1 : 2 + random.below(2);
    this.agents = Array.from({ length: count }, (_, i) => new LifeAgent(`A${i}`, this));
  }

  fail(what: string): void {
    this.#fail(new Error(what));
  }

  note(line: string): void {
    const ms = this.clock.nowMs();
    this.trace.push(`${new Date(ms).toISOString().slice(5, 23)} ${line}`);
  }

  agent(): LifeAgent {
    return this.agents[this.random.below(this.agents.length)]!;
  }

  /** To be called before an agent is asked. */
  since(agent: LifeAgent): Since {
    return new Since(agent, this.clock.nowMs());
  }

  get isOver(): boolean {
    return this.clock.nowMs() >= this.endMs;
  }

  /** Some time around the usual pace, often much less. */
  async rest(paceMs = this.paceMs): Promise<void> {
    const { random } = this;
    const ms = random.below(3) !== 0 ? random.below(20 * SECOND_MS) : random.below(2 * paceMs);
    await this.clock.sleep(ms);
  }

  /** So long, but not beyond the end. */
  async sleepUntilEnd(durationMs: number): Promise<void> {
    await this.clock.sleep(Math.max(0, Math.min(durationMs, this.endMs - this.clock.nowMs())));
  }

  /** Changes the weather until the end. */
  async weather(): Promise<void> {
    const { random } = this;
    while (!this.isCalm && !this.isOver) {
      this.faults.dice.rates = ratesOf(random);
      await this.clock.sleep(random.below(12 * HOUR_MS));
    }
  }

  /** No more faults; every agent is up. */
  async calm(): Promise<void> {
    this.isCalm = true;
    this.faults.dice.calm();
    for (const agent of this.agents) agent.start();
    await this.faults.settle();
  }
}

/** Fair, rough, a storm, or swaps that go wrong. Actors are stopped in any weather. */
function ratesOf(random: SeededRandom): FaultRates {
  const stops = { "actor-paused": [0, 0.0005, 0.004][random.below(3)]! };
  switch (random.below(5)) {
    case 0:
      return { ...uniformRates(0.001), ...stops };
    case 1:
      return { ...uniformRates(0.008), ...stops };
    case 2:
      return { ...uniformRates(0.03), ...stops };
    case 3:
      return {
        ...uniformRates(0.01),
        ...stops,
        "swap-twice": 0.1,
        "swap-answer-lost": 0.1,
        "swap-late": 0.1,
        "put-late": 0.05,
        "delete-late": 0.1,
      };
    default:
      return {
        ...uniformRates(0.004),
        ...stops,
        "put-twice": 0.1,
        "list-omits-fresh": 0.5,
        "read-flipped": 0.05,
      };
  }
}
