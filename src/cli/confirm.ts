/** A question before something that cannot be taken back. */
import { createInterface } from "node:readline";
import { MicError } from "../core/base/errors.ts";
import { usageError } from "./errors.ts";
import type { Invocation } from "./invocation.ts";

/**
 * Returns when a person has typed `answer`, or `--yes` was given. Errors: `usage` where nobody can be asked,
 * `aborted` for any other answer and for none.
 */
export async function confirm(invocation: Invocation, question: string, answer: string): Promise<void> {
  if (invocation.options.yes === true) return;
  if (!invocation.interactive) {
    throw usageError("this has to be confirmed, and nobody can be asked", "give --yes to do it");
  }
  invocation.output.flush();
  const typed = await ask(`${question}\nType ${answer} to go on: `, invocation.signal);
  if (typed?.trim() !== answer) throw new MicError("aborted", "nothing was done");
}

/** One line; `undefined` for the end of input and for an interrupt. */
function ask(prompt: string, signal: AbortSignal): Promise<string | undefined> {
  // Not in raw mode, so that Ctrl-C stays what it is.
  const lines = createInterface({ input: process.stdin, terminal: false });
  const stop = (): void => lines.close();
  signal.addEventListener("abort", stop, { once: true });
  process.stderr.write(prompt);
  return new Promise((resolve) => {
    lines.once("line", (line) => {
      resolve(line);
      lines.close();
    });
    lines.once("close", () => {
      signal.removeEventListener("abort", stop);
      resolve(undefined);
    });
  });
}
