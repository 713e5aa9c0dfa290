/**
 * What the newest landings touched, in memory: whether a landing id is among them and whether one of them may clash
 * with ours, without walking the log. A session that is based far back would otherwise cost the whole stretch since
 * its base, for every attempt. It answers "none" for certain and "perhaps" otherwise; then the log is walked.
 */
import { setImmediate } from "node:timers/promises";
import type { LandingId, Position } from "../../base/ids.ts";
import type { List } from "../../base/list.ts";
import type { LandingRecord } from "../../codec/landing-record.ts";
import type { Operation } from "../forge.ts";
import { rolledUpTo } from "../rollup/segments.ts";
import type { ProjectLog } from "./project-log.ts";
import { TouchedPaths } from "./touched-paths.ts";

/** Ids, paths and directories of one span. Two spans are kept. */
const SPAN_ENTRIES_MAX = 100_000;
/** Landings since a base from which on asking the index is cheaper than walking them. */
export const WALKED_MAX = 32;
/** Landings that are read to begin with: few, or many once somebody is based further back. */
const COVERED_MIN = 2_000;
const COVERED_MAX = 50_000;
const READ_TOGETHER = 1024;

/** Landings (low, high]. */
class Span {
  readonly low: Position;
  high: Position;
  readonly ids = new Map<LandingId, Position>();
  readonly touched = new TouchedPaths();

  constructor(low: Position) {
    this.low = low;
    this.high = low;
  }

  get isFull(): boolean {
    return this.ids.size + this.touched.size >= SPAN_ENTRIES_MAX;
  }

  add(record: LandingRecord, operations: readonly Operation[] | undefined): void {
    this.high = record.position;
    this.ids.set(record.landingId, record.position);
    this.touched.add(record.position, operations);
  }
}

/** Consecutive landings up to the newest that was added. */
export class RecentLog {
  #older: Span | undefined;
  #newer: Span | undefined;
  /** It held more than it holds now. */
  hasDropped = false;

  /** The landings after this, up to `high`, are known. */
  get low(): Position | undefined {
    return (this.#older ?? this.#newer)?.low;
  }

  get high(): Position | undefined {
    return this.#newer?.high;
  }

  /** Begins anew after a position: the log is another one, or a stretch of it was left out. */
  restart(after: Position): void {
    this.#older = undefined;
    this.#newer = new Span(after);
    this.hasDropped = false;
  }

  /** The landing at `high + 1`. `operations`: undefined when there are too many to be kept. */
  add(record: LandingRecord, operations: readonly Operation[] | undefined): void {
    if (this.#newer!.isFull) {
      this.hasDropped = this.#older !== undefined;
      this.#older = this.#newer;
      this.#newer = new Span(this.#newer!.high);
    }
    this.#newer!.add(record, operations);
  }

  /** Where a landing id landed in (low, high]. */
  find(landingId: LandingId): Position | undefined {
    return this.#newer?.ids.get(landingId) ?? this.#older?.ids.get(landingId);
  }

  /** False: no landing in (max(base, low), high] clashes with these operations. */
  mayClash(operations: List<Operation>, base: Position): boolean {
    if (this.#newer?.touched.mayClash(operations, base) === true) return true;
    const older = this.#older;
    return older !== undefined && older.high > base && older.touched.mayClash(operations, base);
  }
}

/** Keeps one index of the log of a project up to date with its snapshots. */
export class RecentLogKeeper {
  readonly #log = new RecentLog();
  /** The record at the index's end: what tells that a snapshot has the same history. */
  #last: LandingRecord | undefined;
  #covering: Promise<unknown> = Promise.resolve();

  /** The index up to this snapshot's head; undefined where the landings since `after` are few, or it does not fit. */
  async upTo(snapshot: ProjectLog, after: Position): Promise<RecentLog | undefined> {
    if (snapshot.head.position - after <= WALKED_MAX) return undefined;
    const covered = this.#covering.then(() => this.#cover(snapshot, after));
    this.#covering = covered.catch(() => undefined);
    return (await covered) ? this.#log : undefined;
  }

  /** False for a snapshot that ends before the index does: an older one, or a store that was put back in time. */
  async #cover(snapshot: ProjectLog, after: Position): Promise<boolean> {
    const head = snapshot.head.position;
    const last = this.#last;
    const end = Math.max(last?.position ?? 0, this.#log.high ?? 0);
    if (end > head) return false;
    const isSame = last === undefined || (await snapshot.record(last.position)).landingId === last.landingId;
    const isFar = after < head - COVERED_MIN;
    // What rollups stand for is asked of them, unless it is here already.
    const reach = Math.max(0, head - (isFar ? COVERED_MAX : COVERED_MIN));
    const least = Math.max(reach, rolledUpTo(snapshot)) as Position;
    const { low, high } = this.#log;
    const isKnown = isSame && low !== undefined && high !== undefined && high >= least;
    // What was dropped because there was too much of it is not read again.
    const isTooShort = isKnown && low > Math.max(after, least) && !this.#log.hasDropped;
    if (!isKnown || isTooShort) this.#log.restart(least);
    const start = this.#log.high!;
    for (let next = start; next < head; next = this.#log.high!) {
      // A long log is read in turns, between which others get theirs.
      if (next > start) await setImmediate();
      const upTo = Math.min(head, next + READ_TOGETHER) as Position;
      const records: LandingRecord[] = [];
      for await (const page of snapshot.records(next, upTo)) records.push(...page);
      for (const record of records.reverse()) {
        const isInline = record.operations.kind === "inline";
        this.#log.add(record, isInline ? snapshot.inlineOperations(record) : undefined);
        this.#last = record;
      }
    }
    return true;
  }
}
