import { expect, test } from "vitest";
import type { SessionId } from "../../src/core/base/ids.ts";
import { mintSessionId } from "../../src/core/base/random.ts";
import { systemClock, systemRandom } from "../../src/core/base/system.ts";
import { ForgeService } from "../../src/core/forge/service.ts";
import { headKey } from "../../src/core/objects/keys.ts";
import { CountingStore } from "../../src/core/store/counting-store.ts";
import { MemoryStore } from "../../src/core/store/memory-store.ts";
import { TestProject } from "../support/forge-project.ts";

const LANDINGS = 1_500;
const ASKING = 50;

test("many who ask about sessions of a long log read it once, and let others in between", async () => {
  const store = new MemoryStore(systemClock);
  const clock = systemClock;
  const open = (inner: MemoryStore | CountingStore) =>
    new ForgeService({
      store: inner,
      address: "m",
      clock,
      random: systemRandom,
      trustWriters: true,
      cacheBytes: 1,
    });
  const writer = await TestProject.create(open(store), "acme/app");
  const sessions: { session: SessionId; landedAt: number }[] = [];
  for (let i = 0; i < LANDINGS; i++) {
    const session = mintSessionId(systemRandom);
    if (i % 100 === 0) sessions.push({ session, landedAt: i + 1 });
    await writer.land({ put: { f: `${i}` }, request: { session } });
  }
  const counting = new CountingStore(store);
  const forge = open(counting);
  let turns = 0;
  let isDone = false;
  const others = (async () => {
    while (!isDone) {
      await new Promise((resolve) => setImmediate(resolve));
      turns++;
    }
  })();
  const asked = Array.from({ length: ASKING }, (_, i) => sessions[i % sessions.length]!);
  const found = await Promise.all(asked.map(({ session }) => forge.getSession(writer.id, session)));
  isDone = true;
  await others;
  expect(found.map(({ landedAt }) => landedAt)).toEqual(asked.map(({ landedAt }) => landedAt));
  // Each pack once for the log, and a few requests for each who asked.
  expect(counting.counts.gets).toBeLessThan(2 * LANDINGS + 10 * ASKING);
  expect(turns).toBeGreaterThan(0);
});

test("a store that was put back in time, and went on from there, is read anew", async () => {
  const clock = systemClock;
  const store = new MemoryStore(clock);
  const open = (inner: MemoryStore) =>
    new ForgeService({ store: inner, address: "m", clock, random: systemRandom, trustWriters: true });
  const project = await TestProject.create(open(store), "acme/app");
  const land = async (on: TestProject, file: string) => {
    const session = mintSessionId(systemRandom);
    await on.land({ put: { [file]: session }, request: { session } });
    return session;
  };
  const first = await land(project, "start");
  const far = project.base;
  for (let i = 0; i < 50; i++) await land(project, `f${i}`);
  const head = await store.get(headKey(project.id));
  const reader = open(store);
  const lost = [];
  for (let i = 0; i < 60; i++) lost.push(await land(project, `lost${i % 7}`));
  expect(await reader.getSession(project.id, lost[5]!)).toMatchObject({ landedAt: 57 });
  const follower = new TestProject(reader, project.id);
  expect(await follower.tryLand({ put: { lost1: "x" }, base: far })).toMatchObject({ kind: "conflict" });

  const now = await store.get(headKey(project.id));
  await store.commit([], { key: headKey(project.id), expected: now!.etag, bytes: head!.bytes });
  const restored = new TestProject(open(store), project.id);
  restored.base = await restored.forge.getHead(project.id);
  const kept = [];
  for (let i = 0; i < 40; i++) kept.push(await land(restored, `kept${i}`));
  // Shorter than what the reader has read.
  expect(await reader.getSession(project.id, kept[3]!)).toMatchObject({ landedAt: 55 });
  await expect(reader.getSession(project.id, lost[5]!)).rejects.toMatchObject({ code: "not-found" });
  expect(await follower.tryLand({ put: { kept9: "x" }, base: far })).toMatchObject({ kind: "conflict" });
  // Longer.
  for (let i = 0; i < 60; i++) kept.push(await land(restored, `more${i}`));
  expect(await reader.getSession(project.id, kept[77]!)).toMatchObject({ state: "landed" });
  expect(await reader.getSession(project.id, first)).toMatchObject({ landedAt: 1 });
  expect(await follower.tryLand({ put: { kept9: "y" }, base: far })).toMatchObject({ kind: "conflict" });
  expect(await follower.tryLand({ put: { lost1: "y" }, base: far })).toMatchObject({ kind: "landed" });
});
