/** The landing simulator's world: one faulty store, several agents that crash and come back, one virtual clock. */
import type { Clock } from "../../src/core/base/clock.ts";
import { EMPTY_ROOT, type ProjectId } from "../../src/core/base/ids.ts";
import type { Random } from "../../src/core/base/random.ts";
import { ProjectStore } from "../../src/core/forge/project-store.ts";
import type { FaultStore } from "../../src/core/store/fault-store.ts";
import { FaultWorld } from "../../src/core/store/fault-store.ts";
import { type FaultRates, uniformRates } from "../../src/core/store/faults.ts";
import { MemoryStore } from "../../src/core/store/memory-store.ts";
import { SeededRandom } from "../support/seeded-random.ts";
import { VirtualClock } from "../support/virtual-clock.ts";
import { classOf } from "./key-class.ts";
import { addTroubles, NO_TROUBLES, type Troubles } from "./troubles.ts";

export const PROJECT = "5".repeat(32) as ProjectId;
export const EMPTY_TREE = EMPTY_ROOT;
const CACHE_BYTES = 8 << 20;

/** The virtual clock as one machine shows it. */
class SkewedClock implements Clock {
  readonly #clock: Clock;
  readonly #skewMs: number;

  constructor(clock: Clock, skewMs: number) {
    this.#clock = clock;
    this.#skewMs = skewMs;
  }

  nowMs(): number {
    return this.#clock.nowMs() + this.#skewMs;
  }

  sleep(durationMs: number, signal?: AbortSignal): Promise<void> {
    return this.#clock.sleep(durationMs, signal);
  }
}

export function openProject(
  store: FaultStore | MemoryStore,
  clock: Clock,
  random: Random,
  trustWriters = true,
): ProjectStore {
  return new ProjectStore({
    store,
    project: PROJECT,
    clock,
    random,
    cacheBytes: CACHE_BYTES,
    trustWriters,
  });
}

/** A process that lands for others. After a crash it is started again, knowing nothing. */
export class Agent {
  readonly name: string;
  readonly #world: World;
  #store: FaultStore | undefined;
  project!: ProjectStore;
  isClockWrong = false;
  #earlier: Troubles = NO_TROUBLES;

  constructor(name: string, world: World) {
    this.name = name;
    this.#world = world;
    this.start();
  }

  get troubles(): Troubles {
    return this.#store === undefined ? NO_TROUBLES : addTroubles(this.#earlier, this.#store);
  }

  start(): void {
    const { faults, random, clock, isCalm, trustWriters } = this.#world;
    this.#earlier = this.troubles;
    this.#store = faults.actor();
    const skewMs = !isCalm && random.below(10) === 0 ? random.below(2 * 3_600_000) - 3_600_000 : 0;
    this.isClockWrong = skewMs !== 0;
    this.project = openProject(
      this.#store,
      new SkewedClock(clock, skewMs),
      new SeededRandom(random.next()),
      trustWriters,
    );
    if (isCalm || random.below(3) === 0) return;
    const moment = random.below(2) === 0 ? "before" : "after";
    void this.#restartAfter(this.#store.crashAt(3 + random.below(60), moment));
  }

  async #restartAfter(crash: Promise<void>): Promise<void> {
    await crash;
    const { clock, random } = this.#world;
    this.#world.note(`${this.name} crashes`);
    await clock.sleep(random.below(5_000));
    this.start();
  }
}

export class World {
  readonly seed: number;
  readonly random: SeededRandom;
  readonly clock: VirtualClock;
  readonly memory: MemoryStore;
  readonly trustWriters: boolean;
  readonly faults: FaultWorld;
  readonly agents: readonly Agent[];
  readonly trace: string[] = [];
  isCalm = false;

  constructor(seed: number) {
    this.seed = seed;
    this.random = new SeededRandom(seed);
    // Just after midnight, or just before the day of the store ends.
    this.clock = new VirtualClock(Date.UTC(2026, 0, 1) - (this.random.below(2) === 0 ? 0 : 10_000));
    this.memory = new MemoryStore(this.clock);
    this.trustWriters = this.random.below(4) !== 0;
    const { clock, random } = this;
    this.faults = new FaultWorld(this.memory, {
      clock,
      random: new SeededRandom(random.next()),
      rates: ratesOf(random),
      atomicCommit: random.below(2) === 0,
      etags: random.below(2) === 0 ? "content" : "version",
      classOf,
    });
    const count = 2 + random.below(2);
    this.agents = Array.from({ length: count }, (_, i) => new Agent(`A${i}`, this));
  }

  note(line: string): void {
    this.trace.push(`${String(this.clock.nowMs() % 100_000_000).padStart(8)} ${line}`);
  }

  agent(): Agent {
    return this.agents[this.random.below(this.agents.length)]!;
  }

  /** No more faults; every agent is up. */
  async calm(): Promise<void> {
    this.isCalm = true;
    this.faults.dice.calm();
    for (const agent of this.agents) agent.start();
    await this.faults.settle();
  }
}

/** Weather: fair, rough, slow, or swaps that go wrong in one way or another. */
function ratesOf(random: SeededRandom): FaultRates {
  const kind = random.below(5);
  if (kind === 0) return uniformRates(0.004);
  if (kind === 1) return uniformRates(0.03);
  if (kind === 4)
    return { ...uniformRates(0.004), "read-slow": 0.3, "put-slow": 0.2, "swap-answer-slow": 0.2 };
  if (kind === 2)
    return { ...uniformRates(0.006), "swap-twice": 0.2, "swap-answer-lost": 0.2, "swap-late": 0.15 };
  return {
    ...uniformRates(0.004),
    "swap-412": 0.15,
    "swap-slow": 0.2,
    "swap-repeated-late": 0.1,
    "swap-500": 0.1,
  };
}
