import { describe, expect, test } from "vitest";
import { ByteBudget } from "../../src/server/methods/byte-budget.ts";
import { CallGates } from "../../src/server/methods/call-gates.ts";
import { withoutIdling } from "../../src/server/methods/upload.ts";

const NEVER = new AbortController().signal;

async function settled(promise: Promise<unknown>): Promise<boolean> {
  let done = false;
  promise.then(
    () => {
      done = true;
    },
    () => {
      done = true;
    },
  );
  await new Promise((resolve) => setImmediate(resolve));
  return done;
}

describe("a byte budget", () => {
  test("gives what there is, and lets the rest wait in turn", async () => {
    const budget = new ByteBudget(100);
    const first = await budget.take(80, NEVER);
    const second = budget.take(50, NEVER);
    const third = budget.take(10, NEVER);
    // It would fit, but comes after one that does not: small ones never starve a large one.
    expect([await settled(second), await settled(third)]).toEqual([false, false]);
    first[Symbol.dispose]();
    await Promise.all([second, third]);
    expect(budget.used).toBe(60);
  });

  test("gives more than there is to one alone", async () => {
    const budget = new ByteBudget(100);
    const large = await budget.take(1000, NEVER);
    const small = budget.take(1, NEVER);
    expect(await settled(small)).toBe(false);
    large[Symbol.dispose]();
    large[Symbol.dispose]();
    await small;
    expect(budget.used).toBe(1);
  });

  test("one that gives up makes way for those behind it", async () => {
    const budget = new ByteBudget(100);
    await budget.take(60, NEVER);
    const leaving = new AbortController();
    const large = budget.take(90, leaving.signal);
    const small = budget.take(40, NEVER);
    leaving.abort();
    await expect(large).rejects.toMatchObject({ code: "aborted" });
    await small;
    expect(budget.used).toBe(100);
    await expect(budget.take(1, leaving.signal)).rejects.toMatchObject({ code: "aborted" });
  });
});

describe("call gates", () => {
  test("a caller's further calls of a method wait; other callers and methods do not", async () => {
    const gates = new CallGates();
    const first = await gates.enter("ada", "Fetch", 1, NEVER);
    const second = gates.enter("ada", "Fetch", 1, NEVER);
    await gates.enter("ada", "Diff", 1, NEVER);
    await gates.enter("bob", "Fetch", 1, NEVER);
    expect(await settled(second)).toBe(false);
    first[Symbol.dispose]();
    first[Symbol.dispose]();
    const entered = await second;
    expect(await settled(gates.enter("ada", "Fetch", 1, NEVER))).toBe(false);
    entered[Symbol.dispose]();
  });

  test("a caller that gives up is not waited for", async () => {
    const gates = new CallGates();
    const first = await gates.enter("ada", "Fetch", 1, NEVER);
    const leaving = new AbortController();
    const second = gates.enter("ada", "Fetch", 1, leaving.signal);
    const third = gates.enter("ada", "Fetch", 1, NEVER);
    leaving.abort();
    await expect(second).rejects.toMatchObject({ code: "aborted" });
    first[Symbol.dispose]();
    await third;
  });
});

describe("an upload", () => {
  test("is over when its sender stops, however slow its reader is", async () => {
    async function* sender(): AsyncGenerator<number> {
      yield 1;
      yield 2;
      await new Promise(() => undefined);
    }
    const seen: number[] = [];
    const read = async (): Promise<void> => {
      for await (const piece of withoutIdling(sender(), 50)) {
        await new Promise((resolve) => setTimeout(resolve, 80));
        seen.push(piece);
      }
    };
    await expect(read()).rejects.toMatchObject({ code: "unreachable" });
    expect(seen).toEqual([1, 2]);
  });
});
