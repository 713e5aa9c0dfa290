/** What a file in command/ exports, and how its handler is called. */
import type { Command } from "commander";
import type { Invocation } from "./invocation.ts";

/** Returns the exit code; nothing means 0. */
export type Handler<Args extends unknown[]> = (
  invocation: Invocation,
  ...args: Args
) => Promise<number | undefined> | Promise<void>;

/** Turns a handler into what commander calls: with the positional arguments, then the command's own options. */
export type Bind = <Args extends unknown[]>(handler: Handler<Args>) => (...args: unknown[]) => Promise<void>;

/** Adds arguments, options, help and action to the verb's (already named) command. */
export type DefineCommand = (command: Command, bind: Bind) => void;

/** Examples at the end of `--help`: command lines, each with an optional remark. */
export function examples(...lines: readonly (string | readonly [line: string, remark: string])[]): string {
  const rows = lines.map((line) => (typeof line === "string" ? [line, ""] : line));
  // A long line without a remark moves no other's.
  const width = Math.max(...rows.map(([line, remark]) => (remark ? line!.length : 0)));
  const text = rows.map(([line, remark]) =>
    remark === "" || remark === undefined ? `  ${line}` : `  ${line!.padEnd(width)}  ${remark}`,
  );
  return `\nExamples:\n${text.join("\n")}`;
}

/** Collects a repeatable option. */
export function collect(value: string, previous: readonly string[] | undefined): readonly string[] {
  return [...(previous ?? []), value];
}
