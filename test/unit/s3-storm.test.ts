/** Landings over a store that refuses, and that applies what it then refuses: RELIABILITY's item 37, end to end. */
import { expect, test } from "vitest";
import type { Clock } from "../../src/core/base/clock.ts";
import { systemClock } from "../../src/core/base/system.ts";
import { headKey } from "../../src/core/objects/keys.ts";
import { openS3Store } from "../../src/core/store/s3/open.ts";
import { landNow, openFixture, PROJECT } from "../support/project-fixture.ts";
import { errorAnswer, type S3Request } from "../support/s3-objects.ts";
import { type Misbehaviour, S3Server } from "../support/s3-server.ts";
import { SeededRandom } from "../support/seeded-random.ts";

/** Pauses end at once; a timeout stays one. */
const clock: Clock = {
  nowMs: () => systemClock.nowMs(),
  async sleep(durationMs, signal) {
    if (durationMs >= 12_000) return systemClock.sleep(durationMs, signal);
    await new Promise((resolve) => setImmediate(resolve));
  },
};
const LANDERS = 3;
const LANDINGS = 8;

const refuse = (status: number): Misbehaviour => ({ kind: "refuse", status });
const doneButRefused = (status: number): Misbehaviour => ({
  kind: "say",
  answer: errorAnswer(status, "Refused"),
  isDone: true,
});
const STORM: readonly Misbehaviour[] = [
  ...[409, 412, 429, 503, 500].map(refuse),
  ...[409, 412, 503].map(doneButRefused),
  { kind: "lose-answer" },
  { kind: "drop" },
];

test.each(["fetch", "undici"] as const)(
  "over %s every landing has its one position, whatever the swaps and everything else were answered",
  async (transport) => {
    await using server = await S3Server.start();
    await using store = await openS3Store(server.options({ transport, clock }));
    const landers = Array.from({ length: LANDERS }, () => openFixture(store, clock));
    await landers[0]!.create();
    const isSwap = ({ method, key }: S3Request): boolean => method === "PUT" && key === headKey(PROJECT);
    let met = 0;
    const storm = (what: Misbehaviour, when: (request: S3Request) => boolean): void =>
      server.misbehave(what, (request) => when(request) && ++met > 0);
    for (let round = 0; round < 2; round++) for (const what of STORM) storm(what, isSwap);
    // What may be repeated meets the first kinds only: the others would apply it, too. One in four, so that none meets as
    // many in a row as end it.
    const random = new SeededRandom(37);
    let turn: { readonly request: S3Request; readonly isRefused: boolean } | undefined;
    const isInTurn = (request: S3Request): boolean => {
      if (turn?.request !== request) turn = { request, isRefused: random.below(4) === 0 };
      return turn.isRefused;
    };
    for (let i = 0; i < 20; i++)
      storm(refuse([429, 503, 500][i % 3]!), (request) => !isSwap(request) && isInTurn(request));
    const landed = await Promise.all(
      landers.flatMap((lander, who) =>
        Array.from({ length: LANDINGS }, async (_, i) => {
          const path = `lander-${who}/file-${i}`;
          return { path, position: (await landNow(lander, { [path]: path })).position };
        }),
      ),
    );
    const all = LANDERS * LANDINGS;
    expect(landed.map(({ position }) => position).sort((a, b) => a - b)).toEqual(
      Array.from({ length: all }, (_, i) => i + 1),
    );
    const snapshot = await openFixture(store, clock).snapshot();
    expect(snapshot.head.position).toBe(all);
    for (const { path, position } of landed) {
      const operations = await snapshot.operations(position);
      expect(operations.map((operation) => operation.path)).toEqual([path]);
    }
    expect(met).toBeGreaterThan(2 * STORM.length);
  },
);
