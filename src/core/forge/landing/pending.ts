/** What one swap of the head will apply, and somebody waits for. */
import { MicError } from "../../base/errors.ts";
import type { LandingId } from "../../base/ids.ts";
import type { LandingRecord } from "../../codec/landing-record.ts";
import type { HeadInfo, LandResult, PositionRef } from "../forge.ts";
import type { ChangeOutcome, HeadChange } from "../head/change.ts";
import type { SealedBatch } from "./batch.ts";
import type { PreparedImport } from "./prepared-import.ts";
import type { PreparedLanding } from "./prepared-landing.ts";

export interface PendingOptions {
  /** Unix milliseconds, after which it is given up. */
  readonly deadlineMs: number;
  /** How often the publisher had asked for the head when it came. */
  readonly asksBefore: number;
  readonly signal: AbortSignal | undefined;
}

export abstract class Pending<Result> {
  readonly deadlineMs: number;
  readonly asksBefore: number;
  readonly result: Promise<Result>;
  readonly #signal: AbortSignal | undefined;
  readonly #onAbort: () => void;
  readonly #settleResult: (result: Result) => void;
  readonly #settleError: (error: unknown) => void;
  #isSettled = false;
  /** A swap that carries it is about to be sent, or was sent, and may still apply. */
  #mayBeApplied = false;

  constructor({ deadlineMs, asksBefore, signal }: PendingOptions) {
    this.deadlineMs = deadlineMs;
    this.asksBefore = asksBefore;
    const { promise, resolve, reject } = Promise.withResolvers<Result>();
    this.result = promise;
    this.#settleResult = resolve;
    this.#settleError = reject;
    this.#signal = signal;
    this.#onAbort = () => this.fail(new MicError("aborted", "interrupted", { cause: signal?.reason }));
    if (signal?.aborted) this.#onAbort();
    else signal?.addEventListener("abort", this.#onAbort, { once: true });
  }

  /** The error of a call whose outcome nobody knows. */
  protected abstract unknown(cause: unknown): MicError;

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

  resolve(result: Result): void {
    if (this.#close()) this.#settleResult(result);
  }

  /** It did not land, unless a swap that carries it may still apply: then nobody knows. */
  fail(error: unknown): void {
    if (this.#close()) this.#settleError(this.#mayBeApplied ? this.unknown(error) : error);
  }

  #close(): boolean {
    if (this.#isSettled) return false;
    this.#isSettled = true;
    this.#signal?.removeEventListener("abort", this.#onAbort);
    return true;
  }
}

export class PendingLanding extends Pending<LandResult> {
  readonly landing: PreparedLanding;

  constructor(landing: PreparedLanding, options: PendingOptions) {
    super(options);
    this.landing = landing;
  }

  /** What it was made on. */
  get base(): PositionRef {
    return this.landing.request.base;
  }

  protected unknown(cause: unknown): MicError {
    const landingId: LandingId = this.landing.request.landingId;
    return new MicError("outcome-unknown", "it is not known whether the landing was applied", {
      hint: "the next command settles it; landing again with the same id is safe",
      cause,
      data: { landingId },
    });
  }

  /** Answers with what was committed. `index`: its place among the batch's members. */
  committed(batch: SealedBatch, index: number): void {
    this.resolve(landed(batch.members[index]!.record));
  }
}

/** Fills a batch by itself: its landings have their positions and are in together or not at all. */
export class PendingImport extends Pending<HeadInfo> {
  readonly prepared: PreparedImport;

  constructor(prepared: PreparedImport, options: PendingOptions) {
    super(options);
    this.prepared = prepared;
  }

  /** What it was made on. */
  get base(): PositionRef {
    return this.prepared.after;
  }

  protected unknown(cause: unknown): MicError {
    return new MicError("outcome-unknown", "it is not known whether the landings were imported", {
      hint: "run the command again",
      cause,
      data: { position: this.base.position },
    });
  }

  /** Answers with what was committed. */
  committed({ head }: SealedBatch): void {
    this.resolve({ position: head.position, root: head.root, hlc: head.hlc, salt: head.salt });
  }
}

/** Rides on the next swap, whatever else that carries. */
export class PendingChange extends Pending<ChangeOutcome> {
  readonly change: HeadChange;

  constructor(change: HeadChange, options: PendingOptions) {
    super(options);
    this.change = change;
  }

  protected unknown(cause: unknown): MicError {
    return new MicError("outcome-unknown", `it is not known whether ${this.change.what} was attached`, {
      hint: "it is done again when it is due",
      cause,
    });
  }
}

export function landed(record: LandingRecord): LandResult {
  return { kind: "landed", position: record.position, root: record.root, session: record.session };
}
