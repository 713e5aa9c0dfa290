import { describe, expect, test } from "vitest";
import { utf8 } from "../../src/core/base/bytes.ts";
import { MicError } from "../../src/core/base/errors.ts";
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

  test.each([0, 3_000])(
    "looks once more before it says that others came first (%d ms)",
    async (timeoutMs) => {
      const clock = new StillClock();
      // Delivered twice: the second answer says that it was lost.
      class Twice extends MemoryStore {
        override async commit(puts: readonly Put[], swap: Swap): Promise<CommitOutcome> {
          await super.commit(puts, swap);
          clock.ms += 3_000;
          return { kind: "lost" };
        }
      }
      const change = (current: string | undefined): string => current ?? "new";
      const store = new Twice(clock);
      expect(await swapLoop({ store, clock, random, timeoutMs }, { ...request, change })).toBe("new");
    },
  );

  test("does not know, when it was told that it lost and cannot look", async () => {
    const clock = new StillClock();
    class Silent extends Unsure {
      override async get(key: string): ReturnType<MemoryStore["get"]> {
        if (this.until.length > 0) throw new MicError("unreachable", "no answer");
        return await super.get(key);
      }
    }
    const store = new Silent(clock);
    store.answer = { kind: "lost" };
    const changing = swapLoop({ store, clock, random, timeoutMs: 3_000 }, request);
    await expect(changing).rejects.toMatchObject({ code: "outcome-unknown" });
  });
});
