/**
 * Who may try a password or a user code, how often. Guesses are counted three ways: for one account from one address,
 * which soon waits long; for one account from anywhere, which never waits longer than a minute, so that nobody can
 * lock somebody else out; and for one address, whatever account it tries.
 */
import type { Clock } from "../../../core/base/clock.ts";
import { addressBlock } from "../../network/client-address.ts";
import { Throttle } from "./throttle.ts";

const SECOND = 1_000;
const MINUTE = 60 * SECOND;

export class SignInGuard {
  readonly #accountAndAddress: Throttle;
  readonly #account: Throttle;
  readonly #address: Throttle;

  constructor(clock: Clock) {
    this.#accountAndAddress = new Throttle(
      { free: 5, firstMs: 2 * SECOND, mostMs: 15 * MINUTE, forgetMs: 60 * MINUTE },
      clock,
    );
    this.#account = new Throttle({ free: 30, firstMs: SECOND, mostMs: MINUTE, forgetMs: 60 * MINUTE }, clock);
    this.#address = new Throttle(
      { free: 60, firstMs: SECOND, mostMs: 15 * MINUTE, forgetMs: 60 * MINUTE },
      clock,
    );
  }

  /** Counts an attempt. Milliseconds to wait, where it may not be made now; it is not counted then. */
  begin(account: string, address: string): number {
    const from = addressBlock(address);
    const pair = `${from} ${account}`;
    const waitMs = Math.max(
      this.#accountAndAddress.waitMs(pair),
      this.#account.waitMs(account),
      this.#address.waitMs(from),
    );
    if (waitMs > 0) return waitMs;
    this.#accountAndAddress.failed(pair);
    this.#account.failed(account);
    this.#address.failed(from);
    return 0;
  }

  /** It was no failure. */
  succeeded(account: string, address: string): void {
    const from = addressBlock(address);
    this.#accountAndAddress.forget(`${from} ${account}`);
    this.#account.takeBack(account);
    this.#address.takeBack(from);
  }
}
