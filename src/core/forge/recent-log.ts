/**
 * What the newest landings touched, in memory: whether a landing id is among them and whether one of them may clash
 * with ours, without walking the log. A session that is based far back would otherwise cost the whole stretch since
 * its base, for every attempt. It answers "none" for certain and "perhaps" otherwise; then the log is walked.
 */
import type { LandingId, Position } from "../base/ids.ts";
import type { List } from "../base/list.ts";
import { ancestorsOf, type TreePath } from "../base/path.ts";
import type { LandingRecord } from "../codec/landing-record.ts";
import type { Operation } from "./forge.ts";
import type { Snapshot } from "./snapshot.ts";

/** Ids, paths and directories of one span. Two spans are kept. */
const SPAN_ENTRIES_MAX = 100_000;
/** Landings since a base from which on asking the index is cheaper than walking them. */
const WALKED_MAX = 256;
/** Landings that are read to begin with. */
const COVERED_MAX = 50_000;
const READ_TOGETHER = 512;

/** Landings (low, high]. */
class Span {
  readonly low: Position;
  high: Position;
  readonly ids = new Map<LandingId, Position>();
  /** Newest landing that touched a path. */
  readonly touched = new Map<TreePath, Position>();
  /** Newest landing that put something below a directory. */
  readonly below = new Map<TreePath, Position>();
  /** Newest landing whose operations are not here, because there were too many. */
  unread = 0;

  constructor(low: Position) {
    this.low = low;
    this.high = low;
  }

  get isFull(): boolean {
    return this.ids.size + this.touched.size + this.below.size >= SPAN_ENTRIES_MAX;
  }

  add(record: LandingRecord, operations: readonly Operation[] | undefined): void {
    const { position } = record;
    this.high = position;
    this.ids.set(record.landingId, position);
    if (operations === undefined) {
      this.unread = position;
      return;
    }
    for (const { kind, path } of operations) {
      this.touched.set(path, position);
      if (kind === "put") for (const directory of ancestorsOf(path)) this.below.set(directory, position);
    }
  }

  mayClash(operations: List<Operation>, base: Position): boolean {
    if (this.unread > base) return true;
    for (const { kind, path } of operations) {
      if (isAfter(this.touched.get(path), base)) return true;
      if (kind === "delete") continue;
      if (isAfter(this.below.get(path), base)) return true;
      for (const directory of ancestorsOf(path)) if (isAfter(this.touched.get(directory), base)) return true;
    }
    return false;
  }
}

/** Consecutive landings up to the newest that was added. */
export class RecentLog {
  #older: Span | undefined;
  #newer: Span | undefined;

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
  }

  /** The landing at `high + 1`. `operations`: undefined when there are too many to be kept. */
  add(record: LandingRecord, operations: readonly Operation[] | undefined): void {
    if (this.#newer!.isFull) {
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
    if (this.#newer?.mayClash(operations, base) === true) return true;
    return this.#older !== undefined && this.#older.high > base && this.#older.mayClash(operations, base);
  }
}

function isAfter(position: Position | undefined, base: Position): boolean {
  return position !== undefined && position > base;
}

/** Keeps one index of the log of a project up to date with its snapshots. */
export class RecentLogKeeper {
  readonly #log = new RecentLog();
  /** The record at the index's end: what tells that a snapshot has the same history. */
  #last: LandingRecord | undefined;
  #covering: Promise<unknown> = Promise.resolve();

  /** The index up to this snapshot's head or beyond; undefined where the landings since `after` are few. */
  async upTo(snapshot: Snapshot, after: Position): Promise<RecentLog | undefined> {
    if (snapshot.head.position - after <= WALKED_MAX) return undefined;
    const covered = this.#covering.then(() => this.#cover(snapshot));
    this.#covering = covered.catch(() => undefined);
    await covered;
    return this.#log;
  }

  async #cover(snapshot: Snapshot): Promise<void> {
    const head = snapshot.head.position;
    const last = this.#last;
    const isSame =
      last === undefined ||
      last.position > head ||
      (await snapshot.record(last.position)).landingId === last.landingId;
    const least = Math.max(0, head - COVERED_MAX) as Position;
    if (!isSame || this.#log.high === undefined || this.#log.high < least) this.#log.restart(least);
    for (let next = this.#log.high!; next < head; next = this.#log.high!) {
      const upTo = Math.min(head, next + READ_TOGETHER) as Position;
      const records: LandingRecord[] = [];
      for await (const page of snapshot.records(next, upTo)) records.push(...page);
      for (const record of records.reverse()) {
        const isInline = record.operations.kind === "inline";
        this.#log.add(record, isInline ? snapshot.inlineOperations(record) : undefined);
        this.#last = record;
      }
    }
  }
}
