/**
 * A command as a process: it reaches its forge over a line, and can die at any request. What it left in its directory
 * is what the next one finds; the forge goes on with what was sent.
 */
import type { Clock } from "../../../src/core/base/clock.ts";
import { MicError } from "../../../src/core/base/errors.ts";
import type { Forge } from "../../../src/core/forge/forge.ts";

/** Ends the calls of a process that is dead already, so that what it holds is released. */
class Buried extends Error {}

/** Lost on its way, or its answer; a number: it arrives so many milliseconds later, and nobody waits for its answer. */
export type NetworkFault = "request-lost" | "answer-lost" | number;

export interface LineOptions {
  readonly clock: Clock;
  /** Called before each request and after each answer, with the name of the method. */
  readonly onRequest: (name: string, moment: "before" | "after") => void;
  /** What the network does to a call; undefined: nothing. */
  readonly drawFault?: () => NetworkFault | undefined;
  /** How long a call may take. Default: for ever. */
  readonly timeoutMs?: number;
}

export class Line {
  readonly forge: Forge;
  readonly #options: LineOptions;
  #isDead = false;
  #bury: (error: Error) => void = () => undefined;
  /** Rejects when the process that is dead is buried. */
  readonly #grave: Promise<never>;

  constructor(forge: Forge, options: LineOptions) {
    this.#options = options;
    this.#grave = new Promise((_, reject) => {
      this.#bury = reject;
    });
    this.#grave.catch(() => undefined);
    this.forge = this.#over(forge);
  }

  /** From now on no call returns. */
  die(): void {
    this.#isDead = true;
  }

  /** Has the calls of the dead fail, when nobody sees any more what they do then. */
  bury(): void {
    this.#isDead = true;
    this.#bury(new Buried());
  }

  #over(forge: Forge): Forge {
    return new Proxy(forge, {
      get: (target, name) => {
        const member = Reflect.get(target, name, target) as unknown;
        if (typeof member !== "function" || typeof name !== "string") return member;
        return (...args: unknown[]) => {
          if (ITERATED.has(name)) return this.#iterate(name, member.apply(target, args));
          return this.#call(name, () => member.apply(target, args));
        };
      },
    });
  }

  async #call<T>(name: string, run: () => Promise<T>): Promise<T> {
    await this.#moment(name, "before");
    const fault = this.#options.drawFault?.();
    if (fault === "request-lost") throw unanswered(name);
    if (typeof fault === "number") {
      const arriving = this.#options.clock.sleep(fault).then(run);
      arriving.catch(() => undefined);
      throw unanswered(name);
    }
    const running = run();
    running.catch(() => undefined);
    const answer = await this.#inTime(name, running);
    if (fault === "answer-lost") throw unanswered(name);
    await this.#moment(name, "after");
    return answer;
  }

  async *#iterate<T>(name: string, items: AsyncIterable<T>): AsyncGenerator<T> {
    const iterator = items[Symbol.asyncIterator]();
    try {
      for (;;) {
        const next = await this.#call(name, () => iterator.next());
        if (next.done === true) return;
        yield next.value;
      }
    } finally {
      // Not waited for: who gives up on somebody that hangs would hang as well.
      if (!this.#isDead) iterator.return?.().catch(() => undefined);
    }
  }

  async #moment(name: string, moment: "before" | "after"): Promise<void> {
    if (!this.#isDead) this.#options.onRequest(name, moment);
    if (this.#isDead) await this.#grave;
  }

  #inTime<T>(name: string, running: Promise<T>): Promise<T> {
    const { timeoutMs, clock } = this.#options;
    if (timeoutMs === undefined) return Promise.race([running, this.#grave]);
    const timeout = clock.sleep(timeoutMs).then((): never => {
      throw unanswered(name);
    });
    timeout.catch(() => undefined);
    return Promise.race([running, timeout, this.#grave]);
  }
}

const ITERATED: ReadonlySet<string> = new Set([
  "diff",
  "fetch",
  "readFile",
  "readObjects",
  "listEntries",
  "listLandings",
]);

/** As a client says it: a landing may have happened. */
function unanswered(name: string): MicError {
  const code = name === "land" || name === "landSession" ? "outcome-unknown" : "unreachable";
  return new MicError(code, `no answer to ${name}`);
}
