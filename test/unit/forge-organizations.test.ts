import { expect, test } from "vitest";
import { isMicError } from "../../src/core/base/errors.ts";
import type { ProjectId } from "../../src/core/base/ids.ts";
import { mintProjectId } from "../../src/core/base/random.ts";
import { systemClock, systemRandom } from "../../src/core/base/system.ts";
import { ForgeService } from "../../src/core/forge/service.ts";
import { organizationKey } from "../../src/core/objects/keys.ts";
import { FaultWorld } from "../../src/core/store/fault-store.ts";
import { FAULT_KINDS } from "../../src/core/store/faults.ts";
import { MemoryStore } from "../../src/core/store/memory-store.ts";
import { SeededRandom } from "../support/seeded-random.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

function start() {
  const store = new MemoryStore(systemClock);
  const ports = { clock: systemClock, random: systemRandom };
  const forge = new ForgeService({ store, address: "memory", ...ports, trustWriters: true });
  const create = (name: string) => forge.createProject({ id: mintProjectId(systemRandom), name });
  return { store, forge, create };
}

/** As a forge from before organizations were recorded. */
async function forget(store: MemoryStore, ...names: string[]): Promise<void> {
  await store.delete(names.map(organizationKey));
}

test("an older forge's organizations are those of its projects", async () => {
  const { store, forge, create } = start();
  const first = await create("old/a");
  await create("old/b");
  await create("older/c");
  await forget(store, "old", "older");
  await forge.createOrganization({ name: "fresh" });
  const { createdAtMs } = first;
  expect(await forge.getOrganization("old")).toEqual({ name: "old", description: "", createdAtMs });
  const listed = await forge.listOrganizations({});
  expect(listed.items.map(({ name }) => name)).toEqual(["fresh", "old", "older"]);
  await expect(forge.createOrganization({ name: "old" })).rejects.toMatchObject({ code: "already-exists" });
});

test("an older forge's organization is recorded with its next project", async () => {
  const { store, forge, create } = start();
  await create("old/a");
  await forget(store, "old");
  await create("old/b");
  expect(await store.get(organizationKey("old"))).toBeDefined();
  expect((await forge.listOrganizations({})).items).toHaveLength(1);
});

test("organizations with thousands of projects are listed once each, in few requests", async () => {
  const { store, forge, create } = start();
  for (let i = 0; i < 1100; i++) await create(`many/p${i}`);
  await create("other/x");
  await create("many-0/x");
  await forget(store, "many");
  const names: string[] = [];
  let after: string | undefined;
  do {
    const page = await forge.listOrganizations({ limit: 1, ...(after === undefined ? {} : { after }) });
    names.push(...page.items.map((item) => item.name));
    after = page.next;
  } while (after !== undefined);
  expect(names).toEqual(["many-0", "many", "other"]);
});

test("a record that was copied from another organization is found out", async () => {
  const { store, forge } = start();
  await forge.createOrganization({ name: "acme" });
  const { bytes } = (await store.get(organizationKey("acme")))!;
  await store.commit([], { key: organizationKey("other"), expected: null, bytes });
  await expect(forge.getOrganization("other")).rejects.toMatchObject({ code: "corrupt" });
});

test("of many creators over a faulty store at most one is told that it created it", async () => {
  const rates = Object.fromEntries(
    FAULT_KINDS.filter((kind) => kind.startsWith("swap-") || kind === "read-timeout").map((kind) => [
      kind,
      0.06,
    ]),
  );
  let faults = 0;
  for (let seed = 1; seed <= 40; seed++) {
    const clock = new VirtualClock();
    const random = new SeededRandom(seed);
    const inner = new MemoryStore(clock);
    const world = new FaultWorld(inner, { clock, random, rates, etags: "version" });
    const told: string[] = [];
    let unknown = 0;
    const creator = async (description: string): Promise<void> => {
      const options = { store: world.actor(), address: "faulty", clock, random, trustWriters: true };
      try {
        await new ForgeService(options).createOrganization({ name: "acme", description });
        told.push(description);
      } catch (error) {
        if (isMicError(error, "outcome-unknown") || isMicError(error, "unreachable")) unknown++;
        else if (!isMicError(error, "already-exists")) throw error;
      }
    };
    const work = Promise.all(["1", "2", "3", "4"].map(creator)).then(() => world.settle());
    await clock.run(work);
    const calm = new ForgeService({ store: inner, address: "calm", clock, random, trustWriters: true });
    expect(told.length, `seed ${seed}`).toBeLessThanOrEqual(1);
    if (told.length === 0) expect(unknown, `seed ${seed}`).toBeGreaterThan(0);
    else expect((await calm.getOrganization("acme")).description, `seed ${seed}`).toBe(told[0]);
    faults += world.observed;
  }
  expect(faults).toBeGreaterThan(20);
});

test("a project whose creation is retried is not stopped by its organization", async () => {
  const { forge } = start();
  const id: ProjectId = mintProjectId(systemRandom);
  const created = await forge.createProject({ id, name: "acme/app" });
  expect(await forge.createProject({ id, name: "acme/app" })).toEqual({ ...created, isNew: false });
});
