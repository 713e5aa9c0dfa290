/** `mic land GOAL`: lands the workspace's changes. */
import { isUtf8 } from "node:buffer";
import path from "node:path";
import { parseSessionId } from "../../core/base/ids.ts";
import { TEXT_BYTES_MAX } from "../../core/base/limits.ts";
import type { LandOptions as CoreLandOptions } from "../../core/workspace/results.ts";
import { answerLanding } from "../answer-landing.ts";
import { collect, type DefineCommand, examples } from "../command-definition.ts";
import { usageError } from "../errors.ts";
import type { Invocation } from "../invocation.ts";
import { toTreePaths } from "../paths.ts";
import { readStart } from "../read-start.ts";

interface LandOptions {
  readonly message?: string;
  readonly file?: string;
  /** True without a number. */
  readonly sync?: string | true;
  readonly session?: string;
  readonly path?: readonly string[];
  readonly decision?: readonly string[];
  readonly dryRun?: boolean;
  readonly allowEmpty?: boolean;
  readonly allowLarge?: boolean;
  readonly strict?: boolean;
}

const SYNC_ATTEMPTS = 10;

export const define: DefineCommand = (command, bind) => {
  command
    .argument("[goal]", "what the changes are for; the first line is shown in lists")
    .option("-m, --message <goal>", "the goal, as an option")
    .option("--file <file>", "read the goal from a file; - is stdin")
    .option("--sync [attempts]", `on conflict sync and try again, up to ${SYNC_ATTEMPTS} times`)
    .option("--session <id>", "land as this session (default: the open one)")
    .option("--path <path>", "only changes at or below this path (repeatable)", collect)
    .option("--decision <text>", "a decision to record with it (repeatable)", collect)
    .option("--dry-run", "say what would be landed")
    .option("--allow-empty", "land although nothing changed")
    .option("--allow-large", "land new files above 100 MiB")
    .option("--strict", "refuse what looks like a key, a token or a password")
    .addHelpText(
      "after",
      examples(
        'mic land "add a parser"',
        ['mic land "fix it" --sync', "for agents: sync and retry by itself"],
        ['mic land -m "docs" --path docs', "only docs/"],
      ),
    )
    .action(bind(land));
};

async function land(
  invocation: Invocation,
  argument: string | undefined,
  options: LandOptions,
): Promise<void> {
  const { goal: positional, attempts } = readSync(argument, options.sync);
  const goal = await readGoal(invocation, positional, options);
  const workspace = await invocation.openWorkspace();
  if (goal === "" && options.session === undefined && workspace.settings.session === undefined) {
    throw usageError("what is the goal of this landing?", 'e.g. `mic land "fix the parser"`');
  }
  const { landWorkspace } = await import("../../core/workspace/commands/land.ts");
  const paths = toTreePaths(workspace.root, invocation.cwd, options.path);
  const request: CoreLandOptions = {
    goal,
    decisions: options.decision ?? [],
    allowEmpty: options.allowEmpty === true,
    allowLarge: options.allowLarge === true,
    dryRun: options.dryRun === true,
    syncAttempts: attempts,
    refuseSecrets: options.strict === true,
    ...(paths === undefined ? {} : { paths }),
    ...(options.session === undefined ? {} : { session: parseSessionId(options.session) }),
  };
  const outcome = await landWorkspace(workspace, request);
  await answerLanding(invocation, workspace, outcome);
}

/** `--sync` takes a number if one follows; a goal that follows it is the goal. */
function readSync(
  argument: string | undefined,
  sync: string | true | undefined,
): { goal: string | undefined; attempts: number } {
  if (sync === undefined) return { goal: argument, attempts: 0 };
  if (sync === true) return { goal: argument, attempts: SYNC_ATTEMPTS };
  if (/^\d{1,4}$/.test(sync)) return { goal: argument, attempts: Number(sync) };
  if (argument === undefined) return { goal: sync, attempts: SYNC_ATTEMPTS };
  throw usageError(`--sync takes a number, not ${JSON.stringify(sync)}`, 'e.g. `mic land "goal" --sync=3`');
}

/** Empty when none was given. */
async function readGoal(
  invocation: Invocation,
  positional: string | undefined,
  options: LandOptions,
): Promise<string> {
  const given = [positional, options.message, options.file].filter((text) => text !== undefined);
  if (given.length > 1) throw usageError("give the goal once: as argument, with -m, or with --file");
  if (options.file === undefined) return (positional ?? options.message ?? "").trim();
  const bytes =
    options.file === "-"
      ? await invocation.world.readStdin(TEXT_BYTES_MAX)
      : readStart(path.resolve(invocation.cwd, options.file), TEXT_BYTES_MAX);
  // One that is too long is refused later, wherever in a character it was cut.
  if (bytes.length <= TEXT_BYTES_MAX && !isUtf8(bytes)) {
    throw usageError("the goal is not valid UTF-8", "save it as UTF-8");
  }
  return Buffer.from(bytes).toString("utf8").trim();
}
