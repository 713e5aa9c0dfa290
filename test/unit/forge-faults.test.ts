import { expect, test } from "vitest";
import { isMicError } from "../../src/core/base/errors.ts";
import type { ProjectId, SessionId } from "../../src/core/base/ids.ts";
import type { ForgeService } from "../../src/core/forge/service.ts";
import { ForgeService as Service } from "../../src/core/forge/service.ts";
import { FaultWorld } from "../../src/core/store/fault-store.ts";
import { FAULT_KINDS, type FaultRates } from "../../src/core/store/faults.ts";
import { MemoryStore } from "../../src/core/store/memory-store.ts";
import { SeededRandom } from "../support/seeded-random.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

/** Every way in which a swap can have no answer, a wrong one, or two; and reads that fail. */
const RATES: FaultRates = Object.fromEntries(
  FAULT_KINDS.filter((kind) => kind.startsWith("swap-") || kind === "read-timeout").map((kind) => [
    kind,
    0.06,
  ]),
);
const SEEDS = 60;
const WRITERS = 3;
const PROJECT = "5".repeat(32) as ProjectId;
const SESSION = "6".repeat(32) as SessionId;

interface Run {
  readonly clock: VirtualClock;
  readonly world: FaultWorld;
  readonly calm: ForgeService;
  writer(): ForgeService;
}

function start(seed: number): Run {
  const clock = new VirtualClock();
  const random = new SeededRandom(seed);
  const inner = new MemoryStore(clock);
  const etags = seed % 2 === 0 ? "content" : "version";
  const world = new FaultWorld(inner, { clock, random, rates: RATES, etags });
  const open = (store: MemoryStore | ReturnType<FaultWorld["actor"]>): ForgeService =>
    new Service({ store, address: "faulty", clock, random, trustWriters: true });
  return { clock, world, calm: open(inner), writer: () => open(world.actor()) };
}

/** True when acknowledged; false when the outcome is unknown or the store could not be reached. */
async function attempt(call: Promise<unknown>): Promise<boolean> {
  try {
    await call;
    return true;
  } catch (error) {
    if (!isMicError(error, "outcome-unknown") && !isMicError(error, "unreachable")) throw error;
    return false;
  }
}

test("what a session acknowledged is recorded exactly once, whatever becomes of the answers", async () => {
  let faults = 0;
  for (let seed = 1; seed <= SEEDS; seed++) {
    const { clock, world, calm, writer } = start(seed);
    const acknowledged: string[] = [];
    const attempted: string[] = [];
    const work = async (): Promise<void> => {
      await calm.createProject({ id: PROJECT, name: "acme/app" });
      await calm.startSession(PROJECT, { id: SESSION, goal: "g", owner: "o" });
      const write = async (forge: ForgeService, name: string): Promise<void> => {
        for (let i = 0; i < 6; i++) {
          const text = `${name} ${i}`;
          attempted.push(text);
          if (await attempt(forge.recordDecision(PROJECT, SESSION, text))) acknowledged.push(text);
        }
      };
      await Promise.all(Array.from({ length: WRITERS }, (_, i) => write(writer(), `writer ${i}`)));
      await world.settle();
    };
    await clock.run(work());
    const { decisions } = await calm.getSession(PROJECT, SESSION);
    expect(new Set(decisions).size, `seed ${seed}: recorded twice`).toBe(decisions.length);
    for (const text of acknowledged) expect(decisions, `seed ${seed}: lost`).toContain(text);
    for (const text of decisions) expect(attempted, `seed ${seed}`).toContain(text);
    faults += world.observed;
  }
  expect(faults).toBeGreaterThan(SEEDS * 5);
});

test("of projects created under one name at once one has it, and a retry recognises itself", async () => {
  for (let seed = 1; seed <= SEEDS; seed++) {
    const { clock, world, calm, writer } = start(seed);
    const ids = Array.from({ length: WRITERS }, (_, i) => `${i}`.repeat(32) as ProjectId);
    const winners: ProjectId[] = [];
    const create = async (id: ProjectId): Promise<void> => {
      for (let tries = 0; tries < 20; tries++) {
        try {
          if (!(await attempt(writer().createProject({ id, name: "acme/app" })))) continue;
          winners.push(id);
        } catch (error) {
          if (!isMicError(error, "already-exists")) throw error;
        }
        return;
      }
    };
    await clock.run(Promise.all(ids.map(create)).then(() => world.settle()));
    expect(winners, `seed ${seed}`).toHaveLength(1);
    expect((await calm.getProject("acme/app")).id, `seed ${seed}`).toBe(winners[0]);
    expect((await calm.fsck(winners[0]!)).findings, `seed ${seed}`).toEqual([]);
  }
});

test("a project that was renamed and deleted over a faulty store ends as it was acknowledged", async () => {
  for (let seed = 1; seed <= SEEDS; seed++) {
    const { clock, world, calm, writer } = start(seed);
    const forge = writer();
    const until = async (call: () => Promise<unknown>): Promise<void> => {
      for (let tries = 0; tries < 20; tries++) if (await attempt(call())) return;
      throw new Error(`seed ${seed}: never acknowledged`);
    };
    const work = async (): Promise<void> => {
      await until(() => forge.createProject({ id: PROJECT, name: "acme/a" }));
      await until(() => forge.updateProject(PROJECT, { name: "acme/b", description: "moved" }));
      await until(() => forge.updateProject(PROJECT, { name: "acme/a", visibility: "public" }));
      await world.settle();
    };
    await clock.run(work());
    const expected = { id: PROJECT, name: "acme/a", description: "moved", visibility: "public" };
    for (const name of ["acme/a", "acme/b"]) expect(await calm.getProject(name)).toMatchObject(expected);
    const listed = await calm.listProjects({});
    expect(listed.items, `seed ${seed}`).toMatchObject([expected]);
    const remove = async (): Promise<void> => {
      try {
        await until(() => forge.deleteProject(PROJECT));
      } catch (error) {
        // A deletion whose answer was lost is found done when it is repeated.
        if (!isMicError(error, "not-found")) throw error;
      }
      await world.settle();
    };
    await clock.run(remove());
    for (const name of ["acme/a", "acme/b"]) {
      await expect(calm.getProject(name)).rejects.toMatchObject({ code: "not-found" });
    }
  }
});
