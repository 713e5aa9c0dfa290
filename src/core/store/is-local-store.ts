/** What a directory is to a local store, without loading the database engine. */
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";

/** Every key of the store and its smaller objects. */
export const LOCAL_STORE_FILE = "store.sqlite";
/** Directory of the larger ones. The first thing that is made of a store. */
export const LARGE_DIRECTORY = "large";

export function isLocalStore(directory: string): boolean {
  return existsSync(join(directory, LOCAL_STORE_FILE));
}

/** It is missing, empty, or as a process left it that was stopped before it made the store. */
export function isFreeForStore(directory: string): boolean {
  try {
    return readdirSync(directory).every((name) => name === LARGE_DIRECTORY);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return true;
    throw error;
  }
}
