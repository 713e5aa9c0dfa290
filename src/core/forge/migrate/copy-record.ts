/** One object that changes, from one store to another, by compare-and-swap. */
import { equalBytes } from "../../base/bytes.ts";
import { throwIfAborted } from "../../base/clock.ts";
import { MicError } from "../../base/errors.ts";
import { jitterMs } from "../../base/random.ts";
import type { ObjectStore } from "../../store/object-store.ts";
import type { CallOptions } from "../forge.ts";
import type { SwapContext } from "../swap-loop.ts";

const ATTEMPTS_MAX = 20;
const BACKOFF_BASE_MS = 20;
const BACKOFF_CAP_MS = 2_000;

/**
 * Makes the target hold `bytes` under `key`. `mayReplace`: throws when what is there (and is not the same) is no
 * earlier state; false leaves it. Errors: `outcome-unknown` when the store never gives a definite answer, and those of
 * `mayReplace`. True when something was written.
 */
export async function copyRecord(
  { store: target, clock, random }: SwapContext,
  key: string,
  bytes: Uint8Array,
  mayReplace: (current: Uint8Array) => boolean | Promise<boolean>,
  options: CallOptions,
): Promise<boolean> {
  let cause: unknown;
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
    throwIfAborted(options.signal);
    const current = await target.get(key, { fresh: true, ...options });
    if (current !== undefined) {
      if (equalBytes(current.bytes, bytes)) return attempt > 0;
      if (!(await mayReplace(current.bytes))) return false;
    }
    const outcome = await target.commit([], { key, expected: current?.etag ?? null, bytes }, options);
    if (outcome.kind === "committed") return true;
    if (outcome.kind === "unknown") cause = outcome.cause;
    await clock.sleep(jitterMs(random, attempt, BACKOFF_BASE_MS, BACKOFF_CAP_MS), options.signal);
  }
  throw new MicError(
    "outcome-unknown",
    `it is not known whether ${key} was written to ${target.description}`,
    {
      hint: "run the command again: it goes on where it stopped",
      cause,
    },
  );
}

/** Undefined when it is not there. */
export async function readRecord(
  store: ObjectStore,
  key: string,
  options: CallOptions,
): Promise<Uint8Array | undefined> {
  return (await store.get(key, { fresh: true, ...options }))?.bytes;
}
