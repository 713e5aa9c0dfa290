/** Whether a directory is a local store, without loading the database engine. */
import { existsSync } from "node:fs";
import { join } from "node:path";

/** Every key of the store and its smaller objects. */
export const LOCAL_STORE_FILE = "store.sqlite";

export function isLocalStore(directory: string): boolean {
  return existsSync(join(directory, LOCAL_STORE_FILE));
}
