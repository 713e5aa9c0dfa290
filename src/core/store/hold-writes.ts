/** A store that may be read before it is known whether it may be written. */
import type { ObjectStore } from "./object-store.ts";

/** From now on what is written to `store` waits for `passed`, and fails as it does. */
export function holdWrites(store: ObjectStore, passed: Promise<unknown>): void {
  const put = store.put.bind(store);
  const commit = store.commit.bind(store);
  const remove = store.delete.bind(store);
  store.put = async (...args) => {
    await passed;
    return await put(...args);
  };
  store.commit = async (...args) => {
    await passed;
    return await commit(...args);
  };
  store.delete = async (...args) => {
    await passed;
    return await remove(...args);
  };
  passed.then(
    () => Object.assign(store, { put, commit, delete: remove }),
    // Nothing is ever written.
    () => undefined,
  );
}
