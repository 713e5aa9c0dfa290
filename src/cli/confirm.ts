/** A question before something that cannot be taken back. */
import { createInterface } from "node:readline/promises";
import { MicError } from "../core/base/errors.ts";
import { usageError } from "./errors.ts";
import type { Invocation } from "./invocation.ts";

/**
 * Returns when a person has typed `answer`, or `--yes` was given. Errors: `usage` where nobody can be asked,
 * `aborted` for any other answer.
 */
export async function confirm(invocation: Invocation, question: string, answer: string): Promise<void> {
  if (invocation.options.yes === true) return;
  if (!invocation.interactive) {
    throw usageError("this has to be confirmed, and nobody can be asked", "give --yes to do it");
  }
  invocation.output.flush();
  const prompt = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const typed = await prompt.question(`${question}\nType ${answer} to go on: `, {
      signal: invocation.signal,
    });
    if (typed.trim() === answer) return;
  } finally {
    prompt.close();
  }
  throw new MicError("aborted", "nothing was done");
}
