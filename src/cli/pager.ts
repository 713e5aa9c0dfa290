/** A pager as a child process that reads what would have gone to stdout. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { BrokenPipe } from "./errors.ts";

export interface Pager {
  /** Throws `BrokenPipe` once the pager was quit. */
  write(data: string | Uint8Array): void;
  drained(): Promise<void>;
  /** Ends its input and waits until the person closes it. */
  close(): Promise<void>;
}

/** MIC_PAGER, the configuration, PAGER, else `less`; `cat` and the empty text mean none. */
export function choosePager(
  env: Readonly<Record<string, string | undefined>>,
  preference: string | undefined,
): string {
  const chosen = env["MIC_PAGER"] ?? preference ?? env["PAGER"] ?? "less";
  return chosen.trim() === "cat" || chosen === "never" ? "" : chosen.trim();
}

export function startPager(command: string, env: Readonly<Record<string, string | undefined>>): Pager {
  const child = spawn(command, {
    shell: true,
    stdio: ["pipe", "inherit", "inherit"],
    // Quit when it fits the screen, pass colours on, leave the text on the screen.
    env: { ...env, LESS: env["LESS"] ?? "FRX", LV: env["LV"] ?? "-c" },
  });
  const input = child.stdin;
  const exited = once(child, "close");
  let gone = false;
  child.on("close", () => {
    gone = true;
  });
  input.on("error", () => {
    gone = true;
  });
  return {
    write(data) {
      if (gone) throw new BrokenPipe("the pager was closed");
      input.write(data);
    },
    async drained() {
      if (!gone && input.writableNeedDrain) await Promise.race([once(input, "drain"), exited]);
    },
    async close() {
      if (!gone) input.end();
      await exited;
    },
  };
}
