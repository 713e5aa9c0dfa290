/** Files that another command may have taken away by the time they are opened. */
import { closeSync, openSync } from "node:fs";
import { isMissing } from "../layout.ts";

/** What `use` makes of the file, opened for reading. Undefined when there is none. */
export function withFileIfExists<T>(path: string, use: (file: number) => T): T | undefined {
  let file: number;
  try {
    file = openSync(path, "r");
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
  try {
    return use(file);
  } finally {
    closeSync(file);
  }
}
