/**
 * How much of the server one caller may use: a budget for each user, or for each address of those who have not signed
 * in, that calls are charged to by their price (./prices.ts); and strict counts of what can be guessed or filled up.
 *
 * | who | units a second | at once |
 * | --- | --- | --- |
 * | an address without a token (IPv6: a /64) | 20 | 1,200 |
 * | a user, over all tokens | 1,000 | 60,000 |
 *
 * | attempts | at once | then one every |
 * | --- | --- | --- |
 * | `device` (codes asked for) | 20 | 3 s |
 * | `register` (OAuth clients) | 10 | 60 s |
 * | `token` (tokens asked for) | 100 | 0.2 s |
 * | `password` (changes of one's own) | 10 | 10 s |
 *
 * Attempts are counted by address. Guesses of passwords and user codes are ../auth/oauth/sign-in-guard.ts's.
 */
import { MicError } from "../../core/base/errors.ts";
import type { Principal } from "../auth/principal.ts";
import { addressBlock } from "./client-address.ts";
import { type BucketRule, TokenBuckets } from "./token-buckets.ts";

export type AttemptKind = "device" | "register" | "token" | "password";

export interface Standing {
  /** Units of the budget. */
  readonly limit: number;
  /** In which an empty budget becomes whole. */
  readonly windowSeconds: number;
  readonly remaining: number;
  /** Until the budget is whole again. */
  readonly resetSeconds: number;
}

export interface RateLimits {
  /** Takes the price of a call from its caller's budget. `address` is asked for where nobody signed in. Errors: `rate-limited`. */
  charge(principal: Principal, address: () => string, price: number): void;
  /** Takes what a call turned out to use; never refuses, the next call may be. */
  spend(principal: Principal, address: () => string, units: number): void;
  /** Counts one more. Errors: `rate-limited`. */
  attempt(kind: AttemptKind, address: string): void;
  /** What to tell a caller that has used more than half; undefined for others. */
  standing(principal: Principal, address: () => string): Standing | undefined;
}

/** Units a second; bursts are BURST_SECONDS of them. */
export interface RateSettings {
  readonly anonymous: number;
  readonly signedIn: number;
}

export const RATES_DEFAULT: RateSettings = { anonymous: 20, signedIn: 1_000 };
const BURST_SECONDS = 60;
const KEYS_MAX = 50_000;

const ATTEMPTS: Readonly<Record<AttemptKind, BucketRule>> = {
  device: { burst: 20, perSecond: 1 / 3 },
  register: { burst: 10, perSecond: 1 / 60 },
  token: { burst: 100, perSecond: 5 },
  password: { burst: 10, perSecond: 1 / 10 },
};

/** `rates` undefined: calls are not charged; attempts are counted all the same. `now`: milliseconds that only grow. */
export function createRateLimits(
  rates: RateSettings | undefined,
  now: () => number = () => performance.now(),
  onRefused: (what: string) => void = () => undefined,
): RateLimits {
  return new BudgetLimits(rates, now, onRefused);
}

class BudgetLimits implements RateLimits {
  readonly #now: () => number;
  readonly #onRefused: (what: string) => void;
  readonly #anonymous: TokenBuckets | undefined;
  readonly #signedIn: TokenBuckets | undefined;
  readonly #attempts: ReadonlyMap<AttemptKind, TokenBuckets>;

  constructor(rates: RateSettings | undefined, now: () => number, onRefused: (what: string) => void) {
    this.#now = now;
    this.#onRefused = onRefused;
    if (rates !== undefined) {
      this.#anonymous = new TokenBuckets(ruleOf(rates.anonymous), KEYS_MAX);
      this.#signedIn = new TokenBuckets(ruleOf(rates.signedIn), KEYS_MAX);
    }
    const kinds = Object.entries(ATTEMPTS) as [AttemptKind, BucketRule][];
    this.#attempts = new Map(kinds.map(([kind, rule]) => [kind, new TokenBuckets(rule, KEYS_MAX)]));
  }

  charge(principal: Principal, address: () => string, price: number): void {
    const { userId } = principal;
    const buckets = userId === undefined ? this.#anonymous : this.#signedIn;
    if (buckets === undefined) return;
    const waitMs = buckets.take(userId ?? addressBlock(address()), price, this.#now());
    if (waitMs === 0) return;
    this.#onRefused("calls");
    throw rateLimited("this is more than one caller may use of the server", waitMs);
  }

  spend(principal: Principal, address: () => string, units: number): void {
    const { userId } = principal;
    const buckets = userId === undefined ? this.#anonymous : this.#signedIn;
    buckets?.spend(userId ?? addressBlock(address()), units, this.#now());
  }

  attempt(kind: AttemptKind, address: string): void {
    const waitMs = this.#attempts.get(kind)!.take(addressBlock(address), 1, this.#now());
    if (waitMs === 0) return;
    this.#onRefused(kind);
    throw rateLimited("this was tried too often", waitMs);
  }

  standing(principal: Principal, address: () => string): Standing | undefined {
    const { userId } = principal;
    const buckets = userId === undefined ? this.#anonymous : this.#signedIn;
    if (buckets === undefined) return undefined;
    const { burst, perSecond } = buckets.rule;
    const rest = buckets.rest(userId ?? addressBlock(address()), this.#now());
    if (rest > burst / 2) return undefined;
    return {
      limit: burst,
      windowSeconds: BURST_SECONDS,
      remaining: Math.max(0, Math.floor(rest)),
      resetSeconds: Math.ceil((burst - rest) / perSecond),
    };
  }
}

function ruleOf(perSecond: number): BucketRule {
  return { perSecond, burst: perSecond * BURST_SECONDS };
}

/** `data.retryAfterMs`: when the same would be taken. */
function rateLimited(message: string, waitMs: number): MicError {
  const seconds = Math.ceil(waitMs / 1000);
  return new MicError("rate-limited", message, {
    hint: `try again in ${seconds} s`,
    data: { retryAfterMs: waitMs },
  });
}
