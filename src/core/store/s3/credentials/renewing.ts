/**
 * Credentials that are renewed before they expire. Callers that need a renewal at the same time share one; while it
 * fails, credentials that are still valid go on being used.
 */
import { abortable, type Clock } from "../../../base/clock.ts";
import type { CredentialSource, Credentials } from "../credentials-types.ts";

/** Renewed when less than this is left: longer than a request may take, its repetitions included. */
const RENEW_BEFORE_MS = 5 * 60_000;
/** A source that hands out what lives for less than twice the above is asked when half of that life is over. */
const RENEW_SHARE = 0.5;
/** Between two attempts, while what is there is still valid. */
const RETRY_MS = 15_000;
/** Many requests learn at once that their credentials expired; the first of them renews for all. */
const FORCE_SPACING_MS = 5_000;

export class RenewingCredentials implements CredentialSource {
  readonly #load: () => Promise<Credentials>;
  readonly #clock: Clock;
  #current: { readonly credentials: Credentials; readonly loadedAtMs: number } | undefined;
  #renewal: Promise<Credentials> | undefined;
  #retryAtMs = Number.NEGATIVE_INFINITY;

  /** `load` must end by itself: it serves several callers, and none of them can stop it. */
  constructor(load: () => Promise<Credentials>, clock: Clock) {
    this.#load = load;
    this.#clock = clock;
  }

  async get(options: { readonly force?: boolean; readonly signal?: AbortSignal } = {}): Promise<Credentials> {
    const { force = false, signal } = options;
    const current = this.#current;
    const nowMs = this.#clock.nowMs();
    if (current !== undefined && this.#renewal === undefined) {
      const { credentials, loadedAtMs } = current;
      const isForced = force && Math.abs(nowMs - loadedAtMs) >= FORCE_SPACING_MS;
      if (!isForced && !isDue(current, nowMs)) return credentials;
      if (!isForced && isValid(credentials, nowMs) && nowMs < this.#retryAtMs) return credentials;
    }
    this.#renewal ??= this.#renew();
    // Nobody may be left to hear that it failed.
    this.#renewal.catch(() => undefined);
    try {
      return await (signal === undefined ? this.#renewal : abortable(this.#renewal, signal));
    } catch (error) {
      if (signal?.aborted === true || force || current === undefined) throw error;
      if (!isValid(current.credentials, this.#clock.nowMs())) throw error;
      return current.credentials;
    }
  }

  async #renew(): Promise<Credentials> {
    try {
      const credentials = await this.#load();
      this.#current = { credentials, loadedAtMs: this.#clock.nowMs() };
      this.#retryAtMs = Number.NEGATIVE_INFINITY;
      return credentials;
    } catch (error) {
      this.#retryAtMs = this.#clock.nowMs() + RETRY_MS;
      throw error;
    } finally {
      this.#renewal = undefined;
    }
  }
}

function isDue(
  { credentials, loadedAtMs }: { readonly credentials: Credentials; readonly loadedAtMs: number },
  nowMs: number,
): boolean {
  const { expiresAtMs } = credentials;
  if (expiresAtMs === undefined) return false;
  const before = Math.min(RENEW_BEFORE_MS, (expiresAtMs - loadedAtMs) * RENEW_SHARE);
  return nowMs >= expiresAtMs - Math.max(0, before);
}

function isValid({ expiresAtMs }: Credentials, nowMs: number): boolean {
  return expiresAtMs === undefined || nowMs < expiresAtMs;
}
