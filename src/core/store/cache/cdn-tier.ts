/**
 * A CDN in front of the store, read and never written. Nothing that it says is final: what it does not have, says
 * late, or says wrong is asked of the store. Its answers are believed as far as the reader can verify them; what the
 * reader proves wrong is asked of the store from then on.
 */
import type { Clock } from "../../base/clock.ts";
import { askCdn, type Fetch, parseCdnBaseUrl } from "./cdn-request.ts";
import { CircuitBreaker } from "./circuit-breaker.ts";
import type { ReadTier, TierRead } from "./tier.ts";
import { TierStats } from "./tier-stats.ts";

/** Keys that are remembered as answered, and as answered wrongly. */
const REMEMBERED_MAX = 4096;
/** A fresh read that comes later has other reasons: who checks a store reads everything so. */
const SOON_MS = 30_000;
/** A larger read goes to the store. */
const CDN_READ_BYTES_MAX = 32 << 20;

export interface CdnTierOptions {
  /** What stands before a key: `https://cdn.example.com/mic`. */
  readonly baseUrl: string;
  readonly timeoutMs: number;
  readonly clock: Clock;
  readonly fetch: Fetch;
  readonly elapsedMs: () => number;
}

export class CdnTier implements ReadTier {
  readonly stats = new TierStats("cdn");
  readonly #next: ReadTier;
  readonly #options: CdnTierOptions;
  readonly #base: URL;
  readonly #breaker: CircuitBreaker;
  /** When, by key: whoever finds an answer wrong asks again soon. */
  readonly #answered = new Map<string, number>();
  readonly #distrusted = new Map<string, number>();

  /** Errors: `usage` for a base URL that cannot be one. */
  constructor(next: ReadTier, options: CdnTierOptions) {
    this.#next = next;
    this.#options = options;
    this.#base = parseCdnBaseUrl(options.baseUrl);
    this.#breaker = new CircuitBreaker(options.clock);
  }

  async read(key: string, read: TierRead): Promise<Uint8Array | undefined> {
    if (read.fresh) this.#distrust(key);
    const answer = await this.#ask(key, read);
    if (answer !== "not-found") return answer ?? (await this.#next.read(key, read));
    // Right, where the store does not have it either; from one that lacks what is there, nothing is to be had.
    let found: Uint8Array | undefined;
    try {
      found = await this.#next.read(key, read);
    } finally {
      if (found === undefined) this.#breaker.answered();
      else this.#breaker.failed();
    }
    return found;
  }

  async #ask(key: string, { range, fresh, scope }: TierRead): Promise<Uint8Array | "not-found" | undefined> {
    if (fresh || scope !== "everywhere" || this.#distrusted.has(key)) return undefined;
    if (range !== undefined && (range.length === 0 || range.length > CDN_READ_BYTES_MAX)) return undefined;
    if (!this.#breaker.allows()) return undefined;
    const { elapsedMs } = this.#options;
    const startedMs = elapsedMs();
    const answer = await askCdn(this.#urlOf(key), range, this.#options);
    if ("failure" in answer) {
      if (answer.failure === "not-found") {
        this.stats.misses++;
        return "not-found";
      }
      this.stats.failures++;
      this.#breaker.failed();
      return undefined;
    }
    this.#breaker.succeeded();
    this.stats.hit(answer.bytes.length, elapsedMs() - startedMs);
    remember(this.#answered, key, this.#options.clock.nowMs());
    return answer.bytes;
  }

  #distrust(key: string): void {
    const nowMs = this.#options.clock.nowMs();
    const answeredMs = this.#answered.get(key);
    if (answeredMs === undefined || nowMs - answeredMs > SOON_MS) return;
    this.#answered.delete(key);
    this.stats.poisoned++;
    remember(this.#distrusted, key, nowMs);
  }

  /** Keys are printable ASCII; what means something in a URL is escaped. */
  #urlOf(key: string): URL {
    const path = key.split("/").map(encodeURIComponent).join("/");
    return new URL(path, this.#base);
  }
}

function remember(keys: Map<string, number>, key: string, atMs: number): void {
  keys.delete(key);
  keys.set(key, atMs);
  if (keys.size <= REMEMBERED_MAX) return;
  const [oldest] = keys.keys();
  if (oldest !== undefined) keys.delete(oldest);
}
