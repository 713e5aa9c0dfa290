/** What a pass counts, and when what waits can go. */
import type { CollectReport } from "../maintenance.ts";
import type { EarlierPass } from "./candidates.ts";

const DAY_MS = 86_400_000;

export class Tally {
  readonly #startedMs: number;
  readonly #earlier: EarlierPass | undefined;
  readonly #gapMs: number;
  #objects = 0;
  #deleted = 0;
  #bytesDeleted = 0;
  #waiting = 0;
  #bytesWaiting = 0;
  /** Seen unnamed by the earlier pass as well. */
  #hasSeenTwice = false;
  #hasSeenOnce = false;
  /** Day from which on the oldest of those that are too young counts. */
  #youngFrom = Number.POSITIVE_INFINITY;

  /** `earlier`: the pass that this one is compared with. */
  constructor(context: {
    readonly startedMs: number;
    readonly earlier: EarlierPass | undefined;
    readonly gapMs: number;
  }) {
    this.#startedMs = context.startedMs;
    this.#earlier = context.earlier;
    this.#gapMs = context.gapMs;
  }

  listed(): void {
    this.#objects++;
  }

  deleted(bytes: number): void {
    this.#deleted++;
    this.#bytesDeleted += bytes;
  }

  waits(bytes: number, wasSeen: boolean): void {
    this.#wait(bytes);
    if (wasSeen) this.#hasSeenTwice = true;
    else this.#hasSeenOnce = true;
  }

  /** `fromDay`: the first day on which a pass counts for it. */
  young(bytes: number, fromDay: number): void {
    this.#wait(bytes);
    this.#youngFrom = Math.min(this.#youngFrom, fromDay);
  }

  #wait(bytes: number): void {
    this.#waiting++;
    this.#bytesWaiting += bytes;
  }

  /** `isReplaced`: what this pass found takes the place of what the earlier one did, `atMs`. */
  report({ isReplaced, atMs }: { readonly isReplaced: boolean; readonly atMs: number }): CollectReport {
    const times: number[] = [];
    const nextMs = isReplaced ? atMs : this.#earlier!.atMs + this.#gapMs;
    if (this.#hasSeenTwice && !isReplaced) times.push(nextMs);
    // A pass counts for the others when it is the first after what was found before has gone.
    if (this.#hasSeenOnce || (this.#hasSeenTwice && isReplaced)) times.push(nextMs + this.#gapMs);
    if (this.#youngFrom < Number.POSITIVE_INFINITY) {
      times.push(Math.max(this.#youngFrom * DAY_MS, isReplaced ? this.#startedMs : nextMs) + this.#gapMs);
    }
    return {
      objects: this.#objects,
      unreferenced: this.#deleted + this.#waiting,
      deleted: this.#deleted,
      bytesDeleted: this.#bytesDeleted,
      waiting: this.#waiting,
      bytesWaiting: this.#bytesWaiting,
      ...(times.length === 0 ? {} : { nextAt: new Date(Math.ceil(Math.min(...times))).toISOString() }),
    };
  }
}
