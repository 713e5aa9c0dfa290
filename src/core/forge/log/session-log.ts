/**
 * Where sessions landed: of the newest landings in memory, of those before them in rollups. What was read of the log
 * is remembered, so that each question costs only the landings since the last one.
 */
import { setImmediate } from "node:timers/promises";
import type { LandingId, Position, SessionId } from "../../base/ids.ts";
import type { ETag } from "../../store/object-store.ts";
import { findInRollup } from "../rollup/lookup.ts";
import { rolledUpTo, segmentsOf } from "../rollup/segments.ts";
import type { ProjectLog } from "./project-log.ts";

/** A long log is read in turns, between which others get theirs. */
const RECORDS_PER_TURN = 1024;
/** Landing ids that are kept, to tell a snapshot that is a little older from one of another history. */
const MARKS_MAX = 1024;
/** Newest landings that are remembered where no rollup stands for them. */
const REMEMBERED_MAX = 200_000;
/** Sessions from which on those that a rollup knows are forgotten. */
const SESSIONS_MAX = 50_000;

export class SessionLog {
  /** The newest landing of each session in (#low, #high]. */
  readonly #landedAt = new Map<SessionId, Position>();
  #low: Position | undefined;
  #high: Position | undefined;
  /** Landing ids at the newest positions. */
  readonly #marks = new Map<Position, LandingId>();
  /** Of the snapshot that was compared last. */
  #etag: ETag | undefined;
  /** Who asks while the log is read waits for it, instead of reading the same again. */
  #covering: Promise<unknown> = Promise.resolve();

  /** The newest landing of `session` in (after, head], if any. */
  async find(
    snapshot: ProjectLog,
    session: SessionId,
    after: Position,
    signal?: AbortSignal,
  ): Promise<Position | undefined> {
    const head = snapshot.head.position;
    const least = Math.max(rolledUpTo(snapshot), head - REMEMBERED_MAX);
    const start = Math.min(head, Math.max(after, least)) as Position;
    if (this.#etag !== snapshot.etag || this.#low === undefined || this.#low > start) {
      const covered = this.#covering.then(() => this.#cover(snapshot, start, signal));
      this.#covering = covered.catch(() => undefined);
      await covered;
    }
    const position = this.#landedAt.get(session);
    if (position !== undefined && position <= head) return position > after ? position : undefined;
    return await searchOlder(snapshot, session, after, this.#low ?? start, signal);
  }

  async #cover(snapshot: ProjectLog, after: Position, signal: AbortSignal | undefined): Promise<void> {
    const head = snapshot.head.position;
    this.#etag = undefined;
    const isFull = this.#landedAt.size > SESSIONS_MAX && (this.#low ?? 0) < rolledUpTo(snapshot);
    if (isFull || !(await this.#isSameHistory(snapshot))) {
      this.#landedAt.clear();
      this.#marks.clear();
      this.#low = undefined;
      this.#high = undefined;
    }
    if (this.#low === undefined || this.#high === undefined) {
      await this.#read(snapshot, after, head, signal);
      this.#low = after;
      this.#high = head;
    }
    if (head > this.#high) {
      await this.#read(snapshot, this.#high, head, signal);
      this.#high = head;
    }
    if (after < this.#low) {
      await this.#read(snapshot, after, this.#low, signal);
      this.#low = after;
    }
    this.#etag = snapshot.etag;
  }

  /** Whether what was read is this snapshot's log, or the beginning of it, or goes a little beyond it. */
  async #isSameHistory(snapshot: ProjectLog): Promise<boolean> {
    const at = Math.min(snapshot.head.position, this.#high ?? 0) as Position;
    if (at <= (this.#low ?? 0)) return (this.#high ?? 0) === at;
    return (await snapshot.record(at)).landingId === this.#marks.get(at);
  }

  async #read(snapshot: ProjectLog, after: Position, upTo: Position, signal?: AbortSignal): Promise<void> {
    if (after >= upTo) return;
    const options = signal === undefined ? {} : { signal };
    const marksAfter = snapshot.head.position - MARKS_MAX;
    let turn = RECORDS_PER_TURN;
    for await (const page of snapshot.records(after, upTo, options)) {
      for (const { session, position, landingId } of page) {
        const known = this.#landedAt.get(session);
        if (known === undefined || known < position) this.#landedAt.set(session, position);
        if (position > marksAfter) this.#marks.set(position, landingId);
      }
      turn -= page.length;
      if (turn > 0) continue;
      turn = RECORDS_PER_TURN;
      await setImmediate();
    }
    if (this.#marks.size <= MARKS_MAX) return;
    for (let position = after - MARKS_MAX + 1; position <= upTo - MARKS_MAX; position++) {
      this.#marks.delete(position as Position);
    }
  }
}

/** The newest landing of a session in (after, upTo]. */
async function searchOlder(
  snapshot: ProjectLog,
  session: SessionId,
  after: Position,
  upTo: Position,
  signal: AbortSignal | undefined,
): Promise<Position | undefined> {
  const options = signal === undefined ? {} : { signal };
  for (const segment of await segmentsOf(snapshot, after, upTo)) {
    const { rollup } = segment;
    if (rollup !== undefined) {
      const position = await snapshot.rollups.ask(() => findInRollup(rollup, "sessions", session));
      if (position !== "damaged") {
        if (position !== undefined && position > after && position <= upTo) return position;
        continue;
      }
    }
    for await (const page of snapshot.records(segment.after, segment.upTo, options)) {
      const found = page.find((record) => record.session === session);
      if (found !== undefined) return found.position;
      await setImmediate();
    }
  }
  return undefined;
}
