import { describe, expect, test } from "vitest";
import { isMicError } from "../../src/core/base/errors.ts";
import { EMPTY_ROOT, type Position, type ProjectId } from "../../src/core/base/ids.ts";
import { encodePack } from "../../src/core/codec/pack.ts";
import type { Forge, HeadInfo, ImportLandings, Landing, PositionRef } from "../../src/core/forge/forge.ts";
import { ForgeService } from "../../src/core/forge/service.ts";
import { FaultWorld } from "../../src/core/store/fault-store.ts";
import { FAULT_KINDS, type FaultRates } from "../../src/core/store/faults.ts";
import { MemoryStore } from "../../src/core/store/memory-store.ts";
import type { ObjectStore } from "../../src/core/store/object-store.ts";
import { TestProject } from "../support/forge-project.ts";
import { SeededRandom } from "../support/seeded-random.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

const RATES: FaultRates = Object.fromEntries(
  FAULT_KINDS.filter((kind) => kind.startsWith("swap-") || kind === "read-timeout").map((kind) => [
    kind,
    0.06,
  ]),
);
const SOURCE = "a".repeat(32) as ProjectId;
const COPY = "b".repeat(32) as ProjectId;
const SALT = "0011223344556677";
const LANDINGS = 7;
const SEEDS = 60;
const ZERO: PositionRef = { position: 0 as Position, root: EMPTY_ROOT };

interface History {
  readonly landings: readonly Landing[];
  readonly head: HeadInfo;
  /** All of its content. */
  readonly frames: ImportLandings["frames"];
}

function open(store: ObjectStore, clock: VirtualClock): ForgeService {
  return new ForgeService({
    store,
    address: "memory",
    clock,
    random: new SeededRandom(7),
    trustWriters: true,
  });
}

async function makeHistory(clock: VirtualClock): Promise<History> {
  const forge = open(new MemoryStore(clock), clock);
  await forge.createProject({ id: SOURCE, name: "acme/app", salt: SALT });
  const project = new TestProject(forge, SOURCE);
  for (let i = 1; i <= LANDINGS; i++) await project.land({ goal: `g${i}`, put: { [`f${i % 3}`]: `${i}` } });
  const landings: Landing[] = [];
  for (let i = 1; i <= LANDINGS; i++) landings.push(await forge.getLanding(SOURCE, i as Position));
  const put = Object.fromEntries(Array.from({ length: LANDINGS }, (_, i) => [`${i}`, `${i + 1}`]));
  return { landings, head: await forge.getHead(SOURCE), frames: project.request({ put }).frames };
}

/** As `mic publish` goes on after whatever happened: from the head that is there. */
async function importAll(forge: Forge, { landings, head, frames }: History, size: number): Promise<void> {
  for (let tries = 0; tries < 200; tries++) {
    try {
      const { position, root } = await forge.getHead(COPY);
      if (position >= head.position) return;
      const some = landings.slice(position, position + size);
      await forge.importLandings(COPY, { after: { position, root }, landings: some, packs: [], frames });
    } catch (error) {
      const isPassing =
        isMicError(error) && ["outcome-unknown", "unreachable", "history-changed"].includes(error.code);
      if (!isPassing) throw error;
    }
  }
  throw new Error("never done");
}

async function expectCopied(forge: Forge, { landings, head }: History, what: string): Promise<void> {
  expect(await forge.getHead(COPY), what).toEqual(head);
  for (const landing of landings) {
    expect(await forge.getLanding(COPY, landing.position), what).toEqual(landing);
  }
  await expectSound(forge, what);
}

/** An attempt that failed leaves its pack behind, which the collector takes. */
async function expectSound(forge: Forge, what: string): Promise<void> {
  const { findings } = await forge.fsck(COPY);
  expect(
    findings.filter(({ code }) => code !== "unreferenced"),
    what,
  ).toEqual([]);
}

test("two that import one history at once over a faulty store make one history of it", async () => {
  let faults = 0;
  for (let seed = 1; seed <= SEEDS; seed++) {
    const clock = new VirtualClock();
    const inner = new MemoryStore(clock);
    const etags = seed % 2 === 0 ? "content" : "version";
    const random = new SeededRandom(seed);
    const world = new FaultWorld(inner, { clock, random, rates: RATES, etags, atomicCommit: seed % 3 === 0 });
    const calm = open(inner, clock);
    const work = async (): Promise<History> => {
      const history = await makeHistory(clock);
      await calm.createProject({ id: COPY, name: "acme/copy", salt: SALT });
      await Promise.all([2, 3].map((size) => importAll(open(world.actor(), clock), history, size)));
      await world.settle();
      return history;
    };
    const history = await clock.run(work());
    await clock.run(expectCopied(calm, history, `seed ${seed}`));
    faults += world.observed;
  }
  expect(faults).toBeGreaterThan(SEEDS);
});

test("a landing beside an import over a faulty store never ends up inside it", async () => {
  let lost = 0;
  for (let seed = 1; seed <= SEEDS; seed++) {
    const clock = new VirtualClock();
    const inner = new MemoryStore(clock);
    const random = new SeededRandom(seed);
    const world = new FaultWorld(inner, { clock, random, rates: RATES });
    const calm = open(inner, clock);
    const work = async (): Promise<void> => {
      const history = await makeHistory(clock);
      await calm.createProject({ id: COPY, name: "acme/copy", salt: SALT });
      const { landings, frames } = history;
      const request = { after: ZERO, landings, packs: [], frames };
      const [imported, landed] = await Promise.allSettled([
        open(world.actor(), clock).importLandings(COPY, request),
        new TestProject(open(world.actor(), clock), COPY).tryLand({ put: { other: "1" } }),
      ]);
      await world.settle();
      const { position } = await calm.getHead(COPY);
      const first = position === 0 ? undefined : await calm.getLanding(COPY, 1 as Position);
      if (first?.landingId === landings[0]!.landingId) {
        expect([LANDINGS, LANDINGS + 1], `seed ${seed}`).toContain(position);
        for (const each of landings) expect(await calm.getLanding(COPY, each.position)).toEqual(each);
      } else {
        expect(imported.status, `seed ${seed}`).toBe("rejected");
        expect(position, `seed ${seed}`).toBeLessThanOrEqual(1);
        lost++;
      }
      if (imported.status === "fulfilled") expect(position).toBeGreaterThanOrEqual(LANDINGS);
      if (landed.status === "fulfilled" && landed.value.kind === "landed") {
        const own = await calm.getLanding(COPY, landed.value.position);
        expect(own.operations.map((operation) => operation.path)).toEqual(["other"]);
      }
      await expectSound(calm, `seed ${seed}`);
    };
    await clock.run(work());
  }
  expect(lost).toBeGreaterThan(0);
  expect(lost).toBeLessThan(SEEDS);
});

test("an import whose swap is lost to another process is refused, not unknown", async () => {
  const clock = new VirtualClock();
  const store = new MemoryStore(clock);
  const [first, second] = [open(store, clock), open(store, clock)];
  const work = async (): Promise<void> => {
    const { landings, frames } = await makeHistory(clock);
    await first.createProject({ id: COPY, name: "acme/copy", salt: SALT });
    // It knows this head and builds on it without asking again.
    await first.getHead(COPY);
    await new TestProject(second, COPY).land({ put: { other: "1" } });
    await expect(
      first.importLandings(COPY, { after: ZERO, landings, packs: [], frames }),
    ).rejects.toMatchObject({ code: "history-changed", data: { position: 1 } });
  };
  await clock.run(work());
});

describe.each([true, false])("an importer that dies, atomic commits: %s,", (atomicCommit) => {
  test("before or after any of its requests has imported all or nothing, and another finishes", async () => {
    const ends = { all: 0, nothing: 0 };
    for (let step = 0; step < 40; step++) {
      for (const moment of ["before", "after"] as const) {
        const clock = new VirtualClock();
        const inner = new MemoryStore(clock);
        const world = new FaultWorld(inner, { clock, random: new SeededRandom(1), rates: {}, atomicCommit });
        const calm = open(inner, clock);
        const run = async (): Promise<boolean> => {
          const history = await makeHistory(clock);
          await calm.createProject({ id: COPY, name: "acme/copy", salt: SALT });
          const actor = world.actor();
          const crashed = actor.crashAt(step, moment).then(() => "crashed");
          const importing = async (): Promise<string> => {
            const dying = open(actor, clock);
            const pack = await dying.putPack(COPY, encodePack(history.frames).bytes);
            await dying.importLandings(COPY, {
              after: ZERO,
              landings: history.landings.slice(0, 4),
              packs: [pack],
              frames: [],
            });
            return "imported";
          };
          if ((await Promise.race([crashed, importing()])) === "imported") return true;
          const { position } = await calm.getHead(COPY);
          expect([0, 4]).toContain(position);
          ends[position === 0 ? "nothing" : "all"]++;
          await importAll(open(inner, clock), history, 3);
          await expectCopied(calm, history, `step ${step} ${moment}`);
          return false;
        };
        if (!(await clock.run(run()))) continue;
        // It has fewer requests than this: every one of them was covered.
        expect(ends.all).toBeGreaterThan(0);
        expect(ends.nothing).toBeGreaterThan(3);
        return;
      }
    }
    throw new Error("an import makes more than 40 requests");
  });
});
