/** Repeats what may be repeated, as a store's adapter does: never a swap. */
import type { Clock } from "../../src/core/base/clock.ts";
import { isMicError } from "../../src/core/base/errors.ts";
import type { ObjectStore } from "../../src/core/store/object-store.ts";

const ATTEMPTS = 4;
const PAUSE_MS = 200;

export function retrying(store: ObjectStore, clock: Clock): ObjectStore {
  async function again<T>(run: () => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await run();
      } catch (error) {
        if (!isMicError(error, "unreachable") || attempt === ATTEMPTS) throw error;
        await clock.sleep(PAUSE_MS * attempt);
      }
    }
  }
  return {
    description: store.description,
    get: (key, options) => again(() => store.get(key, options)),
    revalidate: (key, etag, options) => again(() => store.revalidate(key, etag, options)),
    put: (key, bytes, options) => again(() => store.put(key, bytes, options)),
    commit: async (puts, swap, options) => {
      for (const { key, bytes } of puts) await again(() => store.put(key, bytes, options));
      return await store.commit([], swap, options);
    },
    list: (prefix, options) => again(() => store.list(prefix, options)),
    delete: (keys, options) => again(() => store.delete(keys, options)),
    nowMs: () => again(() => store.nowMs()),
    [Symbol.asyncDispose]: () => store[Symbol.asyncDispose](),
  };
}
