/**
 * How many calls of a costly method one caller may have running. Further ones wait in turn: a caller slows itself
 * down and nobody else. Each method has places of its own, so that a call that waits for another never holds what
 * that one needs.
 */
import { MicError } from "../../core/base/errors.ts";
import { tooBusy } from "./byte-budget.ts";

const WAITING_MAX = 1_000;

interface Gate {
  running: number;
  readonly waiting: (() => void)[];
}

export class CallGates {
  readonly #gates = new Map<string, Gate>();

  /** Waits for a place. The result gives it back. Errors: `aborted`, `unreachable` where too many wait. */
  async enter(caller: string, method: string, callsMax: number, signal: AbortSignal): Promise<Disposable> {
    const key = `${method} ${caller}`;
    let gate = this.#gates.get(key);
    if (gate === undefined) {
      gate = { running: 0, waiting: [] };
      this.#gates.set(key, gate);
    }
    if (gate.running < callsMax) gate.running++;
    else await wait(gate, signal);
    let held = true;
    return {
      [Symbol.dispose]: () => {
        if (!held) return;
        held = false;
        this.#leave(key, gate);
      },
    };
  }

  #leave(key: string, gate: Gate): void {
    const next = gate.waiting.shift();
    if (next !== undefined) {
      // Its place goes over to the next.
      next();
      return;
    }
    gate.running--;
    if (gate.running === 0) this.#gates.delete(key);
  }
}

function wait(gate: Gate, signal: AbortSignal): Promise<void> {
  if (gate.waiting.length >= WAITING_MAX) throw tooBusy();
  return new Promise((resolve, reject) => {
    const start = (): void => {
      signal.removeEventListener("abort", giveUp);
      resolve();
    };
    const giveUp = (): void => {
      gate.waiting.splice(gate.waiting.indexOf(start), 1);
      reject(new MicError("aborted", "interrupted", { cause: signal.reason }));
    };
    if (signal.aborted) {
      reject(new MicError("aborted", "interrupted", { cause: signal.reason }));
      return;
    }
    gate.waiting.push(start);
    signal.addEventListener("abort", giveUp, { once: true });
  });
}
