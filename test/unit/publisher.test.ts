import { describe, expect, test } from "vitest";
import { MicError } from "../../src/core/base/errors.ts";
import type { Position } from "../../src/core/base/ids.ts";
import type { LandResult } from "../../src/core/forge/forge.ts";
import { headKey } from "../../src/core/objects/keys.ts";
import { MemoryStore } from "../../src/core/store/memory-store.ts";
import type {
  CommitOutcome,
  ObjectStore,
  Put,
  Swap,
  WaitOptions,
} from "../../src/core/store/object-store.ts";
import {
  EMPTY_BASE,
  filesOf,
  idsOf,
  landNow,
  landRequest,
  makeFixture,
  newest,
  openFixture,
  PROJECT,
  StillClock,
} from "../support/project-fixture.ts";

type CommitStep = (apply: () => Promise<CommitOutcome>, swap: Swap) => Promise<CommitOutcome>;

/** Answers commits by a script, then as they come. */
class ScriptedStore extends MemoryStore {
  readonly sent: Swap[] = [];
  script: CommitStep[] = [];
  failReads = 0;
  /** What reads of the head wait for, before they fail or not. */
  readGate: Promise<void> | undefined;

  /** What `untilMs` was given along, by operation. */
  readonly until: [string, number | undefined][] = [];

  override async commit(puts: readonly Put[], swap: Swap, options?: WaitOptions): Promise<CommitOutcome> {
    this.sent.push(swap);
    this.until.push(["commit", options?.untilMs]);
    const step = this.script.shift();
    const apply = (): Promise<CommitOutcome> => super.commit(puts, swap);
    return step === undefined ? apply() : step(apply, swap);
  }

  override async revalidate(...parameters: Parameters<ObjectStore["revalidate"]>) {
    this.until.push(["revalidate", parameters[2]?.untilMs]);
    await this.readGate;
    if (this.failReads > 0) {
      this.failReads--;
      throw new MicError("unreachable", "no route");
    }
    return super.revalidate(...parameters);
  }
}

const unknown: CommitOutcome = { kind: "unknown", cause: new Error("timeout") };
const lost: CommitOutcome = { kind: "lost" };

async function scripted(script: CommitStep[]) {
  const clock = new StillClock();
  const store = new ScriptedStore(clock);
  const project = openFixture(store, clock);
  await project.create();
  await project.snapshot();
  store.sent.length = 0;
  store.script = script;
  return { clock, store, project };
}

function base64(swaps: readonly Swap[]): string[] {
  return swaps.map(({ bytes }) => Buffer.from(bytes).toString("base64"));
}

describe("the outcome of a swap", () => {
  test("committed: nothing is read again", async () => {
    const { project, store } = await scripted([]);
    expect(await project.land(landRequest(EMPTY_BASE, { a: "1" }))).toMatchObject({ position: 1 });
    expect(store.sent.length).toBe(1);
  });

  test("lost, but it was our own that was delivered twice: found by its id", async () => {
    const { project, store } = await scripted([
      async (apply) => {
        await apply();
        return apply();
      },
    ]);
    expect(await project.land(landRequest(EMPTY_BASE, { a: "1" }))).toMatchObject({
      kind: "landed",
      position: 1,
    });
    expect(store.sent.length).toBe(1);
  });

  test("lost to somebody else: built again on the new head, with the content it had", async () => {
    const { project, store, clock } = await scripted([]);
    await landNow(openFixture(store, clock), { other: "x" });
    const result = await project.land(landRequest(EMPTY_BASE, { a: "1" }));
    expect(result).toMatchObject({ kind: "landed", position: 2 });
    expect(await filesOf(project)).toEqual(idsOf({ a: "1", other: "x" }));
  });

  test("content that landed through another process a moment ago is not missing", async () => {
    const { project, store, clock } = await scripted([]);
    const other = openFixture(store, clock);
    await project.land(landRequest(EMPTY_BASE, { own: "0" }));
    await landNow(other, { other: "1" });
    const request = landRequest(EMPTY_BASE, { a: "1" });
    const operations = [...request.operations].map((operation) => ({ ...operation, hint: 2 }));
    const copy = { ...request, operations, frames: [] };
    expect(await project.land(copy)).toMatchObject({ kind: "landed", position: 3 });
    const missing = { ...landRequest(EMPTY_BASE, { b: "2" }), frames: [] };
    await expect(project.land(missing)).rejects.toMatchObject({ code: "not-found" });
  });

  test("lost while the head is unchanged: the same bytes again", async () => {
    const { project, store } = await scripted([async () => lost, async () => lost, async () => lost]);
    expect(await project.land(landRequest(EMPTY_BASE, { a: "1" }))).toMatchObject({ position: 1 });
    expect(store.sent.length).toBe(4);
    expect(new Set(base64(store.sent)).size).toBe(1);
  });

  test("unknown, not applied: the same bytes again until it is definite", async () => {
    const { project, store } = await scripted([async () => unknown, async () => unknown]);
    expect(await project.land(landRequest(EMPTY_BASE, { a: "1" }))).toMatchObject({ position: 1 });
    expect(store.sent.length).toBe(3);
    expect(new Set(base64(store.sent)).size).toBe(1);
  });

  test("unknown, applied: found by its id", async () => {
    const { project, store } = await scripted([
      async (apply) => {
        await apply();
        return unknown;
      },
    ]);
    expect(await project.land(landRequest(EMPTY_BASE, { a: "1" }))).toMatchObject({ position: 1 });
    expect(store.sent.length).toBe(1);
  });

  test("unknown, applied while the same bytes are on their way again: found by its id", async () => {
    let late: (() => Promise<CommitOutcome>) | undefined;
    const { project, store } = await scripted([
      async (apply) => {
        late = apply;
        return unknown;
      },
      async (apply) => {
        await late!();
        return apply();
      },
    ]);
    expect(await project.land(landRequest(EMPTY_BASE, { a: "1" }))).toMatchObject({ position: 1 });
    expect(store.sent.length).toBe(2);
    expect((await newest(project)).position).toBe(1);
  });

  test("unknown, and the head cannot be read for a while: it waits", async () => {
    const { project, store } = await scripted([async () => unknown]);
    const landing = project.land(landRequest(EMPTY_BASE, { a: "1" }));
    store.failReads = 5;
    expect(await landing).toMatchObject({ position: 1 });
    expect(store.failReads).toBe(0);
  });

  test("unknown for too long: outcome-unknown with the id, and asking again settles it", async () => {
    const never: CommitStep = async () => unknown;
    const { project, store } = await scripted(Array.from({ length: 10_000 }, () => never));
    const request = landRequest(EMPTY_BASE, { a: "1" });
    await expect(project.land(request)).rejects.toMatchObject({
      code: "outcome-unknown",
      kind: "retry",
      data: { landingId: request.landingId },
    });
    store.script = [];
    expect(await project.land(request)).toMatchObject({ kind: "landed", position: 1 });
  });

  test("unknown for longer than signatures are good for: the same bytes, checked and signed anew", async () => {
    const { project, store, clock } = await scripted([]);
    const patient = openFixture(store, clock, { landTimeoutMs: 3_600_000 });
    const beganMs = clock.ms;
    // The first swap may yet be applied when the store takes no other that was signed then.
    const picky: CommitStep = async (apply, { checkedAtMs }) => {
      clock.ms += 60_000;
      const isOld = clock.ms - checkedAtMs! > 15 * 60_000;
      return clock.ms - beganMs < 20 * 60_000 || isOld ? unknown : apply();
    };
    store.script = Array.from({ length: 100 }, () => picky);
    expect(await patient.land(landRequest(EMPTY_BASE, { a: "1" }))).toMatchObject({ position: 1 });
    expect(new Set(base64(store.sent)).size).toBe(1);
    expect((await newest(project)).position).toBe(1);
  });

  test("unknown over midnight: signed anew no more, since what it names may be too old by then", async () => {
    const { store, clock } = await scripted([]);
    clock.ms = Date.UTC(2026, 0, 1, 23, 58);
    const late: CommitStep = async () => {
      clock.ms += 60_000;
      return unknown;
    };
    store.script = Array.from({ length: 100 }, () => late);
    const patient = openFixture(store, clock, { landTimeoutMs: 1_800_000 });
    const landing = patient.land(landRequest(EMPTY_BASE, { a: "1" }));
    await expect(landing).rejects.toMatchObject({ code: "outcome-unknown" });
    expect(Math.max(...store.sent.map(({ checkedAtMs }) => checkedAtMs!))).toBeLessThan(Date.UTC(2026, 0, 2));
  });

  test("no request waits for longer than those whom it is for", async () => {
    const { project, store, clock } = await scripted([async () => unknown, async () => unknown]);
    store.until.length = 0;
    const [first] = [project.land(landRequest(EMPTY_BASE, { a: "1" }))];
    const untilMs = clock.ms + 120_000;
    await first;
    expect(store.until).toEqual([
      ["commit", untilMs],
      ["revalidate", untilMs],
      ["commit", untilMs],
      ["revalidate", untilMs],
      ["commit", untilMs],
    ]);
    // A reader who shares a question has more time than that.
    store.until.length = 0;
    await project.snapshot();
    expect(store.until).toEqual([["revalidate", undefined]]);
  });

  test("missing: fatal, and the head is never written anew", async () => {
    const { project, store } = await scripted([
      async (apply) => {
        await store.delete([headKey(PROJECT)]);
        return apply();
      },
    ]);
    await expect(project.land(landRequest(EMPTY_BASE, { a: "1" }))).rejects.toThrow(/is gone/);
    await expect(project.land(landRequest(EMPTY_BASE, { b: "1" }))).rejects.toThrow(/is gone/);
    expect(await store.get(headKey(PROJECT))).toBeUndefined();
  });

  test("never sent: that error, and nothing is uncertain", async () => {
    const { project } = await scripted([
      async () => {
        throw new MicError("unreachable", "the pack could not be stored");
      },
    ]);
    const request = landRequest(EMPTY_BASE, { a: "1" });
    await expect(project.land(request)).rejects.toMatchObject({ code: "unreachable" });
    expect(await project.land(request)).toMatchObject({ position: 1 });
  });

  test("not sent the second time, after an unknown first: still unknown", async () => {
    const down: CommitStep = async () => {
      throw new MicError("unreachable", "no route");
    };
    const { project } = await scripted([async () => unknown, ...Array.from({ length: 10_000 }, () => down)]);
    const landing = project.land(landRequest(EMPTY_BASE, { a: "1" }));
    await expect(landing).rejects.toMatchObject({ code: "outcome-unknown" });
  });

  test("always lost to others until the time is over: unreachable, and nothing landed", async () => {
    const { project, store, clock } = await scripted([]);
    const other = openFixture(store, clock);
    const race: CommitStep = async (apply) => {
      store.script = [];
      await landNow(other, { [`other${store.sent.length}`]: "x" });
      store.script = [race];
      clock.ms += 10_000;
      return apply();
    };
    store.script = [race];
    const request = landRequest(EMPTY_BASE, { a: "1" });
    await expect(project.land(request)).rejects.toMatchObject({ code: "unreachable" });
    const found = await (await project.snapshot()).findLanding(request.landingId, EMPTY_BASE.position);
    expect(found).toBeUndefined();
  });
});

describe("a caller that goes away", () => {
  test("before anything was sent: aborted, and nothing lands", async () => {
    const { project, store } = await scripted([]);
    const landing = project.land(landRequest(EMPTY_BASE, { a: "1" }), { signal: AbortSignal.abort() });
    await expect(landing).rejects.toMatchObject({ code: "aborted" });
    await new Promise((resolve) => setImmediate(resolve));
    expect(store.sent.length).toBe(0);
  });

  test("while the swap is in flight: outcome-unknown at once, and the swap goes on", async () => {
    const controller = new AbortController();
    const { project } = await scripted([
      async (apply) => {
        controller.abort();
        await new Promise((resolve) => setImmediate(resolve));
        return apply();
      },
    ]);
    const request = landRequest(EMPTY_BASE, { a: "1" });
    const landing = project.land(request, { signal: controller.signal });
    await expect(landing).rejects.toMatchObject({
      code: "outcome-unknown",
      data: { landingId: request.landingId },
    });
    expect(await project.land(request)).toMatchObject({ kind: "landed", position: 1 });
  });
});

describe("group commit", () => {
  function gate() {
    const { promise, resolve } = Promise.withResolvers<void>();
    return { opened: promise, open: resolve };
  }

  test("what arrives while a swap is in flight goes with the next one, each with its own position", async () => {
    const { opened, open } = gate();
    const { project, store } = await scripted([
      async (apply) => {
        await opened;
        return apply();
      },
    ]);
    const first = project.land(landRequest(EMPTY_BASE, { first: "1" }));
    await new Promise((resolve) => setImmediate(resolve));
    const rest = Array.from({ length: 50 }, (_, i) =>
      project.land(landRequest(EMPTY_BASE, { [`f${i}`]: `${i}` })),
    );
    open();
    const results = await Promise.all([first, ...rest]);
    expect(results.map((result) => result.kind === "landed" && result.position)).toEqual(
      Array.from({ length: 51 }, (_, i) => i + 1),
    );
    expect(store.sent.length).toBe(2);
    const { head } = await project.snapshot();
    expect(head.packs.length).toBe(2);
    for (const at of [1, 2, 30, 51]) expect(Object.keys(await filesOf(project, at)).length).toBe(at);
  });

  test("who comes while the head is asked for has no part in that failing", async () => {
    const { project, store, clock } = await scripted([]);
    const asked = gate();
    store.readGate = asked.opened;
    store.failReads = 1;
    // Old enough that the store is asked first.
    clock.ms += 60_000;
    const early = project.land(landRequest(EMPTY_BASE, { early: "1" }));
    early.catch(() => undefined);
    await new Promise((resolve) => setImmediate(resolve));
    const late = project.land(landRequest(EMPTY_BASE, { late: "1" }));
    await new Promise((resolve) => setImmediate(resolve));
    asked.open();
    await expect(early).rejects.toMatchObject({ code: "unreachable" });
    expect(await late).toMatchObject({ kind: "landed", position: 1 });
  });

  test("a batch is at most half the ring", async () => {
    const { project, store } = await scripted([]);
    const landings = Array.from({ length: 300 }, (_, i) =>
      project.land(landRequest(EMPTY_BASE, { [`f${i}`]: "x" })),
    );
    await Promise.all(landings);
    const { head } = await project.snapshot();
    expect(head.packs.map(({ first, last }) => last - first + 1)).toEqual([128, 128, 44]);
    expect(store.sent.length).toBe(3);
    expect(head.ring.length).toBe(256);
  });

  test("one loser never sinks the batch", async () => {
    const { project, store } = await scripted([]);
    await landNow(project, { taken: "theirs" });
    store.sent.length = 0;
    const land = (request: ReturnType<typeof landRequest>) =>
      project.land(request).catch((error: unknown) => (error as MicError).code);
    const now = await newest(project);
    const results = await Promise.all([
      land(landRequest(EMPTY_BASE, { a: "1" })),
      land(landRequest(EMPTY_BASE, { taken: "ours" })),
      land(landRequest(EMPTY_BASE, { b: "1" }, { frames: [] })),
      land(landRequest({ ...now, root: EMPTY_BASE.root }, { c: "1" })),
      land(landRequest(now, { "taken/below": "1" })),
      land(landRequest(EMPTY_BASE, { a: "other" })),
      land(landRequest(EMPTY_BASE, { d: "1" })),
    ]);
    expect(results).toEqual([
      expect.objectContaining({ kind: "landed", position: 2 }),
      { kind: "conflict", paths: ["taken"] },
      "not-found",
      "history-changed",
      "usage",
      { kind: "conflict", paths: ["a"] },
      expect.objectContaining({ kind: "landed", position: 3 }),
    ]);
    expect(store.sent.length).toBe(1);
  });

  test("the same landing twice at once is one position", async () => {
    const { project } = await scripted([]);
    const request = landRequest(EMPTY_BASE, { a: "1" });
    const results = await Promise.all([project.land(request), project.land(request), project.land(request)]);
    expect(new Set(results.map((result: LandResult) => JSON.stringify(result))).size).toBe(1);
    expect((await newest(project)).position).toBe(1);
  });

  test("a clash with a batch-mate is a conflict only once the mate is in", async () => {
    // The first swap is lost to another process that took the mate's path: the mate loses, and ours may land.
    const { project, store, clock } = await scripted([
      async (apply) => {
        await landNow(openFixture(store, clock), { mate: "theirs" });
        return apply();
      },
    ]);
    const [mate, ours] = await Promise.all([
      project.land(landRequest(EMPTY_BASE, { mate: "1", shared: "1" })),
      project.land(landRequest(EMPTY_BASE, { shared: "2" })),
    ]);
    expect(mate).toEqual({ kind: "conflict", paths: ["mate"] });
    expect(ours).toMatchObject({ kind: "landed", position: 2 });
  });

  test("two processes that land at once both get through", async () => {
    const { project, store, clock } = await makeFixture();
    const other = openFixture(store, clock);
    const landings: Promise<LandResult>[] = [];
    for (let i = 0; i < 40; i++) {
      landings.push(project.land(landRequest(EMPTY_BASE, { [`a${i}`]: "x" })));
      landings.push(other.land(landRequest(EMPTY_BASE, { [`b${i}`]: "x" })));
      await new Promise((resolve) => setImmediate(resolve));
    }
    const positions = (await Promise.all(landings)).map(
      (result) => result.kind === "landed" && result.position,
    );
    expect(new Set(positions).size).toBe(80);
    expect(await newest(project)).toMatchObject({ position: 80 as Position });
    expect(Object.keys(await filesOf(openFixture(store, clock))).length).toBe(80);
  });
});

describe("snapshot()", () => {
  test("of a project without a head is not-found", async () => {
    const clock = new StillClock();
    const project = openFixture(new MemoryStore(clock), clock);
    await expect(project.snapshot()).rejects.toMatchObject({ code: "not-found" });
    await expect(project.land(landRequest(EMPTY_BASE, { a: "1" }))).rejects.toMatchObject({
      code: "not-found",
    });
  });

  test("older than what the caller has seen is history-changed", async () => {
    const { project } = await makeFixture();
    await landNow(project, { a: "1" });
    expect((await project.snapshot({ atLeast: 1 as Position })).head.position).toBe(1);
    await expect(project.snapshot({ atLeast: 2 as Position })).rejects.toMatchObject({
      code: "history-changed",
    });
  });

  test("notices a store that was put back in time", async () => {
    const { project, store, clock } = await makeFixture();
    await landNow(project, { a: "1" });
    const backup = await store.get(headKey(PROJECT));
    await landNow(project, { a: "2" });
    const { etag } = (await store.get(headKey(PROJECT)))!;
    await store.commit([], { key: headKey(PROJECT), expected: etag, bytes: backup!.bytes });
    expect((await project.snapshot()).head.position).toBe(1);
    expect(await filesOf(project)).toEqual(idsOf({ a: "1" }));
    expect(await landNow(project, { b: "3" })).toMatchObject({ position: 2 });
    expect(await filesOf(openFixture(store, clock))).toEqual(idsOf({ a: "1", b: "3" }));
  });

  test("create() is harmless on a project that exists", async () => {
    const { project, store, clock } = await makeFixture();
    await landNow(project, { a: "1" });
    const head = await openFixture(store, clock).create({ salt: "ffffffffffffffff" });
    expect(head).toMatchObject({ position: 1, salt: "0102030405060708" });
  });
});
