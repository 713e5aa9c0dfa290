/** Many writers at once, of whom one wins. */
import type { CommitOutcome, ETag, StoredObject } from "../object-store.ts";
import { definite, type Probe, type ProbeContext, type ProbeFailure, sameBytes } from "./probe-checks.ts";

const FIX =
  "use a store whose conditional writes are atomic: AWS S3, Cloudflare R2, GCS, Tigris, MinIO, SeaweedFS from 4.18, Ceph RGW in a late release";
/** Bytes of what writers write, one size after the other: a store may look before it reads a body, or after. */
const SIZES = [512, 64 << 10];
/** A store that limits writes per key may answer nothing definite to all of them. */
const ATTEMPTS = 4;
const PAUSE_MS = 500;
const UNIQUE_BYTES = 16;

export const PROBE_RACES: readonly Probe[] = [
  {
    name: "create-if-absent race",
    rule: "of writers that create one key at once, exactly one succeeds",
    run: (context) => raceRounds(context, "create", async () => null),
  },
  {
    name: "if-match race",
    rule: "of writers that replace one version at once, exactly one succeeds",
    run: (context) =>
      raceRounds(context, "match", (key) =>
        definite(context, key, () =>
          context.store.commit([], { key, expected: null, bytes: context.random.bytes(UNIQUE_BYTES) }),
        ),
      ),
  },
];

/** `prepare`: what all of them expect of the key. */
async function raceRounds(
  context: ProbeContext,
  name: string,
  prepare: (key: string) => Promise<ETag | null>,
): Promise<ProbeFailure | undefined> {
  for (let round = 0; round < context.rounds; round++) {
    for (let attempt = 1; ; attempt++) {
      const key = `${context.prefix}${name}-${round}-${attempt}`;
      const expected = await prepare(key);
      const verdict = await race(context, key, expected, SIZES[round % SIZES.length]!);
      if (verdict === "won") break;
      if (verdict !== "nobody") return { problem: verdict, fix: FIX };
      if (attempt === ATTEMPTS) {
        return { problem: `none of ${context.writers} writers at once got a definite answer`, fix: FIX };
      }
      await context.clock.sleep(PAUSE_MS * attempt, context.signal);
    }
  }
  return undefined;
}

async function race(
  { store, random, writers, signal }: ProbeContext,
  key: string,
  expected: ETag | null,
  size: number,
): Promise<string> {
  const contents = Array.from({ length: writers }, () => {
    const bytes = new Uint8Array(size);
    bytes.set(random.bytes(UNIQUE_BYTES));
    return bytes;
  });
  const options = signal === undefined ? {} : { signal };
  const outcomes = await Promise.all(
    contents.map((bytes) => store.commit([], { key, expected, bytes }, options)),
  );
  return judgeRace(outcomes, contents, await store.get(key, options), expected);
}

/** `won`, `nobody` when no answer was definite, or what was wrong. */
export function judgeRace(
  outcomes: readonly CommitOutcome[],
  contents: readonly Uint8Array[],
  found: StoredObject | undefined,
  expected: ETag | null,
): string {
  const winners = outcomes.flatMap((outcome, index) =>
    outcome.kind === "committed" ? [{ index, outcome }] : [],
  );
  const verb = expected === null ? "created the same key" : "replaced the same version";
  if (winners.length > 1)
    return `${winners.length} of ${outcomes.length} writers were told that they ${verb}`;
  const [winner] = winners;
  if (winner === undefined) {
    // A store may deliver a request twice and answer the second; what counts is that one of them is there.
    const isUnknown = outcomes.some(({ kind }) => kind === "unknown");
    if (
      found !== undefined &&
      found.etag !== expected &&
      contents.some((bytes) => sameBytes(bytes, found.bytes))
    ) {
      return "won";
    }
    return isUnknown ? "nobody" : `none of ${outcomes.length} writers that ${verb} succeeded`;
  }
  if (found === undefined) return "the winner's object is not there";
  if (!sameBytes(found.bytes, contents[winner.index]!))
    return "the winner's object was overwritten by a loser's";
  if (found.etag !== winner.outcome.etag) return "a read gives another ETag than the write";
  return "won";
}
