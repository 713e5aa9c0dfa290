import { describe, expect, test } from "vitest";
import { MicError } from "../../src/core/base/errors.ts";
import type { Epoch, ObjectId, Position } from "../../src/core/base/ids.ts";
import type { Random } from "../../src/core/base/random.ts";
import { decodeHead, type RollupRef } from "../../src/core/codec/head.ts";
import type { ManifestPack } from "../../src/core/codec/pack-entry.ts";
import type { HeadChange } from "../../src/core/forge/head/change.ts";
import type { HeadLists } from "../../src/core/forge/head/manifest.ts";
import { HEAD_PACKS_MAX } from "../../src/core/forge/head/manifest.ts";
import type { ProjectStore } from "../../src/core/forge/project-store.ts";
import { headKey, packKey } from "../../src/core/objects/keys.ts";
import { MemoryStore } from "../../src/core/store/memory-store.ts";
import type { CommitOutcome, ObjectStore, Put, Swap } from "../../src/core/store/object-store.ts";
import {
  EMPTY_BASE,
  filesOf,
  idsOf,
  landNow,
  landRequest,
  openFixture,
  PROJECT,
  StillClock,
} from "../support/project-fixture.ts";
import { SeededRandom } from "../support/seeded-random.ts";

type CommitStep = (apply: () => Promise<CommitOutcome>, swap: Swap) => Promise<CommitOutcome>;

/** Answers commits by a script, then as they come. */
class ScriptedStore extends MemoryStore {
  readonly sent: Swap[] = [];
  script: CommitStep[] = [];
  /** Called before each read of the head is answered, after it was made. */
  afterRead: (() => Promise<void>) | undefined;

  override async commit(puts: readonly Put[], swap: Swap): Promise<CommitOutcome> {
    this.sent.push(swap);
    const step = this.script.shift();
    const apply = (): Promise<CommitOutcome> => super.commit(puts, swap);
    return step === undefined ? apply() : step(apply, swap);
  }

  override async revalidate(...parameters: Parameters<ObjectStore["revalidate"]>) {
    const found = await super.revalidate(...parameters);
    await this.afterRead?.();
    return found;
  }
}

const unknown: CommitOutcome = { kind: "unknown", cause: new Error("timeout") };

async function scripted(random: Random = new SeededRandom(1)) {
  const clock = new StillClock();
  const store = new ScriptedStore(clock);
  const project = openFixture(store, clock, { random });
  await project.create();
  await landNow(project, { a: "1" });
  await landNow(project, { b: "2" });
  store.sent.length = 0;
  return { clock, store, project };
}

const rollup: RollupRef = {
  level: 1,
  epoch: "2026-01-01" as Epoch,
  first: 1 as Position,
  last: 2 as Position,
  hash: "ab".repeat(32) as ObjectId,
};

/** Attaches a rollup, unless the head has one. */
class AddRollup implements HeadChange {
  readonly what = "the rollup of 1 to 2";
  asked = 0;

  async apply({ head }: Parameters<HeadChange["apply"]>[0]) {
    this.asked++;
    if (head.rollups.length > 0) return undefined;
    return { rollups: [rollup], pages: head.pages, packs: head.packs, puts: [] };
  }
}

function changeOf(apply: HeadChange["apply"], what = "the change"): HeadChange {
  return { what, apply };
}

/** Starts both while another swap is in flight, so that the next one can carry both. */
async function together<A, B>(
  store: ScriptedStore,
  project: ProjectStore,
  first: () => Promise<A>,
  second: () => Promise<B>,
) {
  let both: Promise<[A, B]> | undefined;
  store.script.unshift(async (apply) => {
    both = Promise.all([first(), second()]);
    for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve));
    return apply();
  });
  await landNow(project, { between: "y" });
  store.sent.length = 0;
  return await both!;
}

async function headOf(store: ObjectStore) {
  return decodeHead((await store.get(headKey(PROJECT)))!.bytes);
}

async function rollupsOf(project: ProjectStore): Promise<number> {
  return (await project.snapshot()).head.rollups.length;
}

describe("a change of the head", () => {
  test("has a swap of its own when nobody lands, at the same position, under another nonce", async () => {
    const { project, store } = await scripted();
    const before = await headOf(store);
    expect(await project.attach(new AddRollup())).toBe("applied");
    const { nonce, ...after } = await headOf(store);
    expect(nonce).not.toBe(before.nonce);
    expect(after).toEqual({ ...before, nonce: undefined, rollups: [rollup] });
    expect(store.sent.length).toBe(1);
    expect(await rollupsOf(project)).toBe(1);
  });

  test("rides on the swap of a landing that waits with it", async () => {
    const { project, store } = await scripted();
    const change = new AddRollup();
    const land = () => project.land(landRequest(EMPTY_BASE, { c: "3" }));
    const [result, outcome] = await together(store, project, land, () => project.attach(change));
    expect(result).toMatchObject({ position: 4 });
    expect(outcome).toBe("applied");
    const head = await headOf(store);
    expect([head.position, head.packs.length, head.rollups]).toEqual([4, 4, [rollup]]);
    expect(store.sent.length).toBe(1);
  });

  test("composes with the pack that its batch adds", async () => {
    const { project, store } = await scripted();
    const [oldest] = (await headOf(store)).packs;
    const moved: ManifestPack = { ...oldest!, epoch: "2025-12-31" as Epoch };
    const { bytes } = (await store.get(packKey(PROJECT, oldest!.epoch, oldest!.pack)))!;
    await store.put(packKey(PROJECT, moved.epoch, moved.pack), bytes);
    const replace = changeOf(async ({ head }) => ({
      ...head,
      packs: [moved, ...head.packs.slice(1)],
      puts: [],
    }));
    const land = () => project.land(landRequest(EMPTY_BASE, { c: "3" }));
    await together(store, project, land, () => project.attach(replace));
    expect(store.sent.length).toBe(1);
    const { packs } = await headOf(store);
    expect(packs.length).toBe(4);
    expect(packs[0]).toEqual(moved);
  });

  test("stores what comes with it", async () => {
    const { project, store } = await scripted();
    const key = `projects/${PROJECT}/pages/2026-01-01/aa/${"aa".repeat(32)}`;
    const puts = [{ key, bytes: new Uint8Array([1]) }];
    await project.attach(changeOf(async ({ head }) => ({ ...head, puts })));
    expect((await store.get(key))?.bytes).toEqual(new Uint8Array([1]));
  });

  test("several ride together, and each sees the lists that the one before makes", async () => {
    const { project, store } = await scripted();
    const changes = Array.from({ length: 4 }, (_, i) =>
      changeOf(async ({ head }) => {
        expect(head.rollups.length).toBe(i);
        const next = { ...rollup, first: (i + 1) as Position, last: (i + 1) as Position };
        return { ...head, rollups: [...head.rollups, next], puts: [] };
      }),
    );
    const outcomes = await Promise.all(changes.map((change) => project.attach(change)));
    expect(outcomes).toEqual(["applied", "applied", "applied", "applied"]);
    expect(store.sent.length).toBe(1);
    expect(await rollupsOf(project)).toBe(4);
  });

  test("obsolete: nothing is sent", async () => {
    const { project, store } = await scripted();
    expect(await project.attach(changeOf(async () => undefined))).toBe("obsolete");
    expect(store.sent.length).toBe(0);
  });

  test("lost to another agent: asked again on the new head", async () => {
    const { project, store, clock } = await scripted();
    await landNow(openFixture(store, clock), { other: "x" });
    const change = new AddRollup();
    expect(await project.attach(change)).toBe("applied");
    expect(change.asked).toBe(2);
    expect(await filesOf(project)).toEqual(idsOf({ a: "1", b: "2", other: "x" }));
    expect(await rollupsOf(project)).toBe(1);
  });

  test("two agents attach the same: one is obsolete", async () => {
    const { project, store, clock } = await scripted();
    const other = openFixture(store, clock);
    const outcomes = await Promise.all([project.attach(new AddRollup()), other.attach(new AddRollup())]);
    expect(outcomes.sort()).toEqual(["applied", "obsolete"]);
    expect(await rollupsOf(other)).toBe(1);
  });
});

describe("the outcome of a change's swap", () => {
  test("unknown, not applied: the same bytes again", async () => {
    const { project, store } = await scripted();
    store.script = [async () => unknown, async () => ({ kind: "lost" })];
    expect(await project.attach(new AddRollup())).toBe("applied");
    expect(store.sent.length).toBe(3);
    expect(new Set(store.sent.map(({ bytes }) => Buffer.from(bytes).toString("base64"))).size).toBe(1);
  });

  test("unknown, applied: in already, at the same position, and landings go on from there", async () => {
    const { project, store } = await scripted();
    store.script = [
      async (apply) => {
        await apply();
        return unknown;
      },
    ];
    const change = new AddRollup();
    await project.attach(change);
    expect(change.asked).toBe(2);
    expect(store.sent.length).toBe(1);
    expect(await landNow(project, { c: "3" })).toMatchObject({ position: 3 });
    expect((await headOf(store)).rollups).toEqual([rollup]);
  });

  test("with a landing, unknown and applied: both are in once", async () => {
    const { project, store } = await scripted();
    store.script = [
      async (apply) => {
        await apply();
        return unknown;
      },
    ];
    const land = () => project.land(landRequest(EMPTY_BASE, { c: "3" }));
    const [result] = await together(store, project, land, () => project.attach(new AddRollup()));
    expect(result).toMatchObject({ position: 4 });
    expect(store.sent.length).toBe(1);
    expect(await headOf(store)).toMatchObject({ position: 4, rollups: [rollup] });
  });

  test("never known: outcome-unknown when its time is over", async () => {
    const { project, store } = await scripted();
    store.script = Array.from({ length: 10_000 }, () => async () => unknown);
    await expect(project.attach(new AddRollup())).rejects.toMatchObject({ code: "outcome-unknown" });
    store.script = [];
    expect(await project.attach(new AddRollup())).toBe("applied");
  });

  test("a caller that gives up leaves landings alone", async () => {
    const { project, store } = await scripted();
    const controller = new AbortController();
    store.script = [
      async (apply) => {
        controller.abort();
        return apply();
      },
    ];
    const { signal } = controller;
    const [result, attached] = await together(
      store,
      project,
      () => project.land(landRequest(EMPTY_BASE, { c: "3" })),
      () => project.attach(new AddRollup(), { signal }).catch((error: unknown) => error),
    );
    expect(result).toMatchObject({ position: 4 });
    expect(attached).toMatchObject({ code: "outcome-unknown" });
  });
});

describe("a change that fails", () => {
  const refusals: Record<string, HeadChange["apply"]> = {
    "apply() throws": async () => {
      throw new MicError("unreachable", "no route");
    },
    "too many packs": async ({ head }) => {
      const packs = Array.from({ length: HEAD_PACKS_MAX + 1 }, () => head.packs[0]!);
      return { ...head, packs, puts: [] };
    },
    "too many rollups": async ({ head }) => {
      const rollups = Array.from({ length: 2000 }, (_, i): RollupRef => {
        return { ...rollup, first: (i + 1) as Position, last: (i + 1) as Position };
      });
      return { ...head, rollups, puts: [] };
    },
    "packs out of order": async ({ head }) => ({ ...head, packs: head.packs.toReversed(), puts: [] }),
  };
  for (const [name, apply] of Object.entries(refusals)) {
    test(`${name}: its landings land, and the next change is applied`, async () => {
      const { project, store } = await scripted();
      const land = () => project.land(landRequest(EMPTY_BASE, { c: "3" }));
      const attach = () => {
        const failing = project.attach(changeOf(apply)).catch((error: unknown) => error);
        return Promise.all([failing, project.attach(new AddRollup())]);
      };
      const [result, [error, next]] = await together(store, project, land, attach);
      expect(error).toBeInstanceOf(MicError);
      expect(result).toMatchObject({ position: 4 });
      expect(next).toBe("applied");
      expect(store.sent.length).toBe(1);
      expect(await headOf(store)).toMatchObject({ position: 4, rollups: [rollup] });
    });
  }

  test("landings that fail do not take a change with them", async () => {
    const { project, store } = await scripted();
    const missing = landRequest(EMPTY_BASE, { c: "3" }, { frames: [] });
    const land = () => project.land(missing).catch((error: unknown) => error);
    const [error, attached] = await together(store, project, land, () => project.attach(new AddRollup()));
    expect(error).toBeInstanceOf(MicError);
    expect(attached).toBe("applied");
    expect(store.sent.length).toBe(1);
  });
});

describe("a batch that cannot be sealed", () => {
  test("gives its changes back", async () => {
    const seeded = new SeededRandom(2);
    let failing = 0;
    const random: Random = {
      bytes: (count) => {
        if (failing > 0 && --failing === 0) throw new MicError("unreachable", "no randomness");
        return seeded.bytes(count);
      },
    };
    const { project, store } = await scripted(random);
    const land = () => {
      // The nonce of the next head.
      failing = 1;
      return project.land(landRequest(EMPTY_BASE, { c: "3" })).catch((error: unknown) => error);
    };
    const [error, outcome] = await together(store, project, land, () => project.attach(new AddRollup()));
    expect(error).toMatchObject({ code: "unreachable" });
    expect(outcome).toBe("applied");
    expect(await headOf(store)).toMatchObject({ position: 3, rollups: [rollup] });
  });
});

describe("heads of one position", () => {
  test("a read that another agent's change overtook does not bring back the lists before it", async () => {
    const { project, store, clock } = await scripted();
    await openFixture(store, clock).attach(new AddRollup());
    expect(await rollupsOf(project)).toBe(1);
    let lists: HeadLists | undefined;
    // The answer is on its way while this process commits over the same head.
    store.afterRead = async () => {
      store.afterRead = undefined;
      await project.attach(
        changeOf(async ({ head }) => {
          lists = { ...head, rollups: [] };
          return { ...lists, puts: [] };
        }),
      );
    };
    clock.ms += 10;
    expect((await project.snapshot()).head.rollups).toEqual([]);
    expect((await project.snapshot()).head.rollups).toEqual(lists?.rollups);
  });

  test("readers of other agents follow a change at the same position", async () => {
    const { project, store, clock } = await scripted();
    const reader = openFixture(store, clock);
    const before = await reader.snapshot();
    await project.attach(new AddRollup());
    const after = await reader.snapshot();
    expect(after.head.position).toBe(before.head.position);
    expect(after.etag).not.toBe(before.etag);
    expect(after.head.rollups).toEqual([rollup]);
  });
});
