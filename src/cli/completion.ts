/** Completion scripts for four shells, from a plain description of the commander tree. */
import type { Command } from "commander";

export const COMPLETION_SHELLS = ["bash", "zsh", "fish", "powershell"] as const;

export interface CompletionOption {
  /** `-m`, `--message`. */
  readonly flags: readonly string[];
  readonly takesValue: boolean;
  readonly summary: string;
}

export interface CompletionCommand {
  /** Words after `mic`: `["session", "start"]`; empty for the program itself. */
  readonly words: readonly string[];
  readonly summary: string;
  readonly options: readonly CompletionOption[];
  /** Sub-commands and choices of the first argument. */
  readonly subjects: readonly { readonly name: string; readonly summary: string }[];
  readonly takesFiles: boolean;
}

/** Every command, the program first; aliases are commands of their own. */
export function describeProgram(program: Command): CompletionCommand[] {
  return describe(program, []);
}

function describe(command: Command, words: readonly string[]): CompletionCommand[] {
  const children = command.commands.filter((child) => child.name() !== "help");
  const names = (child: Command): string[] => [child.name(), ...child.aliases()];
  const argument = command.registeredArguments[0];
  const subjects = [
    ...children.flatMap((child) => names(child).map((name) => ({ name, summary: child.description() }))),
    ...(argument?.argChoices ?? []).map((name) => ({ name, summary: argument?.description ?? "" })),
    ...(words.length === 0 ? [{ name: "help", summary: "show help for a command" }] : []),
  ];
  const own: CompletionCommand = {
    words,
    summary: command.description(),
    options: command.options.map((option) => ({
      flags: [option.short, option.long].filter((flag) => flag !== undefined),
      takesValue: option.required || option.optional,
      summary: option.description,
    })),
    subjects,
    takesFiles: argument !== undefined && argument.argChoices === undefined,
  };
  return [
    own,
    ...children.flatMap((child) => names(child).flatMap((name) => describe(child, [...words, name]))),
  ];
}

export function completionScript(
  shell: (typeof COMPLETION_SHELLS)[number],
  commands: readonly CompletionCommand[],
): string {
  switch (shell) {
    case "bash":
      return bashScript(commands);
    case "zsh":
      return zshScript(commands);
    case "fish":
      return fishScript(commands);
    case "powershell":
      return powershellScript(commands);
  }
}

const globals = (commands: readonly CompletionCommand[]): readonly CompletionOption[] =>
  commands[0]?.options ?? [];
const key = (command: CompletionCommand): string => command.words.join(" ");
const flagsOf = (options: readonly CompletionOption[]): string[] => options.flatMap((option) => option.flags);

/** Finds the longest known command in the words typed so far, skipping options. */
function bashScript(commands: readonly CompletionCommand[]): string {
  const known = commands.map((command) => `"${key(command)}"`).join("|");
  const withValue = flagsOf(
    commands.flatMap((command) => command.options).filter((option) => option.takesValue),
  );
  const cases = commands.map((command) => {
    const words = command.subjects.map((subject) => subject.name).join(" ");
    const flags = flagsOf(command.words.length === 0 ? [] : command.options).join(" ");
    return `    "${key(command)}") words="${words}"; flags="${flags}"; files=${command.takesFiles ? 1 : 0} ;;`;
  });
  return `# bash completion for mic
_mic() {
  local current="\${COMP_WORDS[COMP_CWORD]}" previous="\${COMP_WORDS[COMP_CWORD-1]}"
  local command="" next words flags files i word
  for ((i = 1; i < COMP_CWORD; i++)); do
    word="\${COMP_WORDS[i]}"
    case "$word" in
      -*) continue ;;
    esac
    next="\${command:+$command }$word"
    case "$next" in
      ${known}) command="$next" ;;
      *) break ;;
    esac
  done
  case "$previous" in
    ${[...new Set(withValue)].join("|")}) COMPREPLY=($(compgen -f -- "$current")); compopt -o filenames; return ;;
  esac
  case "$command" in
${cases.join("\n")}
    *) words=""; flags=""; files=1 ;;
  esac
  if [[ "$current" == -* ]]; then
    COMPREPLY=($(compgen -W "$flags ${flagsOf(globals(commands)).join(" ")} --help" -- "$current"))
  else
    COMPREPLY=($(compgen -W "$words" -- "$current"))
    if ((files)); then
      COMPREPLY+=($(compgen -f -- "$current"))
      compopt -o filenames
    fi
  fi
}
complete -F _mic mic
`;
}

function zshScript(commands: readonly CompletionCommand[]): string {
  const item = (name: string, summary: string): string => `'${zshEscape(name)}:${zshEscape(summary)}'`;
  const cases = commands.map((command) => {
    const subjects = command.subjects.map(({ name, summary }) => item(name, summary)).join(" ");
    const options = [...(command.words.length === 0 ? [] : command.options), ...globals(commands)]
      .flatMap((option) => option.flags.map((flag) => item(flag, option.summary)))
      .join(" ");
    return `    '${key(command)}') subjects=(${subjects}); options=(${options}); files=${command.takesFiles ? 1 : 0} ;;`;
  });
  return `#compdef mic
# zsh completion for mic
_mic() {
  local -a subjects options
  local command="" next word files=1 i
  for ((i = 2; i < CURRENT; i++)); do
    word="\${words[i]}"
    [[ "$word" == -* ]] && continue
    next="\${command:+$command }$word"
    case "$next" in
      ${commands
        .filter((command) => command.words.length > 0)
        .map((command) => `'${key(command)}'`)
        .join("|")}) command="$next" ;;
      *) break ;;
    esac
  done
  case "$command" in
${cases.join("\n")}
  esac
  if [[ "\${words[CURRENT]}" == -* ]]; then
    _describe -o option options
  else
    (( \${#subjects} )) && _describe command subjects
    (( files )) && _files
  fi
}
if [[ "\${funcstack[1]}" == _mic ]]; then _mic "$@"; else compdef _mic mic; fi
`;
}

function zshEscape(text: string): string {
  return text.replaceAll("'", "'\\''").replaceAll(":", "\\:");
}

function fishScript(commands: readonly CompletionCommand[]): string {
  const quote = (text: string): string => `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
  const lines = [
    "# fish completion for mic",
    "function __mic_at",
    "    set -l typed (commandline -opc)",
    "    set -e typed[1]",
    "    set -l plain",
    "    for word in $typed",
    "        string match -q -- '-*' $word; or set -a plain $word",
    "    end",
    '    test "$plain[1..'.concat('(count $argv)]" = "$argv"').concat(' -o "$plain" = "$argv"'),
    "end",
    "function __mic_bare",
    "    set -l typed (commandline -opc)",
    "    set -e typed[1]",
    "    for word in $typed",
    "        string match -q -- '-*' $word; or return 1",
    "    end",
    "end",
    "complete -c mic -f",
  ];
  for (const command of commands) {
    const condition = command.words.length === 0 ? "__mic_bare" : `__mic_at ${command.words.join(" ")}`;
    for (const { name, summary } of command.subjects) {
      lines.push(`complete -c mic -n ${quote(condition)} -a ${quote(name)} -d ${quote(summary)}`);
    }
    if (command.takesFiles) lines.push(`complete -c mic -n ${quote(condition)} -F`);
    for (const option of command.options) {
      const flags = option.flags.map((flag) =>
        flag.startsWith("--") ? `-l ${flag.slice(2)}` : `-s ${flag.slice(1)}`,
      );
      const where = command.words.length === 0 ? "" : ` -n ${quote(condition)}`;
      const value = option.takesValue ? " -r" : "";
      lines.push(`complete -c mic${where} ${flags.join(" ")}${value} -d ${quote(option.summary)}`);
    }
  }
  return `${lines.join("\n")}\n`;
}

function powershellScript(commands: readonly CompletionCommand[]): string {
  const quote = (text: string): string => `'${text.replaceAll("'", "''")}'`;
  const rows = commands.map((command) => {
    const options = [...(command.words.length === 0 ? [] : command.options), ...globals(commands)];
    const items = [
      ...command.subjects.map(({ name, summary }) => [name, summary] as const),
      ...options.flatMap((option) => option.flags.map((flag) => [flag, option.summary] as const)),
    ].map(([name, summary]) => `@(${quote(name)}, ${quote(summary === "" ? name : summary)})`);
    return `    ${quote(key(command))} = @(${items.join(", ")})`;
  });
  return `# PowerShell completion for mic
Register-ArgumentCompleter -Native -CommandName mic -ScriptBlock {
  param($wordToComplete, $commandAst, $cursorPosition)
  $commands = @{
${rows.join("\n")}
  }
  $command = ''
  foreach ($element in $commandAst.CommandElements | Select-Object -Skip 1) {
    $word = $element.ToString()
    if ($element.Extent.EndOffset -ge $cursorPosition) { break }
    if ($word.StartsWith('-')) { continue }
    $next = ("$command $word").Trim()
    if ($commands.ContainsKey($next)) { $command = $next } else { break }
  }
  $commands[$command] | Where-Object { $_[0] -like "$wordToComplete*" } | ForEach-Object {
    [System.Management.Automation.CompletionResult]::new($_[0], $_[0], 'ParameterValue', $_[1])
  }
}
`;
}
