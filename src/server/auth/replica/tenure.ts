/** One server's time as the primary of the accounts: it keeps the lease, and makes what is written durable. */
import { isMicError } from "../../../core/base/errors.ts";
import type { ServerLog } from "../../context.ts";
import type { FlushQueue } from "./flush-queue.ts";
import { type Lease, RENEW_MS } from "./lease.ts";
import { LITESTREAM_HINT } from "./litestream.ts";
import type { Pauses } from "./pauses.ts";

export interface Tenure {
  /** When the oldest change was made that is on this server alone; undefined: none. */
  readonly behindSince: number | undefined;
  /** Of its Litestream. */
  readonly restarts: number;
  readonly problem: string | undefined;
  wrote(): void;
  /** Waits until there is something to do, and does it: `round`. */
  step(): Promise<boolean>;
  /** What was written so far is made durable, those who wait are told, and the lease is renewed. False: it is lost. */
  round(): Promise<boolean>;
  /** Whatever is under way ends without effect. */
  abandon(): void;
  /** After a last sync, or at once. */
  end(isAtOnce: boolean): Promise<void>;
}

export interface TenureOptions {
  /** Held by this server. */
  readonly lease: Lease;
  readonly waiting: FlushQueue;
  readonly pauses: Pauses;
  /** Where followers reach this server; it may not be known yet. */
  readonly url: () => string;
  readonly elapsedMs: () => number;
  readonly log: ServerLog;
}

/** Whether others can read in the lease where this server is. */
export function isAnnounced({ lease, url }: Pick<TenureOptions, "lease" | "url">): boolean {
  return lease.record?.url === url();
}

const UNREPLICATED = "Litestream is not installed: the accounts are on this disk and nowhere else";

/**
 * Without Litestream: the lease alone, so that there is no other primary. Nobody follows, since nothing was ever
 * replicated, or nothing may be written.
 */
export class UnreplicatedTenure implements Tenure {
  readonly behindSince = undefined;
  readonly restarts = 0;
  readonly #options: TenureOptions;
  readonly #message: string;
  #failure: string | undefined;

  /** `message`: what is wrong as long as nothing else is. */
  constructor(options: TenureOptions, message = UNREPLICATED) {
    this.#options = options;
    this.#message = message;
    options.log.warn("litestream-missing", { message, hint: LITESTREAM_HINT });
  }

  get problem(): string {
    return this.#failure ?? this.#message;
  }

  wrote(): void {
    // It is on the disk.
  }

  async step(): Promise<boolean> {
    const { waiting, pauses } = this.#options;
    if (waiting.isEmpty && isAnnounced(this.#options)) await pauses.wait(RENEW_MS);
    return pauses.areOver || (await this.round());
  }

  async round(): Promise<boolean> {
    const { lease, waiting, url, log } = this.#options;
    const resolveWaiting = waiting.mark();
    try {
      await lease.update({ url: url() });
      this.#failure = undefined;
      resolveWaiting();
      return true;
    } catch (error) {
      this.#failure = error instanceof Error ? error.message : String(error);
      log.warn("auth-replica", { message: this.#failure });
      return !isMicError(error, "forbidden") && lease.leftMs > 0;
    }
  }

  abandon(): void {
    // Nothing is under way but the lease's own update.
  }

  end(): Promise<void> {
    return Promise.resolve();
  }
}
