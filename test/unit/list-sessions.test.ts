import { expect, test } from "vitest";
import type { Position, SessionId } from "../../src/core/base/ids.ts";
import { mintSessionId } from "../../src/core/base/random.ts";
import { systemClock, systemRandom } from "../../src/core/base/system.ts";
import { encodeSession } from "../../src/core/codec/session.ts";
import type { ListSessions, SessionSummary } from "../../src/core/forge/forge.ts";
import { ForgeService } from "../../src/core/forge/service.ts";
import { sessionKey } from "../../src/core/objects/keys.ts";
import { CountingStore } from "../../src/core/store/counting-store.ts";
import { MemoryStore } from "../../src/core/store/memory-store.ts";
import { TestProject } from "../support/forge-project.ts";

const SESSIONS = 2_000;
const READS_MAX = 700;

test("a page of very many sessions reads some of them, and the pages together find all that match", async () => {
  const store = new MemoryStore(systemClock);
  const counting = new CountingStore(store);
  const clock = systemClock;
  const forge = new ForgeService({
    store: counting,
    address: "m",
    clock,
    random: systemRandom,
    trustWriters: true,
  });
  const project = await TestProject.create(forge, "acme/app");
  const rare = new Set<SessionId>();
  for (let i = 0; i < SESSIONS; i++) {
    const id = mintSessionId(systemRandom);
    if (i % 400 === 0) rare.add(id);
    const bytes = encodeSession({
      id,
      state: "open",
      basePosition: 0 as Position,
      baseRoot: project.base.root,
      owner: i % 400 === 0 ? "rare" : "usual",
      created: 1n,
      updated: 1n,
      goal: "g",
      operations: [],
      decisions: [],
      conversation: [],
      recentWrites: [],
    });
    await store.put(sessionKey(project.id, id), bytes);
  }
  for (let i = 0; i < 300; i++) await project.land({ put: { [`f${i}`]: "x" } });

  const listAll = async (request: ListSessions): Promise<SessionSummary[]> => {
    const items: SessionSummary[] = [];
    let after: string | undefined;
    do {
      const before = counting.counts.gets;
      const page = await forge.listSessions(project.id, {
        ...request,
        ...(after === undefined ? {} : { after }),
      });
      expect(counting.counts.gets - before).toBeLessThan(READS_MAX);
      items.push(...page.items);
      after = page.next;
    } while (after !== undefined);
    return items;
  };
  const found = await listAll({ owner: "rare" });
  expect(new Set(found.map(({ id }) => id))).toEqual(rare);
  expect(found).toHaveLength(rare.size);
  expect(await listAll({ state: "landed" })).toHaveLength(300);
  expect(await listAll({ state: "abandoned" })).toEqual([]);
  const everything = await listAll({});
  expect(everything).toHaveLength(SESSIONS + 300);
  expect(new Set(everything.map(({ id }) => id)).size).toBe(SESSIONS + 300);
});
