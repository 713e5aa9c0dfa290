/** Runs one command line to its exit code: parse, run, translate errors, clean up. */
import { CommanderError } from "commander";
import { MicError } from "../core/base/errors.ts";
import type { Bind } from "./command-definition.ts";
import type { ConfigValues } from "./config.ts";
import { BrokenPipe, EXIT_OK, EXIT_USAGE, exitCodeOf, toMicError, usageError } from "./errors.ts";
import { type GlobalOptions, Invocation } from "./invocation.ts";
import { Output } from "./output.ts";
import { choosePager } from "./pager.ts";
import { buildProgram, findVerbIndex } from "./program.ts";
import { wantsColor } from "./style.ts";
import { findVerb, VERBS, type Verb } from "./verbs.ts";
import type { CommandLineWorld } from "./world.ts";

const HELP_FLAGS = new Set(["-h", "--help"]);

export async function runCommandLine(rawArgs: readonly string[], world: CommandLineWorld): Promise<number> {
  let config: ConfigValues = {};
  let configProblem: unknown;
  try {
    config = Invocation.loadConfig(world);
  } catch (error) {
    configProblem = error;
  }
  const args = expandAlias(rawArgs, config);
  const end = args.indexOf("--");
  const flags = new Set(end === -1 ? args : args.slice(0, end));
  const output = new Output(world, {
    json: flags.has("--json"),
    quiet: flags.has("--quiet") || flags.has("-q"),
    verbose: flags.has("--verbose"),
    colorOut: wantsColor(world, world.stdoutIsTty, colorRequest(flags, config)),
    colorErr: wantsColor(world, world.stderrIsTty, colorRequest(flags, config)),
    pager: choosePager(world.env, config["ui.pager"]),
  });
  try {
    try {
      if (configProblem !== undefined) throw configProblem;
      return await runParsed(args, flags, world, output, config);
    } catch (thrown) {
      return reportError(thrown, output, world.signal);
    } finally {
      await output.finish();
    }
  } catch (thrown) {
    if (thrown instanceof BrokenPipe) return EXIT_OK;
    throw thrown;
  }
}

function colorRequest(flags: ReadonlySet<string>, config: ConfigValues) {
  return { disabled: flags.has("--no-color"), preference: config["ui.color"] };
}

async function runParsed(
  args: readonly string[],
  flags: ReadonlySet<string>,
  world: CommandLineWorld,
  output: Output,
  config: ConfigValues,
): Promise<number> {
  const verbIndex = findVerbIndex(args);
  const verbName = verbIndex === -1 ? undefined : args[verbIndex]!;
  const wanted = chooseModules(args, verbIndex);
  let exitCode: number = EXIT_OK;
  const bind: Bind =
    (handler) =>
    async (...params) => {
      // Commander passes the positional arguments, the options, and the command itself.
      const command = params.pop() as { optsWithGlobals(): GlobalOptions };
      await using invocation = new Invocation(world, output, command.optsWithGlobals(), config);
      const result = await handler(invocation, ...(params as never));
      exitCode = result ?? EXIT_OK;
    };
  const program = await buildProgram(wanted, bind, {
    writeOut: (text) => output.write(text),
    writeErr: (text) => output.note(text.trimEnd()),
  });
  if (verbName === undefined && ![...flags].some((flag) => HELP_FLAGS.has(flag))) {
    if (output.json) throw usageError("no command was given", "run `mic help`");
    output.note(program.helpInformation().trimEnd());
    return EXIT_USAGE;
  }
  if (verbName !== undefined && verbName !== "help" && findVerb(verbName) === undefined) {
    throw unknownVerb(verbName);
  }
  const subject = verbName === "help" ? args[verbIndex + 1] : undefined;
  if (subject !== undefined && !subject.startsWith("-") && wanted === undefined) throw unknownVerb(subject);
  try {
    await program.parseAsync(args as string[], { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) return EXIT_OK;
    throw fromCommander(error, verbName);
  }
  return exitCode;
}

/** `alias.st` = `status --quiet` makes `mic st -C x` run `mic status --quiet -C x`. Never hides a verb. */
function expandAlias(args: readonly string[], config: ConfigValues): readonly string[] {
  const index = findVerbIndex(args);
  if (index === -1) return args;
  const name = args[index]!;
  const expansion = findVerb(name) === undefined ? config[`alias.${name}`] : undefined;
  if (expansion === undefined) return args;
  return [
    ...args.slice(0, index),
    ...expansion.split(/\s+/).filter((word) => word !== ""),
    ...args.slice(index + 1),
  ];
}

function chooseModules(args: readonly string[], verbIndex: number): Verb | undefined {
  const name = args[verbIndex];
  if (name !== "help") return name === undefined ? undefined : findVerb(name);
  const subject = args[verbIndex + 1];
  return subject === undefined ? undefined : findVerb(subject);
}

/** For what was thrown outside any command, e.g. by a worker: the same report, and the exit code. */
export function reportCrash(thrown: unknown, args: readonly string[], world: CommandLineWorld): number {
  const output = new Output(world, {
    json: args.includes("--json"),
    quiet: false,
    verbose: args.includes("--verbose"),
    colorOut: false,
    colorErr: false,
    pager: "",
  });
  const error = toMicError(thrown);
  output.error(error);
  output.flush();
  return exitCodeOf(error);
}

function reportError(thrown: unknown, output: Output, signal: AbortSignal): number {
  if (thrown instanceof BrokenPipe) throw thrown;
  const error =
    signal.aborted && !(thrown instanceof MicError && thrown.code !== "aborted")
      ? interrupted(thrown)
      : toMicError(thrown);
  output.error(error);
  return exitCodeOf(error);
}

function interrupted(cause: unknown): MicError {
  return new MicError("aborted", "interrupted", { cause });
}

function fromCommander(error: CommanderError, verb: string | undefined): MicError {
  if (error.code === "commander.help")
    return usageError(`mic ${verb ?? ""}: which sub-command?`.replace(" :", ":"));
  const message = error.message
    .replace(/^error: /, "")
    .split("\n")
    .map((line) => line.trim())
    .join(" ");
  return usageError(message, verb === undefined ? "run `mic help`" : `run \`mic ${verb} --help\``);
}

function unknownVerb(name: string): MicError {
  const near = VERBS.flatMap((verb) => [verb.name, ...(verb.aliases ?? [])])
    .map((known) => ({ known, distance: editDistance(name, known) }))
    .sort((a, b) => a.distance - b.distance)[0];
  const hint =
    near !== undefined && near.distance <= 2
      ? `did you mean \`mic ${near.known}\`?`
      : "run `mic help` for the list";
  return usageError(`there is no command ${JSON.stringify(name)}`, hint);
}

/** Levenshtein distance. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const substituted = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(substituted, row[j]! + 1, next[j - 1]! + 1));
    }
    row = next;
  }
  return row[b.length]!;
}
