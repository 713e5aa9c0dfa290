/** What a listing could not read is said, and does not hide the rest. */
import { EXIT_FAILED, EXIT_OK } from "./errors.ts";
import type { Output } from "./output.ts";
import { escapeLine } from "./text.ts";

/** The exit code of the listing. */
export function sayLeftOut(output: Output, damaged: readonly string[]): number {
  for (const name of damaged) {
    output.warn(`${escapeLine(name)} is left out: its records are damaged; \`mic fsck\` says how`);
  }
  return damaged.length === 0 ? EXIT_OK : EXIT_FAILED;
}
