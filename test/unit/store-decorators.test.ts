import { describe, expect, test } from "vitest";
import { utf8 } from "../../src/core/base/bytes.ts";
import { systemClock } from "../../src/core/base/system.ts";
import { CountingStore, type StoreRequest } from "../../src/core/store/counting-store.ts";
import { type FaultOptions, FaultWorld } from "../../src/core/store/fault-store.ts";
import { FaultTable } from "../../src/core/store/fault-table.ts";
import { FAULT_KINDS, type FaultKind, uniformRates } from "../../src/core/store/faults.ts";
import { MemoryStore } from "../../src/core/store/memory-store.ts";
import type { CommitOutcome } from "../../src/core/store/object-store.ts";
import {
  describeObjectStore,
  describeVersionEtags,
  etagOf,
  listAll,
  type StoreFixture,
} from "../conformance/object-store.ts";
import { SeededRandom } from "../support/seeded-random.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

async function countingFixture(): Promise<StoreFixture> {
  const store = new CountingStore(new MemoryStore(systemClock));
  return { store, another: async () => store, isAtomic: true, [Symbol.asyncDispose]: async () => undefined };
}

function faultFixture(options: Partial<FaultOptions>): () => Promise<StoreFixture> {
  return async () => {
    const inner = new MemoryStore(systemClock);
    const world = new FaultWorld(inner, {
      clock: systemClock,
      random: new SeededRandom(1),
      rates: {},
      ...options,
    });
    return {
      store: world.actor(),
      another: async () => world.actor(),
      isAtomic: options.atomicCommit ?? false,
      [Symbol.asyncDispose]: async () => undefined,
    };
  };
}

describeObjectStore("CountingStore", countingFixture);
describeVersionEtags("CountingStore", countingFixture);
describeObjectStore("a quiet FaultStore", faultFixture({}));
describeVersionEtags("a quiet FaultStore", faultFixture({}));
describeObjectStore("a quiet atomic FaultStore", faultFixture({ atomicCommit: true }));
describeObjectStore("a quiet FaultStore with content ETags", faultFixture({ etags: "content" }));

describe("CountingStore", () => {
  test("counts requests as they would be charged for, and bytes", async () => {
    const requests: StoreRequest[] = [];
    const store = new CountingStore(new MemoryStore(systemClock), (request) => requests.push(request));
    const puts = [
      { key: "p/1", bytes: utf8("12") },
      { key: "p/2", bytes: utf8("345") },
    ];
    const etag = etagOf(await store.commit(puts, { key: "head", expected: null, bytes: utf8("h") }));
    expect(store.writes).toBe(3);
    await store.get("p/2");
    await store.get("missing");
    await store.revalidate("head", etag);
    await store.revalidate("head", "old");
    expect(store.reads).toBe(4);
    await store.list("p/");
    await store.delete(["p/1", "p/2"]);
    expect(store.reset()).toEqual({
      gets: 2,
      misses: 1,
      unchanged: 1,
      puts: 2,
      swaps: 1,
      lists: 1,
      deletes: 2,
      bytesRead: 4,
      bytesWritten: 6,
    });
    expect(store.counts.puts).toBe(0);
    expect(requests.map(({ operation, key }) => `${operation} ${key}`)).toEqual([
      "put p/1",
      "put p/2",
      "swap head",
      "get p/2",
      "get missing",
      "revalidate head",
      "revalidate head",
      "list p/",
      "delete p/1",
      "delete p/2",
    ]);
  });
});

describe("FaultStore", () => {
  function worldWith(kind: FaultKind, options: Partial<FaultOptions> = {}) {
    const clock = new VirtualClock();
    const inner = new MemoryStore(clock);
    const random = new SeededRandom(7);
    const world = new FaultWorld(inner, { clock, random, rates: { [kind]: 1 }, ...options });
    return { clock, inner, world, store: world.actor() };
  }
  const swapOf = (text: string, expected: string | null = null) => ({
    key: "head",
    expected,
    bytes: utf8(text),
  });

  const SWAPS: readonly (readonly [FaultKind, CommitOutcome["kind"], "applied" | "later" | "never"])[] = [
    ["swap-slow", "committed", "applied"],
    ["swap-answer-slow", "committed", "applied"],
    ["swap-answer-lost", "unknown", "applied"],
    ["swap-late", "unknown", "later"],
    ["swap-twice", "lost", "applied"],
    ["swap-repeated-late", "committed", "applied"],
    ["swap-timeout", "unknown", "never"],
    ["swap-409", "unknown", "never"],
    ["swap-412", "lost", "never"],
    ["swap-429", "unknown", "never"],
    ["swap-500", "unknown", "never"],
    ["swap-503", "unknown", "never"],
  ];

  test.each(SWAPS)("%s answers %s and is applied: %s", async (kind, answer, applied) => {
    const { clock, inner, world, store } = worldWith(kind);
    const outcome = await clock.run(store.commit([], swapOf("one")));
    expect(outcome.kind).toBe(answer);
    if (kind !== "swap-repeated-late") expect(world.counts.get(kind)).toBe(1);
    expect((await inner.get("head")) !== undefined).toBe(applied === "applied");
    await clock.run(world.settle());
    expect((await inner.get("head")) !== undefined).toBe(applied !== "never");
  });

  test("a late swap is not applied over what another committed in between", async () => {
    const { clock, inner, world, store } = worldWith("swap-late");
    await store.commit([], swapOf("late"));
    await inner.commit([], swapOf("other"));
    await clock.run(world.settle());
    expect((await inner.get("head"))?.bytes).toEqual(utf8("other"));
  });

  const PUTS: readonly (readonly [FaultKind, "done" | "throws", "applied" | "later" | "never"])[] = [
    ["put-slow", "done", "applied"],
    ["put-twice", "done", "applied"],
    ["put-500", "throws", "never"],
    ["put-503", "throws", "never"],
    ["put-full", "throws", "never"],
    ["put-answer-lost", "throws", "applied"],
    ["put-late", "throws", "later"],
  ];

  test.each(PUTS)("%s %s and is applied: %s", async (kind, answer, applied) => {
    const { clock, inner, world, store } = worldWith(kind);
    const put = clock.run(store.put("k", utf8("x")));
    if (answer === "throws") await expect(put).rejects.toMatchObject({ code: "unreachable", kind: "retry" });
    else await put;
    if (kind !== "put-twice") expect(world.counts.get(kind)).toBe(1);
    expect((await inner.get("k")) !== undefined).toBe(applied === "applied");
    await clock.run(world.settle());
    expect((await inner.get("k")) !== undefined).toBe(applied !== "never");
  });

  test("a second delivery that its caller cannot see counts once somebody meets what it reached", async () => {
    const { clock, world, store } = worldWith("put-twice");
    await store.put("k", utf8("x"));
    await clock.run(world.settle());
    expect(world.observed).toBe(0);
    expect(await store.get("other")).toBeUndefined();
    expect(world.observed).toBe(0);
    await store.list("", {});
    expect(world.counts.get("put-twice")).toBe(1);
    await store.get("k");
    expect(world.observed).toBe(1);
  });

  test("a swap whose check is too old, or from the future, is refused, however late it comes", async () => {
    const { clock, inner, world, store } = worldWith("swap-late", { signatureMs: 1000 });
    world.dice.calm();
    for (const shiftMs of [-1001, 1001]) {
      const swap = { ...swapOf("one"), checkedAtMs: clock.nowMs() + shiftMs };
      expect(await store.commit([], swap)).toMatchObject({ kind: "unknown" });
    }
    expect(world.counts.get("actor-too-late")).toBe(2);
    const sentAtMs = clock.nowMs();
    let isTooLate = false;
    world.later(async () => {
      isTooLate = clock.nowMs() - sentAtMs > 1000;
      await world.swap([], { ...swapOf("one"), checkedAtMs: sentAtMs });
    });
    await clock.run(world.settle());
    expect(isTooLate).toBe(true);
    expect(await inner.get("head")).toBeUndefined();
    expect((await store.commit([], { ...swapOf("two"), checkedAtMs: clock.nowMs() })).kind).toBe("committed");
  });

  test("an actor is stopped for long before a request, which then goes on", async () => {
    const { clock, inner, world, store } = worldWith("put-slow", {
      rates: { "actor-paused": 1 },
      pauseMsMax: 1_000_000,
    });
    const beforeMs = clock.nowMs();
    await clock.run(store.put("k", utf8("x")));
    expect(clock.nowMs()).toBeGreaterThan(beforeMs);
    expect(await inner.get("k")).toBeDefined();
    expect(world.counts.get("actor-paused")).toBe(1);
  });

  test("faults are counted by what was done to which kind of object, and only when the caller lives to see", async () => {
    const { clock, world, store } = worldWith("put-503", { classOf: (key) => key.split("/")[0]! });
    await expect(store.put("pack/1", utf8("x"))).rejects.toMatchObject({ code: "unreachable" });
    await expect(store.put("page/1", utf8("x"))).rejects.toMatchObject({ code: "unreachable" });
    await store.get("pack/1");
    expect(world.table.count("put-503", "put pack")).toBe(1);
    expect(world.table.count("put-503", "put page")).toBe(1);
    expect(Object.fromEntries(world.table.calls)).toEqual({ "put pack": 1, "put page": 1, "read pack": 1 });
    const dying = world.actor();
    const crashed = dying.crashAt(0, "after");
    void dying.put("pack/2", utf8("x"));
    await clock.run(crashed);
    expect(world.table.count("put-503", "put pack")).toBe(1);
    expect(world.table.count("actor-died-after", "put pack")).toBe(1);
    const copy = FaultTable.from(JSON.parse(JSON.stringify(world.table)));
    copy.add(world.table);
    expect(copy.total).toBe(2 * world.observed);
    expect(copy.count("put-503", "put page")).toBe(2);
  });

  test("a put that fails within a commit means that the swap was never sent", async () => {
    const { clock, inner, world, store } = worldWith("put-answer-lost");
    const commit = clock.run(store.commit([{ key: "k", bytes: utf8("x") }], swapOf("one")));
    await expect(commit).rejects.toMatchObject({ code: "unreachable" });
    await clock.run(world.settle());
    expect((await listAll(inner, "")).map(({ key }) => key)).toEqual(["k"]);
  });

  test("reads fail, come late, cut or flipped by one bit, and are right the next time", async () => {
    for (const kind of ["read-timeout", "read-500", "read-503"] as const) {
      const { clock, inner, store } = worldWith(kind);
      await inner.put("k", utf8("hello"));
      await expect(clock.run(store.get("k"))).rejects.toMatchObject({ code: "unreachable" });
    }
    for (const kind of ["read-slow", "read-cut", "read-flipped"] as const) {
      const { clock, inner, world, store } = worldWith(kind);
      await inner.put("k", utf8("hello"));
      const beforeMs = clock.nowMs();
      const { bytes } = (await clock.run(store.get("k")))!;
      if (kind === "read-slow") expect(clock.nowMs()).toBeGreaterThan(beforeMs);
      if (kind === "read-cut") expect(bytes.length).toBeLessThan(5);
      if (kind === "read-flipped") {
        let flipped = 0;
        for (const [i, byte] of utf8("hello").entries()) flipped += popCount(byte ^ bytes[i]!);
        expect(flipped).toBe(1);
      }
      expect(world.counts.get(kind)).toBe(1);
      world.dice.calm();
      expect((await store.get("k"))?.bytes).toEqual(utf8("hello"));
    }
  });

  test("a list may omit fresh keys, and only those", async () => {
    const { clock, inner, world, store } = worldWith("list-omits-fresh", { freshMs: 1000 });
    await inner.put("a/old", utf8("x"));
    for (let i = 0; i < 20; i++) await store.put(`a/${i}`, utf8("x"));
    const keys = (await listAll(store, "a/")).map(({ key }) => key);
    expect(keys.length).toBeLessThan(21);
    expect(keys).toContain("a/old");
    expect(world.counts.get("list-omits-fresh")).toBe(1);
    await clock.run(clock.sleep(1000));
    expect(await listAll(store, "a/")).toHaveLength(21);
  });

  test("deletes fail, are applied without an answer, or later", async () => {
    for (const [kind, applied] of [
      ["delete-timeout", "never"],
      ["delete-503", "never"],
      ["delete-answer-lost", "applied"],
      ["delete-late", "later"],
    ] as const) {
      const { clock, inner, world, store } = worldWith(kind);
      await inner.put("k", utf8("x"));
      await expect(store.delete(["k"])).rejects.toMatchObject({ code: "unreachable" });
      expect((await inner.get("k")) === undefined).toBe(applied === "applied");
      await clock.run(world.settle());
      expect((await inner.get("k")) === undefined).toBe(applied !== "never");
    }
  });

  test("a delete of several keys may delete some of them and say that it failed", async () => {
    const keys = ["a", "b", "c", "d"];
    const counts = new Set<number>();
    for (let seed = 1; seed <= 20; seed++) {
      const { inner, store, world } = worldWith("delete-partial", { random: new SeededRandom(seed) });
      for (const key of keys) await inner.put(key, utf8("x"));
      await expect(store.delete(keys)).rejects.toMatchObject({ code: "unreachable" });
      counts.add((await listAll(inner, "")).length);
      expect(world.counts.get("delete-partial")).toBe(1);
      // Of one key there is no part.
      await store.delete(["a"]);
      expect(await inner.get("a")).toBeUndefined();
    }
    expect([...counts].sort()).toEqual([1, 2, 3]);
  });

  test("the store's clock jumps by up to an hour", async () => {
    const { clock, store } = worldWith("clock-jump");
    const shiftMs = (await store.nowMs()) - clock.nowMs();
    expect(Math.abs(shiftMs)).toBeGreaterThan(0);
    expect(Math.abs(shiftMs)).toBeLessThanOrEqual(3_600_000);
  });

  test("equal content has equal ETags where the store names content", async () => {
    const { store, world } = worldWith("read-slow", { etags: "content" });
    world.dice.calm();
    const first = etagOf(await store.commit([], swapOf("a")));
    const second = etagOf(await store.commit([], swapOf("b", first)));
    const third = etagOf(await store.commit([], swapOf("a", second)));
    expect(third).toBe(first);
    expect((await store.get("head", { range: { offset: 0, length: 0 } }))?.etag).toBe(first);
    expect(await store.revalidate("head", first)).toBe("unchanged");
    expect((await store.commit([], swapOf("c", first))).kind).toBe("committed");
  });

  test("an actor stops before or after any step, for good, and the others go on", async () => {
    for (const moment of ["before", "after"] as const) {
      for (let step = 0; step < 3; step++) {
        const { inner, world } = worldWith("read-slow", { rates: {} });
        const store = world.actor();
        const reached = store.crashAt(step, moment);
        let returned = false;
        const puts = [
          { key: "p/1", bytes: utf8("x") },
          { key: "p/2", bytes: utf8("x") },
        ];
        void store.commit(puts, swapOf("one")).then(() => {
          returned = true;
        });
        await reached;
        await new Promise((resolve) => setImmediate(resolve));
        expect(store.crashed).toBe(true);
        const keys = (await listAll(world.actor(), "")).map(({ key }) => key);
        const done = step + (moment === "after" ? 1 : 0);
        expect(keys).toEqual(done === 3 ? ["head", "p/1", "p/2"] : ["p/1", "p/2"].slice(0, done));
        let later = false;
        void store.get("head").then(() => {
          later = true;
        });
        await new Promise((resolve) => setImmediate(resolve));
        expect([returned, later]).toEqual([false, false]);
        expect(await listAll(inner, "")).toHaveLength(done);
      }
    }
  });

  test("onStep is told every step in order, and can act between them", async () => {
    const { inner, store, world } = worldWith("read-slow", { rates: {} });
    const steps: string[] = [];
    store.onStep = async ({ index, moment, operation, key }) => {
      steps.push(`${index} ${moment} ${operation} ${key}`);
      if (moment === "before" && operation === "swap") await inner.commit([], swapOf("other"));
    };
    const outcome = await store.commit([{ key: "p", bytes: utf8("x") }], swapOf("one"));
    expect(outcome).toEqual({ kind: "lost" });
    expect(steps).toEqual(["0 before put p", "0 after put p", "1 before swap head", "1 after swap head"]);
    expect(store.steps).toBe(2);
    expect(world.observed).toBe(0);
  });

  test("the same seed gives the same run; every kind is drawn; acknowledged increments all count", async () => {
    const run = async (seed: number) => {
      const clock = new VirtualClock();
      const inner = new MemoryStore(clock);
      const random = new SeededRandom(seed);
      const world = new FaultWorld(inner, { clock, random, rates: uniformRates(0.02) });
      const log: string[] = [];
      const ids = new Set<string>();
      const actor = async (name: string): Promise<void> => {
        const store = world.actor();
        for (let i = 0; i < 150; i++) {
          const id = `${name}.${i}`;
          try {
            await store.put(`p/${id}`, utf8(id));
            await store.list("p/", { limit: 10 });
            await store.nowMs();
            await store.delete([`q/${id}`, `r/${id}`]);
            const head = await store.get("head");
            const outcome = await store.commit([], {
              key: "head",
              expected: head?.etag ?? null,
              bytes: utf8(`${head === undefined ? "" : new TextDecoder().decode(head.bytes)} ${id}`),
            });
            log.push(`${id} ${outcome.kind}`);
            if (outcome.kind === "committed") ids.add(id);
          } catch (error) {
            log.push(`${id} ${String(error)}`);
          }
        }
      };
      await clock.run(Promise.all([actor("a"), actor("b"), actor("c")]));
      await clock.run(world.settle());
      world.dice.calm();
      return { log: log.join("\n"), ids, counts: Object.fromEntries(world.counts), endMs: clock.nowMs() };
    };
    const first = await run(42);
    expect(await run(42)).toEqual(first);
    expect((await run(43)).log).not.toBe(first.log);
    const seen = new Set<string>();
    for (let seed = 0; seed < 6; seed++)
      for (const kind of Object.keys((await run(seed)).counts)) seen.add(kind);
    expect(FAULT_KINDS.filter((kind) => !seen.has(kind))).toEqual([]);
    expect(first.ids.size).toBeGreaterThan(50);
  });
});

function popCount(byte: number): number {
  let count = 0;
  for (let rest = byte; rest !== 0; rest &= rest - 1) count++;
  return count;
}
