/**
 * The lease on being the primary of the accounts: one object, changed by compare-and-swap alone.
 *
 * What holds, whatever clocks and networks do: generations grow; of two servers that take the same generation one is
 * refused; and an update succeeds only while nobody else changed the object. So whoever acknowledges something after
 * an update knows that the next primary, which swaps after that update, restores what was in the replica before it.
 * Clocks only decide when it is worth trying.
 */
import { bytesToHex } from "../../../core/base/bytes.ts";
import type { Clock } from "../../../core/base/clock.ts";
import { MicError } from "../../../core/base/errors.ts";
import type { Random } from "../../../core/base/random.ts";
import type { ETag, ObjectStore } from "../../../core/store/object-store.ts";
import { decodeLease, encodeLease, type LeaseRecord } from "./lease-record.ts";

export const LEASE_KEY = "lease";
export const LEASE_MS = 15_000;
export const RENEW_MS = 5_000;
/** The holder stops this long before the end, and others begin this long after it. */
export const LEASE_MARGIN_MS = 2_000;
/** Within one update. */
const ATTEMPT_MS = 250;

export interface LeaseOptions {
  readonly store: ObjectStore;
  readonly clock: Clock;
  readonly random: Random;
  /** Milliseconds that only grow, of this machine. */
  readonly elapsedMs: () => number;
  readonly holder: string;
}

type Change = Partial<Pick<LeaseRecord, "url" | "source" | "position">>;

export class Lease {
  readonly #options: LeaseOptions;
  #seen: { readonly record: LeaseRecord; readonly etag: ETag } | undefined;
  /** When the version that is seen was first seen. */
  #seenAt = 0;
  /** While this server is the holder: until when it may say so, by `elapsedMs`. */
  #heldUntil = Number.NEGATIVE_INFINITY;
  /** One update after the other. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(options: LeaseOptions) {
    this.#options = options;
  }

  /** What was last seen, by `look`, `take` or `update`. */
  get record(): LeaseRecord | undefined {
    return this.#seen?.record;
  }

  /** Milliseconds for which this server may act as the primary. Not positive: it is none. */
  get leftMs(): number {
    return this.#heldUntil - this.#options.elapsedMs();
  }

  /** Reads it, cheaply where nothing changed. Errors: those of the store, `corrupt`, `unsupported`. */
  async look(signal?: AbortSignal): Promise<LeaseRecord | undefined> {
    const { store } = this.#options;
    const options = signal === undefined ? {} : { signal };
    const seen = this.#seen;
    const found =
      seen === undefined
        ? await store.get(LEASE_KEY, options)
        : await store.revalidate(LEASE_KEY, seen.etag, options);
    // An update may have come between.
    if (found === "unchanged" || this.#seen !== seen) return this.#seen?.record;
    if (found === undefined) this.#seen = undefined;
    else this.#see(decodeLease(found.bytes, store.description), found.etag);
    return this.#seen?.record;
  }

  /**
   * Whether nobody holds it, after a `look`: never taken, given up, held by this data directory's last process, or
   * over, by the store's clock (which a server that just started asks) or because it did not change for its whole
   * length before the eyes of this server.
   */
  async isFree(): Promise<boolean> {
    const record = this.record;
    const { store, holder, elapsedMs } = this.#options;
    if (record === undefined || record.expiresAtMs === 0 || record.holder === holder) return true;
    if (elapsedMs() - this.#seenAt > LEASE_MS + LEASE_MARGIN_MS) return true;
    return (await store.nowMs()) > record.expiresAtMs + LEASE_MARGIN_MS;
  }

  /** Becomes the holder of the next generation, if nobody changed it since the last `look`. Errors: of the store. */
  async take(url: string): Promise<boolean> {
    const { holder } = this.#options;
    return await this.#inTurn(() => {
      const before = this.#seen;
      const { generation = 0, source = 0, position = 0 } = before?.record ?? {};
      const next = { holder, generation: generation + 1, url, source, position };
      return this.#swap(before?.etag ?? null, next, LEASE_MS);
    });
  }

  /** Renews it, and publishes `change`. Errors: `forbidden` when it is lost; `unreachable` when nobody can tell. */
  async update(change: Change = {}, limitMs: number = LEASE_MS): Promise<void> {
    const done = await this.#inTurn(async () => {
      const { holder } = this.#options;
      const before = this.#seen;
      if (before === undefined || before.record.holder !== holder || this.leftMs <= 0) return false;
      return await this.#swap(before.etag, { ...before.record, ...change }, Math.min(limitMs, this.leftMs));
    });
    if (done) return;
    this.#heldUntil = Number.NEGATIVE_INFINITY;
    throw new MicError("forbidden", "this server is the primary of the accounts no more", {
      hint: "repeat the call: the server that took over will answer it",
    });
  }

  /** Runs `work`, and renews it meanwhile. Errors: those of `work`, and of `update`, which leaves `work` alone. */
  async whileHeld<T>(work: Promise<T>): Promise<T> {
    const done = new AbortController();
    const renewing = (async () => {
      while (!done.signal.aborted) {
        await this.#options.clock.sleep(RENEW_MS, done.signal).catch(() => undefined);
        if (!done.signal.aborted) await this.update();
      }
    })();
    try {
      return await Promise.race([work, renewing.then(() => work)]);
    } finally {
      done.abort();
      renewing.catch(() => undefined);
    }
  }

  /** Gives it up: another server need not wait. Errors: those of `update`. */
  async release(): Promise<void> {
    const before = this.#seen;
    if (before === undefined || this.leftMs <= 0) return;
    await this.#inTurn(() => this.#swap(before.etag, before.record, 3_000, true));
    this.#heldUntil = Number.NEGATIVE_INFINITY;
  }

  /**
   * Until the outcome is known: true when the object is now ours. Nothing else of ours is sent meanwhile, so the
   * nonce tells. Errors: `unreachable` after `limitMs`.
   */
  async #swap(
    expected: ETag | null,
    content: Omit<LeaseRecord, "expiresAtMs" | "nonce">,
    limitMs: number,
    isGivenUp = false,
  ): Promise<boolean> {
    const { store, clock, random, elapsedMs } = this.#options;
    const startedAt = elapsedMs();
    const checkedAtMs = await store.nowMs();
    const record: LeaseRecord = {
      ...content,
      expiresAtMs: isGivenUp ? 0 : Math.floor(checkedAtMs) + LEASE_MS,
      nonce: bytesToHex(random.bytes(8)),
    };
    const bytes = encodeLease(record);
    const won = (etag: ETag): true => {
      this.#see(record, etag);
      if (!isGivenUp) this.#heldUntil = startedAt + LEASE_MS - LEASE_MARGIN_MS;
      return true;
    };
    let cause: unknown;
    for (;;) {
      try {
        const outcome = await store.commit([], { key: LEASE_KEY, expected, bytes, checkedAtMs });
        if (outcome.kind === "committed") return won(outcome.etag);
        if (outcome.kind === "unknown") cause = outcome.cause;
        const found = await store.get(LEASE_KEY);
        if (found !== undefined) {
          const there = decodeLease(found.bytes, store.description);
          if (there.nonce === record.nonce) return won(found.etag);
          if (found.etag !== expected) {
            this.#see(there, found.etag);
            return false;
          }
        } else if (expected !== null) {
          this.#seen = undefined;
          return false;
        }
      } catch (error) {
        cause = error;
      }
      if (elapsedMs() - startedAt + ATTEMPT_MS > limitMs) {
        throw new MicError(
          "unreachable",
          `the lease of the accounts in ${store.description} cannot be renewed`,
          {
            cause,
          },
        );
      }
      await clock.sleep(ATTEMPT_MS);
    }
  }

  #see(record: LeaseRecord, etag: ETag): void {
    this.#seen = { record, etag };
    this.#seenAt = this.#options.elapsedMs();
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(work);
    this.#turn = turn.catch(() => undefined);
    return turn;
  }
}
