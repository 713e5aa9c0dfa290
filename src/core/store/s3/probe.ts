/**
 * Finds out whether a store keeps what landing relies on, by trying: of many writers at once exactly one wins, a stale
 * or missing version is refused, a request that was signed long ago is refused. A store that ignores a condition
 * answers 200 and loses landings in silence, so what is not proven is taken for broken.
 *
 * Works below `probe/` and leaves nothing there. A race can be won by luck: a store that checks and then acts passes
 * with a small probability, which every further start makes smaller.
 */
import { bytesToHex, utf8 } from "../../base/bytes.ts";
import { type Clock, throwIfAborted } from "../../base/clock.ts";
import { isMicError, MicError } from "../../base/errors.ts";
import type { Random } from "../../base/random.ts";
import type { ObjectStore } from "../object-store.ts";
import { PROBE_CHECKS, type Probe, type ProbeContext, type ProbeFailure } from "./probe-checks.ts";
import { type RaceVerdict, runRaces } from "./probe-races.ts";

export interface ProbeCheck {
  readonly name: string;
  /** What a store must do. */
  readonly rule: string;
  readonly passed: boolean;
  /** What it did instead; only when it failed. */
  readonly problem?: string;
  readonly fix?: string;
}

export interface ProbeReport {
  /** The store's description. */
  readonly store: string;
  readonly passed: boolean;
  readonly checks: readonly ProbeCheck[];
  readonly durationMs: number;
}

export interface ProbeOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly signal?: AbortSignal;
  /** Writers of one race, 2 to 64. Default 32. */
  readonly writers?: number;
  /** Rounds of races between pairs, at most. Default 4. */
  readonly pairRounds?: number;
}

const PREFIX = "probe/";
const WRITERS = 32;
const PAIR_ROUNDS = 4;
const DAY_MS = 86_400_000;
/** Of a check that fails. */
const ATTEMPTS = 3;
const PAUSE_MS = 200;

/**
 * Errors: `unreachable`, `unauthenticated`, `forbidden`, `not-found` for a missing bucket, `aborted`: nothing is known
 * about the store then. What a store does wrong is in the report.
 */
export async function probeStore(store: ObjectStore, options: ProbeOptions): Promise<ProbeReport> {
  const { clock, random, signal } = options;
  throwIfAborted(signal);
  const startMs = performance.now();
  const today = Math.floor(clock.nowMs() / DAY_MS);
  const prefix = `${PREFIX}${today}-${bytesToHex(random.bytes(8))}/`;
  const context: ProbeContext = {
    store,
    prefix,
    clock,
    random,
    writers: options.writers ?? WRITERS,
    pairRounds: options.pairRounds ?? PAIR_ROUNDS,
    ...(signal === undefined ? {} : { signal }),
  };
  const checks: ProbeCheck[] = [];
  // Alone: it finds region, time and rights for those that follow. Where it fails, nothing is there to be removed that
  // a later probe would not remove.
  await store.put(`${prefix}first`, utf8("mic"), signal === undefined ? {} : { signal });
  try {
    const single = PROBE_CHECKS.map((check) => attempt(check, context));
    const races = runRaces(context).catch((error: unknown) => [toVerdict(error)]);
    // All of them have ended before anything is removed, so that nothing is written again.
    await Promise.allSettled([races, ...single]);
    for (const { name, rule, failure } of await races) checks.push(toCheck(name, rule, failure));
    checks.push(...(await Promise.all(single)));
  } finally {
    await removeOld(store, prefix, today);
  }
  const passed = checks.every((check) => check.passed);
  return { store: store.description, passed, checks, durationMs: performance.now() - startMs };
}

/** Errors: those of `probeStore`, and `unsupported` for a store that failed. */
export async function probeBucket(store: ObjectStore, options: ProbeOptions): Promise<ProbeReport> {
  const report = await probeStore(store, options);
  requirePassed(report);
  return report;
}

export function requirePassed({ passed, checks, store }: ProbeReport): void {
  if (passed) return;
  const failed = checks.filter((check) => !check.passed);
  const [first] = failed;
  throw new MicError(
    "unsupported",
    `${store} cannot hold a forge: ${failed.map(({ name, problem }) => `${name}: ${problem}`).join("; ")}`,
    { hint: first!.fix ?? "use a store with conditional writes", data: { checks } },
  );
}

/** Codes that say nothing about the store's guarantees. */
const UNKNOWN = ["unreachable", "unauthenticated", "forbidden", "not-found", "aborted", "internal", "usage"];

/**
 * A write that the network delivers late or twice can look like a fault of the store once: what is really wrong is
 * wrong every time. (Races are not repeated: two winners are proof.)
 */
async function attempt({ name, rule, run }: Probe, context: ProbeContext): Promise<ProbeCheck> {
  for (let attempt = 1; ; attempt++) {
    const check = await runOnce({ name, rule, run }, { ...context, prefix: `${context.prefix}${attempt}/` });
    if (check.passed || attempt === ATTEMPTS) return check;
    await context.clock.sleep(PAUSE_MS, context.signal);
  }
}

/** A store that has no conditional writes at all. */
function toVerdict(error: unknown): RaceVerdict {
  return {
    name: "conditional writes",
    rule: "a write can be made to depend on a version",
    failure: toFailure(error),
  };
}

/** Errors: `error` itself, when it says nothing about the store's guarantees. */
function toFailure(error: unknown): ProbeFailure {
  if (!isMicError(error) || UNKNOWN.includes(error.code)) throw error;
  return { problem: error.message, fix: error.hint ?? "see docs/storage.md" };
}

async function runOnce({ name, rule, run }: Probe, context: ProbeContext): Promise<ProbeCheck> {
  try {
    return toCheck(name, rule, await run(context));
  } catch (error) {
    return toCheck(name, rule, toFailure(error));
  }
}

function toCheck(name: string, rule: string, failure: ProbeFailure | undefined): ProbeCheck {
  return { name, rule, passed: failure === undefined, ...failure };
}

/** What this probe wrote, and what earlier ones left that were killed. */
async function removeOld(store: ObjectStore, own: string, today: number): Promise<void> {
  try {
    for (let after: string | undefined; ; ) {
      const page = await store.list(PREFIX, after === undefined ? {} : { after });
      const keys = page.objects.map(({ key }) => key).filter((key) => isOld(key, own, today));
      if (keys.length > 0) await store.delete(keys);
      after = page.next;
      if (after === undefined) return;
    }
  } catch (error) {
    // The checks of listing and deleting say so.
    if (!isMicError(error)) throw error;
  }
}

function isOld(key: string, own: string, today: number): boolean {
  if (key.startsWith(own)) return true;
  const day = /^probe\/(\d+)-/.exec(key)?.[1];
  return day !== undefined && Number(day) < today - 1;
}
