/** Token buckets by key: each holds up to `burst` tokens and gains `perSecond` of them. Memory is bounded. */

export interface BucketRule {
  readonly burst: number;
  readonly perSecond: number;
}

interface Bucket {
  tokens: number;
  /** When `tokens` was right, and the bucket was last moved to the end of the order. */
  atMs: number;
}

/** A bucket that nobody touched for this long goes to the end of the order when it is. */
const REORDER_MS = 1_000;
/** What sums of fractions may be off by. */
const ROUNDING = 1e-6;

export class TokenBuckets {
  readonly #rule: BucketRule;
  readonly #keysMax: number;
  /** By when they were last touched, about. One that is not there is full. */
  readonly #buckets = new Map<string, Bucket>();

  /** The buckets that were not touched for longest are forgotten, which fills them, where there are too many. */
  constructor(rule: BucketRule, keysMax: number) {
    this.#rule = rule;
    this.#keysMax = keysMax;
  }

  get rule(): BucketRule {
    return this.#rule;
  }

  get size(): number {
    return this.#buckets.size;
  }

  /**
   * Takes `cost` tokens, or what a full bucket holds where that is less. The result is 0, or, where there are too few
   * and none were taken, the milliseconds until there are enough. `nowMs` is of a clock that does not jump.
   */
  take(key: string, cost: number, nowMs: number): number {
    const bucket = this.#refill(key, nowMs);
    const wanted = Math.min(cost, this.#rule.burst);
    const missing = wanted - bucket.tokens;
    if (missing > ROUNDING) return Math.ceil(((missing - ROUNDING) / this.#rule.perSecond) * 1000);
    bucket.tokens -= wanted;
    return 0;
  }

  /** Takes what was used already: the bucket may owe as much as it can hold. */
  spend(key: string, cost: number, nowMs: number): void {
    const bucket = this.#refill(key, nowMs);
    bucket.tokens = Math.max(bucket.tokens - cost, -this.#rule.burst);
  }

  /** Tokens there are. */
  rest(key: string, nowMs: number): number {
    const bucket = this.#buckets.get(key);
    return bucket === undefined ? this.#rule.burst : this.#grown(bucket, nowMs);
  }

  #refill(key: string, nowMs: number): Bucket {
    let bucket = this.#buckets.get(key);
    if (bucket === undefined) {
      bucket = { tokens: this.#rule.burst, atMs: nowMs };
      if (this.#buckets.size >= this.#keysMax) this.#forgetOldest();
      this.#buckets.set(key, bucket);
      return bucket;
    }
    if (nowMs <= bucket.atMs) return bucket;
    if (nowMs - bucket.atMs >= REORDER_MS) {
      this.#buckets.delete(key);
      this.#buckets.set(key, bucket);
    }
    bucket.tokens = this.#grown(bucket, nowMs);
    bucket.atMs = nowMs;
    return bucket;
  }

  #grown({ tokens, atMs }: Bucket, nowMs: number): number {
    const { burst, perSecond } = this.#rule;
    return Math.min(burst, tokens + (Math.max(0, nowMs - atMs) / 1000) * perSecond);
  }

  #forgetOldest(): void {
    for (const key of this.#buckets.keys()) {
      this.#buckets.delete(key);
      return;
    }
  }
}
