/** Reading what can be proven: a damaged answer is asked for once more, past every cache, before it is reported. */
import { isMicError } from "../base/errors.ts";
import type { ObjectStore, ReadOptions, StoredObject } from "./object-store.ts";

/** Whether what was read may be damaged: a bit of a version makes it one that nobody knows. */
export function mayBeDamage(error: unknown): boolean {
  return isMicError(error, "corrupt") || isMicError(error, "unsupported");
}

/**
 * `open` decodes and verifies, and throws what `mayBeDamage` for what it does not believe. `undefined` when there is no
 * such key. Errors: those of the store, and of `open` for the store's own answer.
 */
export async function readVerified<T>(
  store: ObjectStore,
  key: string,
  options: ReadOptions,
  open: (stored: StoredObject) => T,
): Promise<T | undefined> {
  const stored = await store.get(key, options);
  if (stored === undefined) return undefined;
  try {
    return open(stored);
  } catch (error) {
    if (!mayBeDamage(error)) throw error;
    const again = await store.get(key, { ...options, fresh: true });
    return again === undefined ? undefined : open(again);
  }
}
