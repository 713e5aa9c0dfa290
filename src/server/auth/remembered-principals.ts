/**
 * The principals of bearer tokens, as long as they are valid: the same object for every call, so that whoever waits
 * for its `ended` learns of a revocation. At most PRINCIPALS_MAX; beyond it the ones nobody waits for go first.
 */
import { timingSafeEqual } from "node:crypto";
import type { ProjectId } from "../../core/base/ids.ts";
import type { Principal, Scope, UserId } from "./principal.ts";

const PRINCIPALS_MAX = 20_000;

/** What a token says about its caller. Expiry in Unix milliseconds, Infinity without one. */
export interface Standing {
  readonly account: string;
  readonly userId: UserId;
  readonly isSiteAdmin: boolean;
  readonly scope: Scope;
  readonly onlyProject: ProjectId | undefined;
  /** Undefined for the given owner token, which is stored nowhere. */
  readonly tokenId: string | undefined;
  readonly expiresAtMs: number;
}

/** The signal is made when somebody asks for it. */
class LivePrincipal implements Principal {
  readonly account: string;
  readonly userId: UserId;
  readonly isSiteAdmin: boolean;
  readonly scope: Scope;
  readonly onlyProject: ProjectId | undefined;
  readonly tokenId: string | undefined;
  readonly expiresAtMs: number;
  #end: AbortController | undefined;
  #isEnded = false;

  constructor(standing: Standing) {
    this.account = standing.account;
    this.userId = standing.userId;
    this.isSiteAdmin = standing.isSiteAdmin;
    this.scope = standing.scope;
    this.onlyProject = standing.onlyProject;
    this.tokenId = standing.tokenId;
    this.expiresAtMs = standing.expiresAtMs;
  }

  get ended(): AbortSignal {
    if (this.#end === undefined) {
      this.#end = new AbortController();
      if (this.#isEnded) this.#end.abort();
    }
    return this.#end.signal;
  }

  get isWaitedFor(): boolean {
    return this.#end !== undefined;
  }

  end(): void {
    this.#isEnded = true;
    this.#end?.abort();
  }
}

interface Remembered {
  readonly digest: Uint8Array;
  readonly principal: LivePrincipal;
}

export class RememberedPrincipals {
  readonly #read: (digest: Uint8Array, nowMs: number) => Standing | undefined;
  readonly #byDigest = new Map<string, Remembered>();
  /** Of the first one that expires, or earlier. */
  #nextExpiryMs = Number.POSITIVE_INFINITY;

  /** `read`: what the database says of the token with this digest, if it is valid. */
  constructor(read: (digest: Uint8Array, nowMs: number) => Standing | undefined) {
    this.#read = read;
  }

  get size(): number {
    return this.#byDigest.size;
  }

  /** The digest is looked up, never the token: how long that takes says nothing about one. */
  get(digest: Buffer, nowMs: number): Principal | undefined {
    const key = digest.toString("latin1");
    const known = this.#byDigest.get(key);
    if (known !== undefined && timingSafeEqual(known.digest, digest)) {
      if (nowMs < known.principal.expiresAtMs) return known.principal;
      this.#forget(key, known);
    }
    const standing = this.#read(digest, nowMs);
    if (standing === undefined) return undefined;
    if (this.#byDigest.size >= PRINCIPALS_MAX) this.#makeRoom();
    const principal = new LivePrincipal(standing);
    this.#byDigest.set(key, { digest, principal });
    this.#nextExpiryMs = Math.min(this.#nextExpiryMs, standing.expiresAtMs);
    return principal;
  }

  /** Asks about each one again: what a token stands for may have changed. */
  revalidate(nowMs: number): void {
    for (const [key, known] of this.#byDigest) {
      const standing = this.#read(known.digest, nowMs);
      if (standing === undefined || !isSame(standing, known.principal)) this.#forget(key, known);
    }
  }

  expire(nowMs: number): void {
    if (nowMs < this.#nextExpiryMs) return;
    this.#nextExpiryMs = Number.POSITIVE_INFINITY;
    for (const [key, known] of this.#byDigest) {
      const { expiresAtMs } = known.principal;
      if (expiresAtMs <= nowMs) this.#forget(key, known);
      else this.#nextExpiryMs = Math.min(this.#nextExpiryMs, expiresAtMs);
    }
  }

  #makeRoom(): void {
    let oldest: [string, Remembered] | undefined;
    for (const each of this.#byDigest) {
      oldest ??= each;
      if (each[1].principal.isWaitedFor) continue;
      this.#forget(...each);
      return;
    }
    if (oldest !== undefined) this.#forget(...oldest);
  }

  #forget(key: string, { principal }: Remembered): void {
    this.#byDigest.delete(key);
    principal.end();
  }
}

function isSame(a: Standing, b: Standing): boolean {
  return (
    a.account === b.account &&
    a.userId === b.userId &&
    a.isSiteAdmin === b.isSiteAdmin &&
    a.scope === b.scope &&
    a.onlyProject === b.onlyProject &&
    a.tokenId === b.tokenId &&
    a.expiresAtMs === b.expiresAtMs
  );
}
