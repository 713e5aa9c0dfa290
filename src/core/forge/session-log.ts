/**
 * Where sessions landed, read from the log. The stretch of the log that was read before is remembered, so that
 * each question costs only the landings since the last one.
 */
import { setImmediate } from "node:timers/promises";
import type { LandingId, Position, SessionId } from "../base/ids.ts";
import type { ETag } from "../store/object-store.ts";
import type { Snapshot } from "./snapshot.ts";

/** A long log is read in turns, between which others get theirs. */
const RECORDS_PER_TURN = 1024;
/** Landing ids that are kept, to tell a snapshot that is a little older from one of another history. */
const MARKS_MAX = 1024;

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
    snapshot: Snapshot,
    session: SessionId,
    after: Position,
    signal?: AbortSignal,
  ): Promise<Position | undefined> {
    if (this.#etag !== snapshot.etag || this.#low === undefined || this.#low > after) {
      const covered = this.#covering.then(() => this.#cover(snapshot, after, signal));
      this.#covering = covered.catch(() => undefined);
      await covered;
    }
    const position = this.#landedAt.get(session);
    return position !== undefined && position > after && position <= snapshot.head.position
      ? position
      : undefined;
  }

  async #cover(snapshot: Snapshot, after: Position, signal: AbortSignal | undefined): Promise<void> {
    const head = snapshot.head.position;
    this.#etag = undefined;
    if (!(await this.#isSameHistory(snapshot))) {
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
  async #isSameHistory(snapshot: Snapshot): Promise<boolean> {
    const at = Math.min(snapshot.head.position, this.#high ?? 0) as Position;
    if (at <= (this.#low ?? 0)) return (this.#high ?? 0) === at;
    return (await snapshot.record(at)).landingId === this.#marks.get(at);
  }

  async #read(snapshot: Snapshot, after: Position, upTo: Position, signal?: AbortSignal): Promise<void> {
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
