/**
 * How much of the server one caller may use: a budget for each user, or for each address of those who have not signed
 * in, that calls are charged to by their price (./prices.ts); and strict counts of what can be guessed or filled up.
 *
 * | who | units a second | at once |
 * | --- | --- | --- |
 * | an address without a token (IPv6: a /64) | 50 | 3,000 |
 * | a user, over all tokens | 1,000 | 60,000 |
 *
 * | attempts | of | at once | then one every |
 * | --- | --- | --- | --- |
 * | `sign-in`, `password` | an address | 10 | 10 s |
 * | | an address at one account | 5 | 30 s |
 * | | one account, from anywhere | 100 | 36 s |
 * | `device` (codes asked for) | an address | 20 | 3 s |
 * | `device-code` (codes typed in) | an address, and a user | 10 | 30 s |
 * | `register` | an address | 10 | 60 s |
 * | `token` | an address | 100 | 0.2 s |
 */
import { MicError } from "../../core/base/errors.ts";
import type { Principal } from "../auth/principal.ts";
import { addressBlock } from "./client-address.ts";
import { type BucketRule, TokenBuckets } from "./token-buckets.ts";

export type AttemptKind = "sign-in" | "password" | "device" | "device-code" | "register" | "token";

export interface Standing {
  /** Units of the budget. */
  readonly limit: number;
  readonly remaining: number;
  /** Until the budget is whole again. */
  readonly resetSeconds: number;
}

export interface RateLimits {
  /** Takes the price of a call from its caller's budget. `address` is asked for where nobody signed in. Errors: `rate-limited`. */
  charge(principal: Principal, address: () => string, price: number): void;
  /** Takes what a call turned out to use; never refuses, the next call may be. */
  spend(principal: Principal, address: () => string, units: number): void;
  /** Counts one more; `subject`: the account's name that was given, or the user's id. Errors: `rate-limited`. */
  attempt(kind: AttemptKind, address: string, subject?: string): void;
  /** The attempt was no guess: it does not count. */
  succeeded(kind: AttemptKind, address: string, subject?: string): void;
  /** What to tell a caller that has used more than half; undefined for others. */
  standing(principal: Principal, address: () => string): Standing | undefined;
}

/** Units a second; bursts are BURST_SECONDS of them. */
export interface RateSettings {
  readonly anonymous: number;
  readonly signedIn: number;
}

export const RATES_DEFAULT: RateSettings = { anonymous: 50, signedIn: 1_000 };
const BURST_SECONDS = 60;
const KEYS_MAX = 50_000;

interface AttemptRules {
  readonly address: BucketRule;
  /** Of one subject at one address. */
  readonly pair?: BucketRule;
  readonly subject?: BucketRule;
}

/** A stranger cannot lock somebody out cheaply: an account's own count is far above that of one address. */
const SIGN_IN: AttemptRules = {
  address: { burst: 10, perSecond: 1 / 10 },
  pair: { burst: 5, perSecond: 1 / 30 },
  subject: { burst: 100, perSecond: 1 / 36 },
};
const ATTEMPTS: Readonly<Record<AttemptKind, AttemptRules>> = {
  "sign-in": SIGN_IN,
  password: SIGN_IN,
  device: { address: { burst: 20, perSecond: 1 / 3 } },
  "device-code": {
    address: { burst: 10, perSecond: 1 / 30 },
    subject: { burst: 10, perSecond: 1 / 30 },
  },
  register: { address: { burst: 10, perSecond: 1 / 60 } },
  token: { address: { burst: 100, perSecond: 5 } },
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
  readonly #attempts = new Map<string, TokenBuckets>();

  constructor(rates: RateSettings | undefined, now: () => number, onRefused: (what: string) => void) {
    this.#now = now;
    this.#onRefused = onRefused;
    if (rates !== undefined) {
      this.#anonymous = new TokenBuckets(ruleOf(rates.anonymous), KEYS_MAX);
      this.#signedIn = new TokenBuckets(ruleOf(rates.signedIn), KEYS_MAX);
    }
    for (const [kind, rules] of Object.entries(ATTEMPTS)) {
      for (const [what, rule] of Object.entries(rules)) {
        this.#attempts.set(`${kind} ${what}`, new TokenBuckets(rule as BucketRule, KEYS_MAX));
      }
    }
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

  attempt(kind: AttemptKind, address: string, subject?: string): void {
    const block = addressBlock(address);
    // Long names are as good as any: they must only differ where the account does.
    const name = subject?.slice(0, 128).toLowerCase();
    let waitMs = this.#take(`${kind} address`, block);
    if (waitMs === 0 && name !== undefined) {
      waitMs = this.#take(`${kind} pair`, `${block} ${name}`) || this.#take(`${kind} subject`, name);
    }
    if (waitMs === 0) return;
    this.#onRefused(kind);
    throw rateLimited("this was tried too often", waitMs);
  }

  succeeded(kind: AttemptKind, address: string, subject?: string): void {
    const block = addressBlock(address);
    const name = subject?.slice(0, 128).toLowerCase();
    const now = this.#now();
    this.#attempts.get(`${kind} address`)?.spend(block, -1, now);
    if (name === undefined) return;
    this.#attempts.get(`${kind} pair`)?.spend(`${block} ${name}`, -1, now);
    this.#attempts.get(`${kind} subject`)?.spend(name, -1, now);
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
      remaining: Math.max(0, Math.floor(rest)),
      resetSeconds: Math.ceil((burst - rest) / perSecond),
    };
  }

  #take(name: string, key: string): number {
    return this.#attempts.get(name)?.take(key, 1, this.#now()) ?? 0;
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
