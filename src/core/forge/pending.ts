/** A landing that somebody waits for. */
import { MicError } from "../base/errors.ts";
import type { LandResult } from "./forge.ts";
import type { PreparedLanding } from "./prepared-landing.ts";

export class PendingLanding {
  readonly landing: PreparedLanding;
  /** Unix milliseconds, after which it is given up. */
  readonly deadlineMs: number;
  /** How often the publisher had asked for the head when it came. */
  readonly asksBefore: number;
  readonly result: Promise<LandResult>;
  readonly #signal: AbortSignal | undefined;
  readonly #onAbort: () => void;
  readonly #settleResult: (result: LandResult) => void;
  readonly #settleError: (error: unknown) => void;
  #isSettled = false;
  /** A swap that carries it is about to be sent, or was sent, and may still apply. */
  #mayBeApplied = false;

  constructor(
    landing: PreparedLanding,
    deadlineMs: number,
    asksBefore: number,
    signal: AbortSignal | undefined,
  ) {
    this.landing = landing;
    this.deadlineMs = deadlineMs;
    this.asksBefore = asksBefore;
    const { promise, resolve, reject } = Promise.withResolvers<LandResult>();
    this.result = promise;
    this.#settleResult = resolve;
    this.#settleError = reject;
    this.#signal = signal;
    this.#onAbort = () => this.fail(new MicError("aborted", "interrupted", { cause: signal?.reason }));
    if (signal?.aborted) this.#onAbort();
    else signal?.addEventListener("abort", this.#onAbort, { once: true });
  }

  get isSettled(): boolean {
    return this.#isSettled;
  }

  /**
   * Takes it into a batch that will be sent, unless nobody waits for it any more. From here on only a look-up
   * can tell that it did not land.
   */
  claim(): boolean {
    if (this.#isSettled) return false;
    this.#mayBeApplied = true;
    return true;
  }

  /**
   * Nothing that was sent can apply any more: a head without it was read, and swaps expect the head they were
   * built on; or nothing was sent at all.
   */
  markAbsent(): void {
    this.#mayBeApplied = false;
  }

  resolve(result: LandResult): void {
    if (this.#close()) this.#settleResult(result);
  }

  /** It did not land, unless a swap that carries it may still apply: then nobody knows. */
  fail(error: unknown): void {
    if (this.#mayBeApplied) this.failUnknown(error);
    else if (this.#close()) this.#settleError(error);
  }

  failUnknown(cause: unknown): void {
    if (!this.#close()) return;
    const { landingId } = this.landing.request;
    const error = new MicError("outcome-unknown", "it is not known whether the landing was applied", {
      hint: "the next command settles it; landing again with the same id is safe",
      cause,
      data: { landingId },
    });
    this.#settleError(error);
  }

  #close(): boolean {
    if (this.#isSettled) return false;
    this.#isSettled = true;
    this.#signal?.removeEventListener("abort", this.#onAbort);
    return true;
  }
}
