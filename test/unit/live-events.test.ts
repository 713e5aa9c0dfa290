import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Position } from "../../src/core/base/ids.ts";
import { mintLandingId, mintSessionId } from "../../src/core/base/random.ts";
import { systemRandom } from "../../src/core/base/system.ts";
import type { Forge, LandingSummary, Operation } from "../../src/core/forge/forge.ts";
import { ForgeService } from "../../src/core/forge/service.ts";
import { MemoryStore } from "../../src/core/store/memory-store.ts";
import { createLiveEvents } from "../../src/server/live/events.ts";
import { RecentLandings } from "../../src/server/live/landings-feed.ts";
import type { LiveEvents, SessionEvent } from "../../src/server/live/live-events.ts";
import { notifyingForge } from "../../src/server/live/notifying-forge.ts";
import { path, TestProject } from "../support/forge-project.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

const POLL_MS = 1_000;
const MANY = 1_000;
const ZERO = 0 as Position;

let clock: VirtualClock;
let store: MemoryStore;
/** As other processes reach it. */
let elsewhere: Forge;
let calls: Map<string, number>;
let events: LiveEvents;
let forge: Forge;
let project: TestProject;
let stop: AbortController;

function openForge(): Forge {
  return new ForgeService({ store, address: "memory", clock, random: systemRandom, trustWriters: true });
}

/** The same forge, with its calls counted. */
function counted(of: Forge): Forge {
  return new Proxy(of, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name);
      if (typeof value !== "function") return value;
      calls.set(String(name), (calls.get(String(name)) ?? 0) + 1);
      return value.bind(target) as unknown;
    },
  });
}

beforeEach(async () => {
  clock = new VirtualClock();
  store = new MemoryStore(clock);
  calls = new Map();
  elsewhere = openForge();
  const here = openForge();
  const live = createLiveEvents({ forge: counted(here), clock, pollMs: POLL_MS });
  events = live;
  forge = notifyingForge(here, live);
  project = await TestProject.create(forge, "acme/app");
  stop = new AbortController();
});
afterEach(async () => {
  stop.abort();
  await events[Symbol.asyncDispose]();
});

async function take<T>(stream: AsyncIterable<T>, count: number): Promise<T[]> {
  const taken: T[] = [];
  if (count === 0) return taken;
  for await (const item of stream) {
    taken.push(item);
    if (taken.length === count) break;
  }
  return taken;
}

async function all<T>(stream: AsyncIterable<T>): Promise<T[]> {
  const taken: T[] = [];
  for await (const item of stream) taken.push(item);
  return taken;
}

function positions(landings: readonly LandingSummary[]): number[] {
  return landings.map(({ position }) => position);
}

async function landFiles(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await project.land({ put: { [`f${Math.random()}`]: `${i}` } });
}

describe("landings()", () => {
  test("gives what landed after the position, oldest first, then what lands", async () => {
    await landFiles(200);
    const following = take(events.landings(project.id, 50 as Position, stop.signal), 160);
    await landFiles(10);
    const found = positions(await clock.run(following));
    expect(found).toEqual(Array.from({ length: 160 }, (_, i) => 51 + i));
  });

  test("what this process lands is told at once", async () => {
    const following = take(events.landings(project.id, ZERO, stop.signal), 3);
    const before = clock.nowMs();
    await landFiles(3);
    expect(positions(await following)).toEqual([1, 2, 3]);
    expect(clock.nowMs()).toBe(before);
  });

  test("what another process lands is told within one poll", async () => {
    const following = take(events.landings(project.id, ZERO, stop.signal), 2);
    await new Promise((resolve) => setImmediate(resolve));
    const other = new TestProject(elsewhere, project.id);
    await other.land({ put: { a: "1" } });
    await other.land({ put: { a: "2" } });
    const before = clock.nowMs();
    expect(positions(await clock.run(following))).toEqual([1, 2]);
    expect(clock.nowMs() - before).toBeLessThanOrEqual(POLL_MS);
  });

  test("many followers cost one poll, and one read for a change", async () => {
    const streams = Array.from({ length: MANY }, () =>
      take(events.landings(project.id, ZERO, stop.signal), 4),
    );
    await new Promise((resolve) => setImmediate(resolve));
    calls.clear();
    await clock.run(clock.sleep(10 * POLL_MS));
    expect(calls.get("getHead")).toBeLessThanOrEqual(11);
    expect(calls.get("listLandings")).toBeUndefined();
    calls.clear();
    const other = new TestProject(elsewhere, project.id);
    for (let i = 0; i < 4; i++) await other.land({ put: { a: `${i}` } });
    for (const found of await clock.run(Promise.all(streams))) {
      expect(positions(found)).toEqual([1, 2, 3, 4]);
    }
    expect(calls.get("listLandings")).toBeLessThanOrEqual(4);
  });

  test("a follower that stops reading loses nothing", async () => {
    const stream = events.landings(project.id, ZERO, stop.signal)[Symbol.asyncIterator]();
    await landFiles(1);
    expect((await stream.next()).value?.position).toBe(1);
    await landFiles(1_500);
    for (let expected = 2; expected <= 1_501; expected++) {
      expect((await stream.next()).value?.position).toBe(expected);
    }
    await stream.return?.();
  });

  test("an abort ends the stream, and the last one the polling", async () => {
    const following = all(events.landings(project.id, ZERO, stop.signal));
    await new Promise((resolve) => setImmediate(resolve));
    stop.abort();
    expect(await following).toEqual([]);
    await clock.run(clock.sleep(POLL_MS));
    calls.clear();
    await clock.run(clock.sleep(5 * POLL_MS));
    expect(calls.size).toBe(0);
  });

  test("closing the events ends every stream", async () => {
    const following = all(events.landings(project.id, ZERO, stop.signal));
    await new Promise((resolve) => setImmediate(resolve));
    await events[Symbol.asyncDispose]();
    expect(await following).toEqual([]);
  });

  test("an absent project is not found", async () => {
    const absent = "0".repeat(32) as typeof project.id;
    await expect(all(events.landings(absent, ZERO, stop.signal))).rejects.toMatchObject({
      code: "not-found",
    });
  });

  test("RecentLandings keeps the newest without a gap", () => {
    const recent = new RecentLandings();
    const landing = (position: number, goal = "g") => ({ position, goal }) as unknown as LandingSummary;
    recent.add([landing(1), landing(2)]);
    expect(recent.after(0 as Position)).toHaveLength(2);
    expect(positions(recent.after(1 as Position)!)).toEqual([2]);
    recent.add([landing(9)]);
    expect(recent.after(2 as Position)).toBeUndefined();
    expect(positions(recent.after(8 as Position)!)).toEqual([9]);
    recent.add(Array.from({ length: 2_000 }, (_, i) => landing(10 + i)));
    expect(recent.after(900 as Position)).toBeUndefined();
    expect(recent.after(2_000 as Position)).toHaveLength(9);
    recent.add([landing(2_010, "x".repeat(5 << 20))]);
    expect(recent.after(2_009 as Position)).toBeUndefined();
  });
});

describe("session()", () => {
  const put = (name: string, content: string): Operation => {
    const entry = { kind: "file" as const, size: content.length, id: "ab".repeat(32) as never };
    return { kind: "put", path: path(name), entry, hint: 0 };
  };

  async function startSession() {
    const id = mintSessionId(systemRandom);
    await forge.startSession(project.id, { id, goal: "Work", owner: "ada" });
    return id;
  }

  test("without a cursor everything recorded so far comes, then what follows", async () => {
    const id = await startSession();
    await forge.recordDecision(project.id, id, "first");
    const following = all(events.session(project.id, id, undefined, stop.signal));
    await new Promise((resolve) => setImmediate(resolve));
    await forge.recordOperations(project.id, id, [{ kind: "delete", path: path("a") }]);
    await forge.recordConversation(project.id, id, [{ role: "user", text: "hello" }]);
    await new Promise((resolve) => setImmediate(resolve));
    await forge.abandonSession(project.id, id);
    const found = await following;
    expect(found.map(({ kind }) => kind)).toEqual(["session", "decision", "operations", "message", "state"]);
    expect(found[0]).toMatchObject({ session: { id, goal: "Work", state: "open" } });
    expect(found.at(-1)).toMatchObject({ state: "abandoned" });
    expect(new Set(found.map(({ id: cursor }) => cursor)).size).toBe(found.length);
    for (const { id: cursor } of found) expect(cursor).toMatch(/^[!-~]+$/);
  });

  test("after any cursor come all decisions and messages that follow it, each once", async () => {
    const id = await startSession();
    for (let i = 0; i < 4; i++) {
      await forge.recordDecision(project.id, id, `d${i}`);
      await forge.recordConversation(project.id, id, [{ role: "user", text: `m${i}` }]);
      await forge.recordOperations(project.id, id, [put(`f${i}`, "x")]);
    }
    await forge.abandonSession(project.id, id);
    const whole = await all(events.session(project.id, id, undefined, stop.signal));
    const told = (list: readonly SessionEvent[]) =>
      list.filter(({ kind }) => kind === "decision" || kind === "message");
    expect(told(whole)).toHaveLength(8);
    for (let i = 0; i < whole.length; i++) {
      const rest = await all(events.session(project.id, id, whole[i]!.id, stop.signal));
      expect(rest).toEqual(whole.slice(i + 1));
    }
  });

  test("operations that follow are those that changed; a cursor that does not tell gives all", async () => {
    const id = await startSession();
    await forge.recordOperations(project.id, id, [put("a", "1"), put("b", "1")]);
    const stream = events.session(project.id, id, undefined, stop.signal)[Symbol.asyncIterator]();
    expect((await stream.next()).value?.kind).toBe("session");
    const first = (await stream.next()).value;
    expect(first).toMatchObject({ kind: "operations", operations: [{ path: "a" }, { path: "b" }] });
    await forge.recordOperations(project.id, id, [put("b", "22")]);
    const second = (await stream.next()).value;
    expect(second).toMatchObject({ kind: "operations", operations: [{ path: "b", entry: { size: 2 } }] });
    await stream.return?.();
    const again = await take(events.session(project.id, id, first!.id, stop.signal), 1);
    expect(again).toMatchObject([{ kind: "operations", operations: [{ path: "a" }, { path: "b" }] }]);
  });

  test("a conflict is told, and the landing ends the stream", async () => {
    const id = await startSession();
    const following = all(events.session(project.id, id, undefined, stop.signal));
    const base = project.base;
    await project.land({ put: { a: "theirs" } });
    const ours = { put: { a: "ours" }, request: { session: id } };
    expect((await project.tryLand({ ...ours, base })).kind).toBe("conflict");
    await new Promise((resolve) => setImmediate(resolve));
    const landed = await project.land(ours);
    const states = (await following).filter(({ kind }) => kind === "state");
    expect(states).toMatchObject([{ state: "conflicted" }, { state: "landed", landedAt: landed.position }]);
  });

  test("a landing by another process is told within one poll", async () => {
    const id = await startSession();
    const following = all(events.session(project.id, id, undefined, stop.signal));
    await new Promise((resolve) => setImmediate(resolve));
    const other = new TestProject(elsewhere, project.id);
    await other.land({ put: { a: "1" }, request: { session: id } });
    const before = clock.nowMs();
    expect((await clock.run(following)).at(-1)).toMatchObject({
      kind: "state",
      state: "landed",
      landedAt: 1,
    });
    expect(clock.nowMs() - before).toBeLessThanOrEqual(POLL_MS);
  });

  test("many followers cost one reading for a change, and a slow one gets the difference", async () => {
    const id = await startSession();
    const slow = events.session(project.id, id, undefined, stop.signal)[Symbol.asyncIterator]();
    await slow.next();
    const streams = Array.from({ length: MANY }, () =>
      all(events.session(project.id, id, undefined, stop.signal)),
    );
    await new Promise((resolve) => setImmediate(resolve));
    calls.clear();
    for (let i = 0; i < 20; i++) await forge.recordDecision(project.id, id, `d${i}`);
    await forge.abandonSession(project.id, id);
    for (const found of await Promise.all(streams)) expect(found).toHaveLength(22);
    expect(calls.get("getSession")).toBeLessThanOrEqual(23);
    const rest: SessionEvent[] = [];
    for (let next = await slow.next(); next.done !== true; next = await slow.next()) rest.push(next.value);
    expect(rest).toHaveLength(21);
  });

  test("an unknown session is not found, a cursor that is none is wrong usage", async () => {
    const id = mintSessionId(systemRandom);
    await expect(all(events.session(project.id, id, undefined, stop.signal))).rejects.toMatchObject({
      code: "not-found",
    });
    for (const cursor of ["", "x", "1.1", "2.0.0.-.open", "1.0.0.-.open\n", "1.99999999999999999.0.-.-"]) {
      await expect(all(events.session(project.id, id, cursor, stop.signal))).rejects.toMatchObject({
        code: "usage",
      });
    }
  });

  test("a session that was landed before it is followed is told to the end", async () => {
    const request = project.request({ put: { a: "1" }, request: { decisions: ["why"] } });
    const result = await forge.land(project.id, { ...request, landingId: mintLandingId(systemRandom) });
    if (result.kind !== "landed") throw new Error("conflict");
    const found = await all(events.session(project.id, result.session, undefined, stop.signal));
    expect(found.map(({ kind }) => kind)).toEqual(["session", "operations", "decision", "state"]);
    const last = found.at(-1)!.id;
    expect(await all(events.session(project.id, result.session, last, stop.signal))).toEqual([]);
  });
});
