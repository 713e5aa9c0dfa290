import { expect, test } from "vitest";
import { BATCH_LANDINGS_MAX } from "../../src/core/forge/landing/batch.ts";
import { MemoryStore } from "../../src/core/store/memory-store.ts";
import type { CommitOutcome, Put, Swap } from "../../src/core/store/object-store.ts";
import { EMPTY_BASE, landRequest, openFixture } from "../support/project-fixture.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

const SWAP_MS = 80;

class FarStore extends MemoryStore {
  swaps = 0;
  readonly #clock: VirtualClock;

  constructor(clock: VirtualClock) {
    super(clock);
    this.#clock = clock;
  }

  override async commit(puts: readonly Put[], swap: Swap): Promise<CommitOutcome> {
    await this.#clock.sleep(SWAP_MS);
    this.swaps++;
    return super.commit(puts, swap);
  }
}

interface Turns {
  readonly writers: number;
  readonly turns: number;
  readonly startMs?: (writer: number) => number;
  readonly pauseMs: (writer: number) => number;
  /** Each landing is made on the one before of its writer, not on the empty base. */
  readonly isChained?: boolean;
}

/** Writers that each land again a moment after they were answered. */
async function landInTurns({ writers, turns, startMs, pauseMs, isChained }: Turns) {
  const clock = new VirtualClock();
  const store = new FarStore(clock);
  const project = openFixture(store, clock);
  await clock.run(project.create());
  store.swaps = 0;
  const began = clock.nowMs();
  const one = async (writer: number): Promise<void> => {
    let base = EMPTY_BASE;
    if (startMs !== undefined) await clock.sleep(startMs(writer));
    for (let turn = 0; turn < turns; turn++) {
      const landed = await project.land(landRequest(base, { [`w${writer}/t${turn}`]: "1" }));
      if (landed.kind !== "landed") throw new Error(`turn ${turn} of writer ${writer}: ${landed.kind}`);
      if (isChained) base = landed;
      await clock.sleep(pauseMs(writer));
    }
  };
  await clock.run(Promise.all(Array.from({ length: writers }, (_, writer) => one(writer))));
  return { swaps: store.swaps, tookMs: clock.nowMs() - began };
}

test("those whom a swap answered share the next one, though they come back one after the other", async () => {
  const { swaps } = await landInTurns({ writers: 16, turns: 10, pauseMs: (writer) => writer / 4 });
  // The first comes alone, and everybody else a swap later.
  expect(swaps).toBeLessThanOrEqual(12);
});

test("writers who came in two groups are one after a few swaps", async () => {
  const { swaps } = await landInTurns({
    writers: 16,
    turns: 20,
    startMs: (writer) => (writer % 2) * (SWAP_MS / 2),
    pauseMs: (writer) => writer / 4,
    isChained: true,
  });
  expect(swaps).toBeLessThanOrEqual(24);
});

test("more than fit into a batch are not waited for", async () => {
  const turns = 6;
  const { swaps, tookMs } = await landInTurns({
    writers: 2 * BATCH_LANDINGS_MAX,
    turns,
    pauseMs: (writer) => writer / 8,
    isChained: true,
  });
  // One swap after the other, each full.
  expect(swaps).toBe(2 * turns);
  expect(tookMs).toBeLessThan(2 * turns * SWAP_MS + BATCH_LANDINGS_MAX / 4 + SWAP_MS / 2);
});

test("where others wait, nobody waits for those who were answered and do not come back", async () => {
  const clock = new VirtualClock();
  const store = new FarStore(clock);
  const project = openFixture(store, clock);
  await clock.run(project.create());
  // One every 5 ms, each by a writer of its own: enough that somebody always comes.
  const tookMs: number[] = [];
  const landOne = async (k: number): Promise<void> => {
    await clock.sleep(k * 5);
    const began = clock.nowMs();
    await project.land(landRequest(EMPTY_BASE, { [`f${k}`]: "1" }));
    tookMs.push(clock.nowMs() - began);
  };
  await clock.run(Promise.all(Array.from({ length: 200 }, (_, k) => landOne(k))));
  expect(Math.max(...tookMs)).toBeLessThanOrEqual(2 * SWAP_MS + SWAP_MS / 8);
});

test("a writer who is alone waits for nobody", async () => {
  const { tookMs } = await landInTurns({ writers: 1, turns: 10, pauseMs: () => 0 });
  expect(tookMs).toBe(10 * SWAP_MS);
});

test("those who do not come back are waited for only once, and not long", async () => {
  const clock = new VirtualClock();
  const store = new FarStore(clock);
  const project = openFixture(store, clock);
  await clock.run(project.create());
  const landOne = (path: string) => project.land(landRequest(EMPTY_BASE, { [path]: "1" }));
  await clock.run(Promise.all(["a", "b", "c", "d"].map(landOne)));
  const began = clock.nowMs();
  await clock.run(landOne("e"));
  await clock.run(landOne("f"));
  expect(clock.nowMs() - began).toBeLessThanOrEqual(2 * SWAP_MS + SWAP_MS / 8);
});
