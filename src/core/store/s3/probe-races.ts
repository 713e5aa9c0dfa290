/**
 * Writers at once, of whom one wins. In two shapes: all of them at one key; and pairs at many keys, which is what finds
 * stores that check and then act: the two requests of a pair follow each other into the store, so their moments
 * between check and act overlap more often than those of a crowd that queues up for one key. (Of 20 runs against such
 * a gateway, crowds of 64 found it in 4, 64 pairs of the same cost in 20.)
 */
import type { CommitOutcome, ETag, StoredObject } from "../object-store.ts";
import { type ProbeContext, type ProbeFailure, sameBytes, throwIfRefused } from "./probe-checks.ts";

export interface RaceVerdict {
  readonly name: string;
  readonly rule: string;
  readonly failure: ProbeFailure | undefined;
}

interface Racer {
  readonly key: string;
  readonly bytes: Uint8Array;
}

const FIX =
  "use a store whose conditional writes are atomic: AWS S3, Cloudflare R2, GCS, Tigris, MinIO, SeaweedFS from 4.18, Ceph RGW in a late release";
/** Bytes of what pairs write, one size after the other: a store may look before it has read a body, or after. */
const PAIR_BYTES = [16 << 10, 512];
const CROWD_BYTES = 512;
/**
 * Of one last pair: more than the network buffers, so that the store has looked at both before it has either body.
 * Near a fast store that alone finds one that looks first in 93 of 100 races; elsewhere smaller bodies do as well.
 */
const LARGE_BYTES = 4 << 20;
/** A store that was through with a round of pairs in this time. */
const NEAR_MS_MAX = 500;
const UNIQUE_BYTES = 16;
/** Pairs go on for this long where requests are quick, as on one's own machine; elsewhere there is one round of them. */
const PAIRS_MS = 250;
/** A store that limits writes per key may give nobody a definite answer at first. */
const ATTEMPTS = 4;
const PAUSE_MS = 500;

interface RaceShape {
  readonly keys: readonly string[];
  /** At each key. */
  readonly writers: number;
  /** Bytes that each of them writes. */
  readonly size: number;
}

/** The second kind is not tried when the first has failed. Errors: those of the store's calls. */
export async function runRaces(context: ProbeContext): Promise<readonly RaceVerdict[]> {
  const startMs = performance.now();
  const { prefix, writers, pairRounds } = context;
  let verdicts = await raceBoth(context, { keys: [`${prefix}race-crowd`], writers, size: CROWD_BYTES });
  let isNear = false;
  for (let round = 1; havePassed(verdicts); round++) {
    const roundMs = performance.now();
    const keys = Array.from({ length: 2 * writers }, (_, pair) => `${prefix}race-${round}-${pair}`);
    const size = PAIR_BYTES[(round - 1) % PAIR_BYTES.length]!;
    verdicts = await raceBoth(context, { keys, writers: 2, size });
    isNear ||= performance.now() - roundMs < NEAR_MS_MAX;
    if (round >= pairRounds || performance.now() - startMs > PAIRS_MS) break;
  }
  if (!havePassed(verdicts) || !isNear) return verdicts;
  return await raceBoth(context, { keys: [`${prefix}race-large`], writers: 2, size: LARGE_BYTES });
}

function havePassed(verdicts: readonly RaceVerdict[]): boolean {
  return verdicts.every(({ failure }) => failure === undefined);
}

async function raceBoth(context: ProbeContext, shape: RaceShape): Promise<readonly RaceVerdict[]> {
  const create = {
    name: "create-if-absent race",
    rule: "of writers that create one key at once, one succeeds",
  };
  const match = { name: "if-match race", rule: "of writers that replace one version at once, one succeeds" };
  const { keys, writers, size } = shape;
  const created = await burst(context, new Map(keys.map((key) => [key, null])), writers, size);
  if ("problem" in created) return [{ ...create, failure: created }];
  const replaced = await burst(context, created, writers, size);
  return [
    { ...create, failure: undefined },
    { ...match, failure: "problem" in replaced ? replaced : undefined },
  ];
}

/**
 * Lets `writers` race at each key, all at once, from what each key is expected to be. The ETags that are there
 * afterwards, or what went wrong.
 */
async function burst(
  context: ProbeContext,
  expected: ReadonlyMap<string, ETag | null>,
  writers: number,
  size: number,
): Promise<ReadonlyMap<string, ETag> | ProbeFailure> {
  const { store, clock, random, signal } = context;
  const options = signal === undefined ? {} : { signal };
  const won = new Map<string, ETag>();
  const left = new Map(expected);
  /** Of attempts without a definite answer: they may be applied at any later time. */
  const late = new Map<string, readonly Uint8Array[]>();
  for (let attempt = 1; ; attempt++) {
    const racers: Racer[] = [];
    for (const key of left.keys()) {
      for (let writer = 0; writer < writers; writer++) {
        const bytes = new Uint8Array(size);
        bytes.set(random.bytes(UNIQUE_BYTES));
        racers.push({ key, bytes });
      }
    }
    const outcomes = await Promise.all(
      racers.map(({ key, bytes }) => store.commit([], { key, expected: left.get(key)!, bytes }, options)),
    );
    const keys = [...left.keys()];
    const found = await Promise.all(keys.map((key) => store.get(key, options)));
    for (let i = 0; i < keys.length; i++) {
      const key = keys[i]!;
      const range = [i * writers, (i + 1) * writers] as const;
      const contents = racers.slice(...range).map(({ bytes }) => bytes);
      const before = late.get(key) ?? [];
      const verdict = judgeRace(outcomes.slice(...range), contents, found[i], left.get(key)!, before);
      if (verdict === "won") {
        won.set(key, found[i]!.etag);
        left.delete(key);
      } else if (verdict !== "nobody") return { problem: verdict, fix: FIX };
      else late.set(key, [...before, ...contents]);
    }
    if (left.size === 0) return won;
    if (won.size === 0) throwIfRefused(outcomes[0]!);
    if (attempt === ATTEMPTS) {
      return { problem: `${left.size} races of ${writers} writers have no definite winner`, fix: FIX };
    }
    await clock.sleep(PAUSE_MS * attempt, signal);
  }
}

/**
 * `won`, `nobody` when no answer was definite, or what was wrong. `late`: what earlier attempts wrote from the same
 * version, and nobody knows whether it was applied.
 */
export function judgeRace(
  outcomes: readonly CommitOutcome[],
  contents: readonly Uint8Array[],
  found: StoredObject | undefined,
  expected: ETag | null,
  late: readonly Uint8Array[] = [],
): string {
  const winners = outcomes.flatMap((outcome, index) =>
    outcome.kind === "committed" ? [{ index, etag: outcome.etag }] : [],
  );
  const verb = expected === null ? "created the same key" : "replaced the same version";
  if (winners.length > 1)
    return `${winners.length} of ${outcomes.length} writers were told that they ${verb}`;
  const [winner] = winners;
  if (winner === undefined) {
    // A store may deliver a request twice and answer the second; what counts is that one of them is there.
    const isOurs =
      found !== undefined && [...contents, ...late].some((bytes) => sameBytes(found.bytes, bytes));
    if (isOurs && found.etag !== expected) return "won";
    if (outcomes.some(({ kind }) => kind === "unknown")) return "nobody";
    return `none of ${outcomes.length} writers that ${verb} succeeded`;
  }
  if (found === undefined) return "the winner's object is not there";
  if (!sameBytes(found.bytes, contents[winner.index]!))
    return "the winner's object was overwritten by a loser's";
  return found.etag === winner.etag ? "won" : "a read gives another ETag than the write";
}
