/** The real clock and randomness, for composition roots and workers. Everything else takes the ports. */
import { setTimeout as delay } from "node:timers/promises";
import type { Clock } from "./clock.ts";
import { MicError } from "./errors.ts";
import type { Random } from "./random.ts";

export const systemClock: Clock = {
  nowMs: () => Date.now(),
  async sleep(durationMs, signal) {
    try {
      await delay(durationMs, undefined, signal === undefined ? {} : { signal });
    } catch (cause) {
      throw new MicError("aborted", "interrupted", { cause });
    }
  },
};

export const systemRandom: Random = {
  // The global is there without loading node:crypto, which takes 2 ms.
  bytes: (count) => crypto.getRandomValues(new Uint8Array(count)),
};
