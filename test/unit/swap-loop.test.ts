import { describe, expect, test } from "vitest";
import { utf8 } from "../../src/core/base/bytes.ts";
import { systemRandom as random } from "../../src/core/base/system.ts";
import { swapLoop } from "../../src/core/forge/swap-loop.ts";
import { MemoryStore } from "../../src/core/store/memory-store.ts";
import type { CommitOutcome, Put, Swap, WaitOptions } from "../../src/core/store/object-store.ts";
import { StillClock } from "../support/project-fixture.ts";

class Unsure extends MemoryStore {
  readonly until: (number | undefined)[] = [];
  answer: CommitOutcome | undefined;

  override async commit(puts: readonly Put[], swap: Swap, options?: WaitOptions): Promise<CommitOutcome> {
    this.until.push(options?.untilMs);
    return this.answer ?? (await super.commit(puts, swap));
  }
}

const request = {
  key: "names/ada",
  what: "the name",
  decode: (bytes: Uint8Array) => new TextDecoder().decode(bytes),
  encode: utf8,
  change: () => "new",
};

describe("swapLoop()", () => {
  test.each([
    ["unknown", "outcome-unknown"],
    ["lost", "unreachable"],
  ] as const)("gives a swap that is always %s up in time, as %s", async (kind, code) => {
    const clock = new StillClock();
    const store = new Unsure(clock);
    store.answer = kind === "lost" ? { kind } : { kind, cause: new Error("no answer") };
    const beganMs = clock.ms;
    const changing = swapLoop({ store, clock, random, timeoutMs: 3_000 }, request);
    await expect(changing).rejects.toMatchObject({ code, kind: "retry" });
    expect(clock.ms - beganMs).toBeLessThan(3_000 + 2_000);
    expect(new Set(store.until)).toEqual(new Set([beganMs + 3_000]));
    store.answer = undefined;
    expect(await swapLoop({ store, clock, random, timeoutMs: 0 }, request)).toBe("new");
  });
});
