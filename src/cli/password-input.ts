/** Passwords as they are given to a command: typed unseen, or lines of stdin. */
import { MicError } from "../core/base/errors.ts";
import { usageError } from "./errors.ts";
import type { CommandLineWorld } from "./world.ts";

export const PASSWORD_BYTES_MAX = 1024;

/**
 * Exactly these lines of stdin, the last one with or without its line break. `names`: of each, for people; one that
 * ends with `?` may be empty. Errors: `usage`.
 */
export async function readPasswordLines<Names extends readonly string[]>(
  world: Pick<CommandLineWorld, "readStdin">,
  names: readonly [...Names],
): Promise<{ readonly [Index in keyof Names]: string }> {
  const bytes = await world.readStdin(names.length * (PASSWORD_BYTES_MAX + 2));
  const lines = Buffer.from(bytes)
    .toString("utf8")
    .replace(/\r?\n$/, "")
    .split(/\r?\n/);
  names.forEach((name, i) => {
    const line = lines[i] ?? "";
    if (line === "" && !name.endsWith("?")) throw usageError(`there is no ${name} on stdin`);
    if (Buffer.byteLength(line) > PASSWORD_BYTES_MAX) {
      throw usageError(`the ${name.replace("?", "")} on stdin is longer than ${PASSWORD_BYTES_MAX} bytes`);
    }
  });
  if (lines.length > names.length) throw usageError("there is more on stdin than was asked for");
  return names.map((_, i) => lines[i] ?? "") as { readonly [Index in keyof Names]: string };
}

/** A line that is typed: keys in, in whatever pieces they come. */
export class TypedLine {
  #characters: string[] = [];
  #rest = "";

  /** `typing` until it is ended by Enter or `interrupted` by Ctrl-C, or by Ctrl-D where it is empty. */
  feed(keys: string): "typing" | "ended" | "interrupted" {
    const characters = [...keys];
    for (const [i, character] of characters.entries()) {
      if (character === "\r" || character === "\n") {
        this.#rest = characters.slice(i + 1).join("");
        return "ended";
      }
      if (character === "\x03" || (character === "\x04" && this.#characters.length === 0))
        return "interrupted";
      if (character === "\x7f" || character === "\b") this.#characters.pop();
      else if (character === "\x15") this.#characters = [];
      else if (character >= " ") this.#characters.push(character);
    }
    return "typing";
  }

  get text(): string {
    return this.#characters.join("");
  }

  /** What came after Enter: of the next line. */
  get rest(): string {
    return this.#rest;
  }
}

/** Asks one after the other; nothing that is typed is shown. Errors: `aborted` when it is interrupted. */
export async function askUnseen(prompts: readonly string[], signal: AbortSignal): Promise<readonly string[]> {
  const { stdin, stderr } = process;
  const decoder = new TextDecoder();
  const answers: string[] = [];
  let rest = "";
  stdin.setRawMode(true);
  try {
    for (const prompt of prompts) {
      stderr.write(prompt);
      const line = new TypedLine();
      let state = line.feed(rest);
      while (state === "typing") state = line.feed(decoder.decode(await nextKeys(signal), { stream: true }));
      stderr.write("\n");
      if (state === "interrupted") throw new MicError("aborted", "nothing was done");
      answers.push(line.text);
      rest = line.rest;
    }
  } finally {
    stdin.setRawMode(false);
    stdin.pause();
  }
  return answers;
}

function nextKeys(signal: AbortSignal): Promise<Uint8Array> {
  const { stdin } = process;
  return new Promise((resolve, reject) => {
    const done = (settle: () => void) => (): void => {
      stdin.off("data", onData);
      stdin.off("end", onEnd);
      signal.removeEventListener("abort", onEnd);
      settle();
    };
    const onEnd = done(() => reject(new MicError("aborted", "nothing was done")));
    const onData = (keys: Uint8Array): void => done(() => resolve(keys))();
    if (signal.aborted) {
      onEnd();
      return;
    }
    stdin.on("data", onData);
    stdin.once("end", onEnd);
    signal.addEventListener("abort", onEnd, { once: true });
    stdin.resume();
  });
}
