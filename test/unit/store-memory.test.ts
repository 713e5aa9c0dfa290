import { systemClock } from "../../src/core/base/system.ts";
import { MemoryStore } from "../../src/core/store/memory-store.ts";
import { describeObjectStore, describeVersionEtags, type StoreFixture } from "../conformance/object-store.ts";

async function makeFixture(): Promise<StoreFixture> {
  const store = new MemoryStore(systemClock);
  return { store, another: async () => store, isAtomic: true, [Symbol.asyncDispose]: async () => undefined };
}

describeObjectStore("MemoryStore", makeFixture);
describeVersionEtags("MemoryStore", makeFixture);
