import { describe, expect, test } from "vitest";
import type { LandingId, Position } from "../../src/core/base/ids.ts";
import { systemClock, systemRandom } from "../../src/core/base/system.ts";
import type { LandingRecord } from "../../src/core/codec/landing-record.ts";
import type { Operation } from "../../src/core/forge/forge.ts";
import { findClashes } from "../../src/core/forge/landing/conflicts.ts";
import { RecentLog } from "../../src/core/forge/log/recent-log.ts";
import { ForgeService } from "../../src/core/forge/service.ts";
import { MemoryStore } from "../../src/core/store/memory-store.ts";
import { path, TestProject } from "../support/forge-project.ts";
import { SeededRandom } from "../support/seeded-random.ts";

function record(position: number): LandingRecord {
  return { position, landingId: idOf(position) } as unknown as LandingRecord;
}

function idOf(position: number): LandingId {
  return position.toString(16).padStart(32, "0") as LandingId;
}

function put(name: string, size = 1): Operation {
  return {
    kind: "put",
    path: path(name),
    entry: { kind: "file", size, id: "a".repeat(64) as never },
    hint: 0,
  };
}

function remove(name: string): Operation {
  return { kind: "delete", path: path(name) };
}

function logOf(...landings: readonly (readonly Operation[] | undefined)[]): RecentLog {
  const log = new RecentLog();
  log.restart(0 as Position);
  for (const [i, operations] of landings.entries()) log.add(record(i + 1), operations);
  return log;
}

const ZERO = 0 as Position;

describe("RecentLog", () => {
  test("tells apart what may clash and what cannot", () => {
    const log = logOf([put("a/b/c")], [remove("d")]);
    for (const ours of [
      put("a/b/c"),
      remove("a/b/c"),
      put("a/b"),
      put("a"),
      put("a/b/c/x"),
      put("d"),
      put("d/x"),
    ]) {
      expect(log.mayClash([ours], ZERO), JSON.stringify(ours)).toBe(true);
    }
    for (const ours of [put("a/b/d"), put("b"), remove("a"), remove("d/x"), put("a/bb")]) {
      expect(log.mayClash([ours], ZERO), JSON.stringify(ours)).toBe(false);
    }
  });

  test("landings up to the base do not count, landings too large to keep do", () => {
    const log = logOf([put("a")], [put("b")], undefined);
    expect(log.mayClash([put("a")], 3 as Position)).toBe(false);
    expect(log.mayClash([put("z")], 2 as Position)).toBe(true);
  });

  test("never clears what clashes, whatever landed", () => {
    const random = new SeededRandom(7);
    const names = ["a", "a/b", "a/b/c", "b", "b/a", "c/a/b", "c"];
    const pick = (): Operation => {
      const name = names[random.bytes(1)[0]! % names.length]!;
      const byte = random.bytes(1)[0]!;
      return byte % 3 === 0 ? remove(name) : put(name, byte % 2);
    };
    let cleared = 0;
    for (let round = 0; round < 3000; round++) {
      const landings = Array.from({ length: 5 }, () => [pick()]);
      const base = (random.bytes(1)[0]! % 6) as Position;
      const ours = [pick()];
      const log = logOf(...landings);
      if (log.mayClash(ours, base)) continue;
      cleared++;
      for (const theirs of landings.slice(base)) {
        findClashes(ours, theirs, () => expect.fail(`${JSON.stringify(ours)} ${JSON.stringify(theirs)}`));
      }
    }
    expect(cleared).toBeGreaterThan(300);
  });

  test("keeps the newest landings only, and says from where", () => {
    const log = new RecentLog();
    log.restart(10 as Position);
    for (let i = 11; i <= 400_000; i++) log.add(record(i), [put(`f${i}`)]);
    expect(log.high).toBe(400_000);
    expect(log.low).toBeGreaterThan(250_000);
    expect(log.low).toBeLessThan(351_000);
    expect(log.find(idOf(400_000))).toBe(400_000);
    expect(log.find(idOf(log.low! + 1))).toBe(log.low! + 1);
    expect(log.find(idOf(log.low!))).toBeUndefined();
    expect(log.mayClash([put(`f${log.low! + 1}`)], 20 as Position)).toBe(true);
    expect(log.mayClash([put("f20")], 19 as Position)).toBe(false);
  });
});

test("landings from a base far back conflict, repeat and land as near ones do", async () => {
  const store = new MemoryStore(systemClock);
  const open = () =>
    new ForgeService({
      store,
      address: "memory",
      clock: systemClock,
      random: systemRandom,
      trustWriters: true,
    });
  const first = await TestProject.create(open(), "acme/app");
  await first.land({ put: { start: "0" } });
  const far = first.base;
  const early = first.request({ put: { early: "1" }, base: far });
  expect(await first.forge.land(first.id, early)).toMatchObject({ kind: "landed", position: 2 });
  first.base = await first.forge.getHead(first.id);
  for (let i = 0; i < 600; i++) await first.land({ put: { [`d${i % 7}/f${i}`]: `${i}` } });
  for (const project of [first, new TestProject(open(), first.id)]) {
    const { forge, id } = project;
    expect(await forge.land(id, early)).toMatchObject({ kind: "landed", position: 2 });
    for (const name of ["d1/f1", "d1", "d2/f2/x", "early"]) {
      const refused = await project.tryLand({ put: { [name]: "mine" }, base: far });
      const paths = name === "d1" ? ["d1"] : [name];
      expect(refused).toEqual({ kind: "conflict", paths });
    }
    const landed = await project.tryLand({ put: { [`own-${project === first}`]: "1" }, base: far });
    expect(landed.kind).toBe("landed");
    const again = await project.tryLand({ put: { [`own-${project === first}`]: "2" }, base: far });
    expect(again.kind).toBe("conflict");
    const reused = project.request({
      put: { other: "1" },
      base: far,
      request: { landingId: early.landingId },
    });
    await expect(forge.land(id, reused)).rejects.toMatchObject({ code: "landing-id-reused" });
  }
});
