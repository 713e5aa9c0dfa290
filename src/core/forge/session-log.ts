/**
 * Where sessions landed, read from the log. The stretch of the log that was read before is remembered, so that
 * each question costs only the landings since the last one.
 */
import type { Position, SessionId } from "../base/ids.ts";
import type { Snapshot } from "./snapshot.ts";

export class SessionLog {
  /** The newest landing of each session in (#low, #high]. */
  readonly #landedAt = new Map<SessionId, Position>();
  #low: Position | undefined;
  #high: Position | undefined;

  /** The newest landing of `session` in (after, head], if any. */
  async find(
    snapshot: Snapshot,
    session: SessionId,
    after: Position,
    signal?: AbortSignal,
  ): Promise<Position | undefined> {
    await this.#cover(snapshot, after, signal);
    const position = this.#landedAt.get(session);
    return position !== undefined && position > after ? position : undefined;
  }

  async #cover(snapshot: Snapshot, after: Position, signal: AbortSignal | undefined): Promise<void> {
    const head = snapshot.head.position;
    // A shorter log than before is another history: start over.
    if (this.#high === undefined || this.#low === undefined || head < this.#high) {
      this.#landedAt.clear();
      await this.#read(snapshot, after, head, signal);
      this.#low = after;
      this.#high = head;
      return;
    }
    if (head > this.#high) {
      await this.#read(snapshot, this.#high, head, signal);
      this.#high = head;
    }
    if (after < this.#low) {
      await this.#read(snapshot, after, this.#low, signal);
      this.#low = after;
    }
  }

  async #read(snapshot: Snapshot, after: Position, upTo: Position, signal?: AbortSignal): Promise<void> {
    if (after >= upTo) return;
    const options = signal === undefined ? {} : { signal };
    for await (const page of snapshot.records(after, upTo, options)) {
      for (const record of page) {
        const known = this.#landedAt.get(record.session);
        if (known === undefined || known < record.position) {
          this.#landedAt.set(record.session, record.position);
        }
      }
    }
  }
}
