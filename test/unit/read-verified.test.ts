import { beforeEach, describe, expect, test } from "vitest";
import { MicError } from "../../src/core/base/errors.ts";
import { MemoryStore } from "../../src/core/store/memory-store.ts";
import type { ReadOptions, StoredObject } from "../../src/core/store/object-store.ts";
import { readVerified } from "../../src/core/store/read-verified.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

/** Answers with something else until it is asked for a fresh answer. */
class StaleStore extends MemoryStore {
  asked: boolean[] = [];

  override async get(key: string, options: ReadOptions = {}): Promise<StoredObject | undefined> {
    const isFresh = options.fresh === true;
    this.asked.push(isFresh);
    const found = await super.get(key, options);
    return found === undefined || isFresh ? found : { ...found, bytes: Uint8Array.of(0) };
  }
}

let store: StaleStore;
beforeEach(async () => {
  store = new StaleStore(new VirtualClock());
  await store.put("key", Uint8Array.of(7));
});

function refusing(code: "corrupt" | "unsupported" | "not-found") {
  return ({ bytes }: StoredObject): number => {
    if (bytes[0] === 0) throw new MicError(code, "it is 0");
    return bytes[0]!;
  };
}

describe("readVerified()", () => {
  test.each(["corrupt", "unsupported"] as const)(
    "reads again, past every cache, what is %s",
    async (code) => {
      expect(await readVerified(store, "key", {}, refusing(code))).toBe(7);
      expect(store.asked).toEqual([false, true]);
    },
  );

  test("reports what is still refused then, and what is no damage at once", async () => {
    await store.put("key", Uint8Array.of(0));
    const reading = readVerified(store, "key", {}, refusing("unsupported"));
    await expect(reading).rejects.toMatchObject({ code: "unsupported" });
    store.asked = [];
    const other = readVerified(store, "key", {}, refusing("not-found"));
    await expect(other).rejects.toMatchObject({ code: "not-found" });
    expect(store.asked).toEqual([false]);
  });

  test("has nothing to open where there is nothing", async () => {
    expect(await readVerified(store, "other", {}, refusing("corrupt"))).toBeUndefined();
  });
});
