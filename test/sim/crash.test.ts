import { describe, expect, test } from "vitest";
import { utf8 } from "../../src/core/base/bytes.ts";
import type { Position } from "../../src/core/base/ids.ts";
import { encodePack } from "../../src/core/codec/pack.ts";
import { FaultWorld } from "../../src/core/store/fault-store.ts";
import { MemoryStore } from "../../src/core/store/memory-store.ts";
import {
  EMPTY_BASE,
  filesOf,
  idsOf,
  landNow,
  landRequest,
  newest,
  openFixture,
  StillClock,
} from "../support/project-fixture.ts";
import { SeededRandom } from "../support/seeded-random.ts";

const MOMENTS = ["before", "after"] as const;
const STEPS_MAX = 40;
const DAY_MS = 86_400_000;

interface Scenario {
  readonly name: string;
  readonly atomicCommit: boolean;
  /** Landings of somebody else between the crash and the retry. */
  readonly others: number;
  /** Landings before it: enough of them make the head spill a page. */
  readonly earlier: number;
  /** Content in a pack that was uploaded two days before, through another process. */
  readonly hasUpload?: boolean;
  /** Content that was stored by itself the day before. */
  readonly isStored?: boolean;
}

const SCENARIOS: readonly Scenario[] = [
  { name: "on a store with atomic commits", atomicCommit: true, others: 0, earlier: 1 },
  { name: "on a store with puts and swaps", atomicCommit: false, others: 0, earlier: 1 },
  { name: "with others landing meanwhile", atomicCommit: false, others: 2, earlier: 1 },
  { name: "while the head spills a page", atomicCommit: false, others: 0, earlier: 200 },
  { name: "while it copies an old upload", atomicCommit: false, others: 1, earlier: 1, hasUpload: true },
  { name: "while it takes stored content along", atomicCommit: false, others: 1, earlier: 1, isStored: true },
];

async function* inOnePiece(text: string): AsyncIterable<Uint8Array> {
  yield utf8(text);
}

describe.each(SCENARIOS)("a lander that dies $name", (scenario) => {
  const { atomicCommit, others, earlier, hasUpload, isStored } = scenario;

  test("before or after any of its requests leaves one position or none, and a retry settles it", async () => {
    let crashes = 0;
    let wasLanded = 0;
    for (let step = 0; step < STEPS_MAX; step++) {
      for (const moment of MOMENTS) {
        const clock = new StillClock();
        const memory = new MemoryStore(clock);
        const world = new FaultWorld(memory, { clock, random: new SeededRandom(1), rates: {}, atomicCommit });
        const steady = openFixture(memory, clock);
        await steady.create();
        for (let i = 0; i < earlier; i++) await landNow(steady, { [`before${i % 3}`]: `${i}` });
        const before = await filesOf(steady);
        const base = await newest(steady);
        let request = landRequest(base, { ours: "1", "dir/ours": "2" });
        if (hasUpload === true) {
          const pack = await steady.putPack(encodePack(request.frames).bytes);
          request = { ...request, frames: [], packs: [pack] };
          clock.ms += 2 * DAY_MS;
        }
        if (isStored === true) {
          for (const text of ["1", "2"]) await steady.putBlob(inOnePiece(text));
          request = { ...request, frames: [] };
          clock.ms += DAY_MS;
        }

        const actor = world.actor();
        const crashed = actor.crashAt(step, moment);
        const dying = openFixture(actor, clock).land(request);
        const ended = await Promise.race([crashed.then(() => "crashed"), dying.then(() => "landed")]);
        if (ended === "landed") {
          // It has fewer requests than this: every one of them was covered.
          expect(step).toBeGreaterThan(2);
          expect(crashes).toBeGreaterThan(4);
          expect(wasLanded).toBeGreaterThan(0);
          expect(wasLanded).toBeLessThan(crashes);
          return;
        }
        crashes++;
        for (let i = 0; i < others; i++) await landNow(steady, { [`other${i}`]: "x" });

        const fresh = openFixture(memory, clock);
        const isIn =
          (await (await fresh.snapshot()).findLanding(request.landingId, base.position)) !== undefined;
        if (isIn) wasLanded++;
        const result = await fresh.land(request);
        const { position } = await newest(fresh);
        expect(position).toBe(base.position + 1 + others);
        expect(result).toMatchObject({ kind: "landed", position: isIn ? base.position + 1 : position });
        expect(await steady.land(request)).toEqual(result);
        const extra = Object.fromEntries(Array.from({ length: others }, (_, i) => [`other${i}`, "x"]));
        const expected = { ...before, ...idsOf({ ours: "1", "dir/ours": "2", ...extra }) };
        expect(await filesOf(fresh)).toEqual(expected);
        const ids = new Set<string>();
        const snapshot = await fresh.snapshot();
        for await (const page of snapshot.records(EMPTY_BASE.position, position as Position)) {
          for (const record of page) ids.add(record.landingId);
        }
        expect(ids.size).toBe(position);
      }
    }
    throw new Error(`a landing makes more than ${STEPS_MAX} requests`);
  });
});
