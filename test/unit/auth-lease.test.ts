import { describe, expect, test } from "vitest";
import { isMicError } from "../../src/core/base/errors.ts";
import { FaultWorld } from "../../src/core/store/fault-store.ts";
import { uniformRates } from "../../src/core/store/faults.ts";
import { MemoryStore } from "../../src/core/store/memory-store.ts";
import type { ObjectStore } from "../../src/core/store/object-store.ts";
import { LEASE_KEY, LEASE_MARGIN_MS, LEASE_MS, Lease } from "../../src/server/auth/replica/lease.ts";
import { decodeLease, encodeLease, type LeaseRecord } from "../../src/server/auth/replica/lease-record.ts";
import { SeededRandom } from "../support/seeded-random.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

const RECORD: LeaseRecord = {
  generation: 3,
  holder: "a".repeat(32),
  url: "https://mic-1.example.org",
  expiresAtMs: 1_700_000_000_000,
  source: 2,
  position: 17,
  nonce: "0123456789abcdef",
};

describe("the lease object", () => {
  test("is JSON that an operator can read, and reads back the same", () => {
    const text = new TextDecoder().decode(encodeLease(RECORD));
    expect(text).toBe(
      '{"version":1,"generation":3,"holder":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","url":"https://mic-1.example.org","expiresAt":1700000000000,"source":2,"position":17,"nonce":"0123456789abcdef","check":"a120905b6066b03ef50aab5244f200213953a1a4b55ea8bb745b3eb3d09eb86b"}\n',
    );
    expect(decodeLease(encodeLease(RECORD), "memory")).toEqual(RECORD);
  });

  test("with any byte of it changed is not believed", () => {
    const bytes = encodeLease(RECORD);
    for (let i = 0; i < bytes.length; i++) {
      const damaged = Uint8Array.from(bytes);
      damaged[i]! ^= 1 << (i % 8);
      expect(() => decodeLease(damaged, "memory"), `byte ${i}`).toThrow();
      expect(() => decodeLease(bytes.subarray(0, i), "memory")).toThrow();
    }
  });

  test("of a newer version is refused as unsupported, and anything else as corrupt", () => {
    const code = (text: string): string => {
      try {
        decodeLease(new TextEncoder().encode(text), "memory");
        return "";
      } catch (error) {
        return isMicError(error) ? error.code : "another";
      }
    };
    expect(code('{"version":2}')).toBe("unsupported");
    const later = new TextDecoder().decode(encodeLease({ ...RECORD, source: 4 }));
    for (const text of ["", "null", "[]", "{", '{"version":1}', later, `"${"x".repeat(20_000)}"`]) {
      expect(code(text), text.slice(0, 40)).toBe("corrupt");
    }
  });
});

function setUp() {
  const clock = new VirtualClock();
  const store = new MemoryStore(clock);
  return { clock, store, server: (name: string) => leaseOf(name, store, clock) };
}

let processes = 0;

/** As a process of its own: no two draw the same numbers. */
function leaseOf(name: string, store: ObjectStore, clock: VirtualClock): Lease {
  return new Lease({
    store,
    clock,
    random: new SeededRandom(++processes),
    elapsedMs: () => clock.nowMs(),
    holder: name.repeat(32).slice(0, 32),
  });
}

describe("Lease", () => {
  test("is taken by one of two that start at once", async () => {
    const { clock, server } = setUp();
    const [a, b] = [server("a"), server("b")];
    await clock.run(
      (async () => {
        await Promise.all([a.look(), b.look()]);
        expect(await Promise.all([a.isFree(), b.isFree()])).toEqual([true, true]);
        const taken = await Promise.all([a.take("http://a"), b.take("http://b")]);
        expect(taken.filter(Boolean)).toHaveLength(1);
        const [winner, loser] = taken[0] ? [a, b] : [b, a];
        expect(winner.leftMs).toBe(LEASE_MS - LEASE_MARGIN_MS);
        expect(loser.leftMs).toBeLessThanOrEqual(0);
        await loser.look();
        expect(await loser.isFree()).toBe(false);
        expect(loser.record).toMatchObject({ generation: 1, source: 0, position: 0 });
      })(),
    );
  });

  test("is free to others once its holder has been silent, and never before its holder has stopped", async () => {
    const { clock, server } = setUp();
    const [a, b] = [server("a"), server("b")];
    await clock.run(
      (async () => {
        await a.look();
        await a.take("http://a");
        await a.update({ source: 1, position: 5 });
        await b.look();
        for (let ms = 0; ms < 60_000; ms += 500) {
          await clock.sleep(500);
          await b.look();
          if (await b.isFree()) break;
        }
        expect(a.leftMs).toBeLessThan(0);
        expect(await b.take("http://b")).toBe(true);
        expect(b.record).toMatchObject({ generation: 2, source: 1, position: 5, url: "http://b" });
      })(),
    );
  });

  test("stays with a holder that renews it", async () => {
    const { clock, server } = setUp();
    const [a, b] = [server("a"), server("b")];
    await clock.run(
      (async () => {
        await a.look();
        await a.take("");
        for (let i = 0; i < 20; i++) {
          await clock.sleep(LEASE_MS / 3);
          await a.update({ position: i });
          await b.look();
          expect(await b.isFree()).toBe(false);
        }
      })(),
    );
  });

  test("is at once free when it was given up, and to the next process of its holder", async () => {
    const { clock, server } = setUp();
    const [a, again, b] = [server("a"), server("a"), server("b")];
    await clock.run(
      (async () => {
        await a.look();
        await a.take("");
        await again.look();
        expect(await again.isFree()).toBe(true);
        expect(await again.take("")).toBe(true);
        expect(again.record?.generation).toBe(2);
        await expect(a.update()).rejects.toMatchObject({ code: "forbidden" });
        await again.release();
        expect(again.leftMs).toBeLessThan(0);
        await b.look();
        expect(await b.isFree()).toBe(true);
      })(),
    );
  });

  test("refuses a primary of the past, whatever its clock says", async () => {
    const { clock, store, server } = setUp();
    // Its clock stands still: it believes that no time went by.
    const frozen = new Lease({
      store,
      clock,
      random: new SeededRandom(9),
      elapsedMs: () => 0,
      holder: "f".repeat(32),
    });
    const b = server("b");
    await clock.run(
      (async () => {
        await frozen.look();
        await frozen.take("");
        await clock.sleep(LEASE_MS + 2 * LEASE_MARGIN_MS);
        await b.look();
        expect(await b.isFree()).toBe(true);
        expect(await b.take("")).toBe(true);
        expect(frozen.leftMs).toBeGreaterThan(0);
        await expect(frozen.update({ position: 99 })).rejects.toMatchObject({ code: "forbidden" });
        await b.update({ source: 2, position: 1 });
        expect((await b.look())?.position).toBe(1);
      })(),
    );
  });

  test("acknowledges nothing when the store cannot be asked, and says so in time", async () => {
    const { clock, store } = setUp();
    const world = new FaultWorld(store, {
      clock,
      random: new SeededRandom(4),
      rates: { "swap-timeout": 1, "read-timeout": 1 },
    });
    const healthy = leaseOf("a", store, clock);
    await clock.run(
      (async () => {
        await healthy.look();
        await healthy.take("");
        const a = leaseOf("a", world.actor(), clock);
        const startMs = clock.nowMs();
        await expect(a.take("")).rejects.toMatchObject({ code: "unreachable" });
        expect(a.leftMs).toBeLessThan(0);
        expect(clock.nowMs() - startMs).toBeLessThan(120_000);
      })(),
    );
  });
});

/**
 * Servers that take the lease from each other over a faulty store. Each acknowledges positions of its own generation;
 * whatever was acknowledged must be in what the next primary restores.
 */
async function race(seed: number): Promise<{ readonly taken: number; readonly acknowledged: number }> {
  const clock = new VirtualClock();
  const store = new MemoryStore(clock);
  const world = new FaultWorld(store, {
    clock,
    random: new SeededRandom(seed),
    rates: uniformRates(0.04),
    delayMsMax: 20_000,
    etags: seed % 2 === 0 ? "content" : "version",
  });
  const random = new SeededRandom(seed + 1000);
  const below = (n: number): number => random.bytes(1)[0]! % n;
  /** By generation: what Litestream put into the bucket. */
  const replicated = new Map<number, number>();
  const generations = new Set<number>();
  let acknowledged = 0;
  const server = async (name: string): Promise<void> => {
    for (let life = 0; life < 6; life++) {
      const lease = leaseOf(name, world.actor(), clock);
      for (let step = 0; step < 25; step++) {
        try {
          if (lease.leftMs > 0) {
            const { generation } = lease.record!;
            const position = (replicated.get(generation) ?? 0) + 1;
            replicated.set(generation, position);
            await lease.update({ source: generation, position });
            acknowledged++;
            if (below(20) === 0) await lease.release();
          } else {
            await lease.look();
            if ((await lease.isFree()) && (await lease.take(name))) {
              const { generation, source, position } = lease.record!;
              expect(generations.has(generation), `seed ${seed}: generation ${generation} twice`).toBe(false);
              generations.add(generation);
              expect(replicated.get(source) ?? 0).toBeGreaterThanOrEqual(position);
              replicated.set(generation, 0);
            }
          }
        } catch (error) {
          if (!isMicError(error) || error.code === "internal") throw error;
        }
        await clock.sleep(below(5) === 0 ? 40_000 : 100 * below(60));
      }
    }
  };
  await clock.run(Promise.all(["a", "b", "c"].map(server)));
  await clock.run(world.settle());
  const last = await store.get(LEASE_KEY);
  expect(last).toBeDefined();
  return { taken: generations.size, acknowledged };
}

describe("Lease on a store with faults", () => {
  test("gives every generation to one server, and never loses what was acknowledged", async () => {
    let [taken, acknowledged] = [0, 0];
    for (let seed = 1; seed <= 40; seed++) {
      const run = await race(seed);
      taken += run.taken;
      acknowledged += run.acknowledged;
    }
    // A race in which nobody ever wins would show nothing.
    expect(taken).toBeGreaterThan(400);
    expect(acknowledged).toBeGreaterThan(2_000);
  });
});
