/** The commander tree. Only the verb that is run (or every verb, for help and completion) is defined in full. */
import { Command, InvalidArgumentError, Option } from "commander";
import type { Bind } from "./command-definition.ts";
import { VERBS, type Verb } from "./verbs.ts";

const TIMEOUT_SECONDS_MAX = 86_400;
const HELP_COLUMNS = 80;
const TERM_CELLS = 21;
const HELP_OPTION = ["-h, --help", "show help"] as const;

export interface ProgramStreams {
  writeOut(text: string): void;
  writeErr(text: string): void;
}

/** Global options that take a value: what follows them is not the verb. */
const WITH_VALUE = new Set(["--server", "-C", "--timeout", "--agent"]);

export async function buildProgram(
  load: "all" | Verb | undefined,
  bind: Bind,
  streams: ProgramStreams,
): Promise<Command> {
  const program = new Command("mic")
    .description("Version control for many writers at once: you work, you land a goal.")
    .usage("[options] <command> [arguments]")
    .exitOverride()
    .configureOutput({ writeOut: streams.writeOut, writeErr: streams.writeErr, outputError: () => undefined })
    .configureHelp({ sortOptions: false, showGlobalOptions: false, helpWidth: HELP_COLUMNS })
    .helpOption("-h, --help", "show help")
    .helpCommand("help [command]", "show help for a command")
    .showSuggestionAfterError(true);
  addGlobalOptions(program);
  for (const verb of VERBS) {
    const command = program.command(verb.name).description(verb.summary).helpGroup(verb.group);
    for (const alias of verb.aliases ?? []) command.alias(alias);
    if (load === "all" || load === verb) {
      (await verb.load()).define(command, bind);
      command.addHelpText("after", "\nOptions of every command (--json, -C, …) are listed by `mic help`.");
    }
  }
  // Commands first: that is what a newcomer looks for.
  program.helpInformation = () => topLevelHelp(program);
  return program;
}

function topLevelHelp(program: Command): string {
  const groups = new Map<string, Verb[]>();
  for (const verb of VERBS) groups.set(verb.group, [...(groups.get(verb.group) ?? []), verb]);
  const row = (term: string, summary: string): string => `  ${term.padEnd(TERM_CELLS)}${summary}`;
  const options = [
    ...program.options.map((option) => [option.flags, option.description] as const),
    HELP_OPTION,
  ];
  return [
    program.description(),
    "",
    "Usage: mic <command> [arguments] [options]",
    ...[...groups].flatMap(([group, verbs]) => [
      "",
      group,
      ...verbs.map((verb) => row([verb.name, ...(verb.aliases ?? [])].join(", "), verb.summary)),
    ]),
    "",
    "Options of every command:",
    ...options.map(([flags, summary]) => row(flags, summary)),
    "",
    "Positions are written @7, @latest, @7~1 (one before 7); a bare 7 is fine too.",
    "`mic help land` shows a command's own options and examples.",
    "",
  ].join("\n");
}

function addGlobalOptions(program: Command): void {
  const options = [
    new Option("--json", "answer with JSON documents, errors too"),
    new Option("-C <dir>", "work as if started in <dir>"),
    new Option("--server <url>", "forge for addresses without one"),
    new Option("--agent <name>", "the agent that works for the author"),
    new Option("--timeout <seconds>", "wait at most this long (default: 120)").argParser(parseTimeout),
    new Option("-q, --quiet", "no remarks, no progress"),
    new Option("--verbose", "say more, on stderr"),
    new Option("--no-color", "no colours"),
    new Option("-y, --yes", "answer every question with yes"),
  ];
  for (const option of options) program.addOption(option);
}

function parseTimeout(text: string): number {
  const seconds = Number(text);
  if (text.trim() === "" || !(seconds > 0 && seconds <= TIMEOUT_SECONDS_MAX)) {
    throw new InvalidArgumentError(`It must be a number of seconds up to ${TIMEOUT_SECONDS_MAX}.`);
  }
  return seconds;
}

/** Index of the first argument that is no global option, or -1. */
export function findVerbIndex(args: readonly string[]): number {
  for (let i = 0; i < args.length; i++) {
    const arg = args[i]!;
    if (arg === "--") return -1;
    if (WITH_VALUE.has(arg)) i++;
    else if (!arg.startsWith("-") || arg === "-") return i;
  }
  return -1;
}
