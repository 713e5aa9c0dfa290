/**
 * The token of a sign-in, renewed five minutes before it expires and when a server refuses it. Of any number of
 * commands one renews: under the lock of the credential's file, which dies with its process, and only when nobody
 * else has done so meanwhile.
 *
 * The server keeps the old refresh token valid until one of the new pair is used, and a new pair is on the disk before
 * it is used: killed at any point, the next command goes on with what is on the disk.
 *
 * What the local clock says decides only when to renew early. A clock that is wrong costs a refused call, after which
 * the token is renewed all the same.
 */
import type { Clock } from "../../core/base/clock.ts";
import { isMicError, MicError } from "../../core/base/errors.ts";
import type { TokenSource } from "../../core/remote/channel.ts";
import type { RestClient } from "../../core/remote/rest-client.ts";
import { acquireFileLock } from "../../core/workspace/disk/lock.ts";
import { type Credential, credentialLockPath, readCredential, storeCredential } from "../credentials.ts";
import type { CommandLineWorld } from "../world.ts";
import { type IssuedTokens, refreshTokens, TokenRefusal } from "./token-endpoint.ts";

export const RENEWED_BEFORE_MS = 300_000;

export interface SignedInTokenOptions {
  readonly world: Pick<CommandLineWorld, "cwd" | "env" | "platform">;
  readonly credential: Credential;
  readonly rest: () => Promise<RestClient>;
  readonly clock: Clock;
  /** How long to wait for another command that renews it. */
  readonly timeoutMs: number;
  /** A token that still works could not be renewed. */
  readonly warn: (message: string) => void;
}

export class SignedInToken implements TokenSource {
  readonly #options: SignedInTokenOptions;
  #credential: Credential;
  /** Calls of this process that find the same token too old wait for one renewal. */
  #renewing: { readonly token: string; readonly result: Promise<Credential | undefined> } | undefined;
  #isEarlyRenewalTried = false;

  constructor(options: SignedInTokenOptions) {
    this.#options = options;
    this.#credential = options.credential;
  }

  async current(signal?: AbortSignal): Promise<string> {
    const { token } = this.#credential;
    if (this.#isEarlyRenewalTried || !this.#isDue(this.#credential)) return token;
    try {
      await this.#renew(token, signal);
      // One that never lives for longer is used as it is.
      this.#isEarlyRenewalTried = this.#isDue(this.#credential);
    } catch (error) {
      if (isMicError(error, "aborted") || this.#isExpired(this.#credential)) throw error;
      // It works for some minutes more, which may be all that is needed.
      this.#isEarlyRenewalTried = true;
      this.#options.warn(
        `the sign-in could not be renewed: ${error instanceof Error ? error.message : String(error)}`,
      );
    }
    return this.#credential.token;
  }

  async replace(token: string, signal?: AbortSignal): Promise<string | undefined> {
    if (this.#credential.token !== token) return this.#credential.token;
    const renewed = await this.#renew(token, signal);
    return renewed === undefined || renewed.token === token ? undefined : renewed.token;
  }

  #isDue({ refreshToken, expiresAt }: Credential): boolean {
    if (refreshToken === undefined || expiresAt === undefined) return false;
    return Date.parse(expiresAt) - this.#options.clock.nowMs() < RENEWED_BEFORE_MS;
  }

  #isExpired({ expiresAt }: Credential): boolean {
    return expiresAt !== undefined && Date.parse(expiresAt) <= this.#options.clock.nowMs();
  }

  async #renew(token: string, signal: AbortSignal | undefined): Promise<Credential | undefined> {
    if (this.#renewing?.token !== token) this.#renewing = { token, result: this.#renewLocked(token, signal) };
    const { result } = this.#renewing;
    try {
      const renewed = await result;
      if (renewed !== undefined) this.#credential = renewed;
      return renewed;
    } finally {
      if (this.#renewing?.result === result) this.#renewing = undefined;
    }
  }

  /** Undefined where there is nothing to renew it with. */
  async #renewLocked(token: string, signal: AbortSignal | undefined): Promise<Credential | undefined> {
    const { world, clock, timeoutMs, rest } = this.#options;
    const { origin } = this.#credential;
    if (this.#credential.refreshToken === undefined) return undefined;
    const lock = credentialLockPath(world, origin);
    const options = { timeoutMs, clock, ...(signal === undefined ? {} : { signal }) };
    await using _held = await acquireFileLock(lock, options, busy);
    const stored = readCredential(world, origin);
    if (stored === undefined) throw signInAgain(origin, "somebody signed out");
    // Another command was first.
    if (stored.token !== token && !this.#isDue(stored)) return stored;
    if (stored.refreshToken === undefined) return stored;
    const issued = await this.#ask(await rest(), stored.refreshToken, signal);
    const renewed = withTokens(stored, issued, clock.nowMs());
    storeCredential(world, renewed);
    return renewed;
  }

  async #ask(rest: RestClient, refreshToken: string, signal: AbortSignal | undefined): Promise<IssuedTokens> {
    try {
      return await refreshTokens(rest, refreshToken, signal);
    } catch (error) {
      if (error instanceof TokenRefusal && error.reason === "invalid_grant") {
        throw signInAgain(rest.origin, "the sign-in has ended", error);
      }
      throw error;
    }
  }
}

/** `nowMs`: when the answer came. */
export function withTokens(
  credential: Omit<Credential, "token">,
  { token, refreshToken, expiresInSeconds, scope }: IssuedTokens,
  nowMs: number,
): Credential {
  const { expiresAt: _old, ...kept } = credential;
  return {
    ...kept,
    token,
    ...(refreshToken === undefined ? {} : { refreshToken }),
    ...(expiresInSeconds === undefined
      ? {}
      : { expiresAt: new Date(nowMs + expiresInSeconds * 1000).toISOString() }),
    ...(scope === undefined ? {} : { scope }),
  };
}

function busy(): MicError {
  return new MicError("pending", "another mic command is renewing the sign-in", { hint: "run it again" });
}

function signInAgain(origin: string, why: string, cause?: unknown): MicError {
  return new MicError("unauthenticated", `you are not signed in to ${origin} any more: ${why}`, {
    hint: `run: mic auth login --server ${origin}`,
    ...(cause === undefined ? {} : { cause }),
  });
}
