/** `mic resolve`: settles conflicts, hunk by hunk on a terminal, or by a strategy. */
import type { Command } from "commander";
import { isWithin, type TreePath } from "../../core/base/path.ts";
import type { Conflict } from "../../core/workspace/results.ts";
import type { Workspace } from "../../core/workspace/workspace.ts";
import { type Bind, type DefineCommand, examples } from "../command-definition.ts";
import { EXIT_CONFLICT, EXIT_OK, usageError } from "../errors.ts";
import type { Invocation } from "../invocation.ts";
import { toTreePath } from "../paths.ts";
import { renderPaths } from "../render/changes.ts";
import { escapeLine, padEnd, plural } from "../text.ts";

interface ResolveOptions {
  readonly ours?: boolean;
  readonly theirs?: boolean;
  readonly union?: boolean;
  readonly mark?: boolean;
  readonly list?: boolean;
}

type NamedStrategy = "ours" | "theirs" | "union" | "mark";

const STRATEGIES: readonly NamedStrategy[] = ["ours", "theirs", "union", "mark"];

export const define: DefineCommand = (command, bind) => defineResolve(command, bind);

/** Also `mic session resolve`. */
export function defineResolve(command: Command, bind: Bind): void {
  command
    .argument("[path...]", "files or directories with conflicts (default: all of them)")
    .option("--ours", "take the workspace's version where both changed")
    .option("--theirs", "take the project's version where both changed")
    .option("--union", "take both: ours, then theirs")
    .option("--mark", "accept the file as edited (refused while markers remain)")
    .option("--list", "list the conflicts")
    .addHelpText(
      "after",
      examples(["mic resolve", "hunk by hunk, on a terminal"], "mic resolve --theirs docs", [
        "mic resolve --mark a.txt",
        "edited by hand",
      ]),
    )
    .action(bind(resolve));
}

async function resolve(
  invocation: Invocation,
  args: readonly string[],
  options: ResolveOptions,
): Promise<number> {
  const strategies = STRATEGIES.filter((strategy) => options[strategy] === true);
  if (strategies.length > 1) throw usageError(`--${strategies[0]} and --${strategies[1]} exclude each other`);
  const workspace = await invocation.openWorkspace();
  const { listConflicts } = await import("../../core/workspace/commands/conflicts.ts");
  const all = listConflicts(workspace);
  const chosen = chooseConflicts(invocation, workspace, all, args);
  const strategy = strategies[0];
  if (strategy !== undefined && options.list !== true)
    return await applyStrategy(invocation, workspace, chosen, strategy);
  if (options.list === true || !invocation.interactive || chosen.length === 0)
    return list(invocation, chosen, all);
  return await resolveOnTerminal(invocation, workspace, chosen);
}

/** Conflicts at or below the arguments. Errors: `not-found` when there is none at one of them. */
function chooseConflicts(
  invocation: Invocation,
  workspace: Workspace,
  all: readonly Conflict[],
  args: readonly string[],
): readonly Conflict[] {
  if (args.length === 0) return all;
  const wanted = args.map((argument) => {
    const path = toTreePath(workspace.root, invocation.cwd, argument);
    const found = all.filter((conflict) => isWithin(conflict.path, path));
    if (found.length === 0)
      throw usageError(`there is no conflict at ${argument}`, "run `mic resolve --list`");
    return found;
  });
  const paths = new Set(wanted.flat().map((conflict) => conflict.path));
  return all.filter((conflict) => paths.has(conflict.path));
}

async function applyStrategy(
  invocation: Invocation,
  workspace: Workspace,
  chosen: readonly Conflict[],
  strategy: NamedStrategy,
): Promise<number> {
  const { resolveConflicts } = await import("../../core/workspace/commands/resolve.ts");
  const paths = chosen.map((conflict) => conflict.path);
  const { resolved, remaining } = await resolveConflicts(workspace, paths, strategy);
  return report(invocation, resolved, remaining);
}

function report(
  invocation: Invocation,
  resolved: readonly TreePath[],
  remaining: readonly TreePath[],
): number {
  const { output } = invocation;
  output.answer({ resolved, remaining }, () =>
    [
      `${plural(resolved.length, "conflict")} resolved, ${remaining.length} remaining`,
      ...renderPaths("resolved", resolved, output.style.green),
      ...renderPaths("conflict", remaining, output.style.red),
    ].join("\n"),
  );
  if (remaining.length > 0) return EXIT_CONFLICT;
  if (resolved.length > 0) output.hint('`mic land "goal"` lands the result');
  return EXIT_OK;
}

const KIND_TEXTS: Readonly<Record<Conflict["kind"], string>> = {
  content: "both changed it",
  binary: "both changed it (binary)",
  "deleted-by-us": "deleted here, changed there",
  "deleted-by-them": "changed here, deleted there",
  kind: "kinds differ",
  directory: "file against directory",
};

function list(invocation: Invocation, chosen: readonly Conflict[], all: readonly Conflict[]): number {
  const { output } = invocation;
  const document = {
    resolved: [],
    remaining: all.map((conflict) => conflict.path),
    conflicts: chosen.map(({ path, kind }) => ({ path, kind })),
  };
  const width = Math.max(0, ...chosen.map(({ kind }) => KIND_TEXTS[kind].length));
  output.answer(document, () =>
    chosen.length === 0
      ? "no conflicts"
      : chosen.map(({ kind, path }) => `${padEnd(KIND_TEXTS[kind], width)}  ${escapeLine(path)}`).join("\n"),
  );
  if (all.length === 0) return EXIT_OK;
  output.hint("--ours, --theirs or --union settle them; --mark accepts files as edited");
  return EXIT_CONFLICT;
}

async function resolveOnTerminal(
  invocation: Invocation,
  workspace: Workspace,
  chosen: readonly Conflict[],
): Promise<number> {
  // React and Ink are loaded here and nowhere else.
  const [
    { runResolve },
    { readConflictModels },
    { startResolving, renderFile },
    { chooseEditor, editText },
    core,
  ] = await Promise.all([
    import("../tui/run-resolve.tsx"),
    import("../tui/resolve-model.ts"),
    import("../tui/resolve-state.ts"),
    import("../tui/edit-text.ts"),
    import("../../core/workspace/commands/resolve.ts"),
  ]);
  const { world, output } = invocation;
  const editor = chooseEditor(world.env, invocation.config["ui.editor"], world.platform);
  const models = await readConflictModels(workspace, chosen);
  await runResolve(startResolving(models), {
    color: output.style.enabled,
    signal: invocation.signal,
    edit: async (text, path) => editText(editor, text, path),
    save: async (file) => {
      const { conflict } = file;
      const strategy =
        conflict.kind === "text"
          ? { bytes: renderFile(file) }
          : file.choices[0] === "theirs"
            ? ("theirs" as const)
            : ("ours" as const);
      await core.resolveConflicts(workspace, [conflict.path as TreePath], strategy);
    },
  });
  const remaining = workspace.conflicts.map((conflict) => conflict.path);
  const open = new Set<string>(remaining);
  const resolved = chosen.map((conflict) => conflict.path).filter((path) => !open.has(path));
  return report(invocation, resolved, remaining);
}
