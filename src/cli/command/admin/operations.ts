/** `mic admin backup`, `restore` and `doctor`: on the server's own machine. */
import path from "node:path";
import type { Command } from "commander";
import { systemClock, systemRandom } from "../../../core/base/system.ts";
import type { Bind } from "../../command-definition.ts";
import { bucketDefaults } from "../../config.ts";
import { usageError } from "../../errors.ts";
import type { Invocation } from "../../invocation.ts";
import type { BackedUp, Finding, OperationRequest, OperationsProgram } from "../../operations-program.ts";
import { defineServeFlags } from "../../serve-flags.ts";
import type { ServeFlags } from "../../server-program.ts";
import { escapeLine } from "../../text.ts";
import { versionInfo } from "../../version.ts";

interface DataOption {
  readonly data?: string;
}

const DATA = ["--data <dir>", "the data directory of `mic serve` (default: as it would choose it)"] as const;

export function defineOperations(admin: Command, bind: Bind): void {
  admin
    .command("backup")
    .description("everything in a data directory as one tar file, made while the server runs, and checked")
    .argument("<file>", "must not be there")
    .option(...DATA)
    .action(bind(backup));
  admin
    .command("restore")
    .description("a data directory from a backup; what is there is never overwritten")
    .argument("<file>")
    .option(...DATA)
    .action(bind(restore));
  defineServeFlags(
    admin
      .command("doctor")
      .description("looks at what a server needs and changes nothing; takes the options of `mic serve`"),
  ).action(bind(doctor));
}

async function backup(invocation: Invocation, file: string, flags: DataOption): Promise<void> {
  const { backupServer } = await load(invocation);
  const report = await backupServer(requestOf(invocation, flags), path.resolve(invocation.cwd, file));
  const { accounts, forge, ...rest } = report;
  invocation.output.answer({ ...rest, accounts: accounts ?? null, forge: forge ?? null }, () => {
    const size = `${(report.bytes / 2 ** 20).toFixed(1)} MiB`;
    return `backed up ${describe(report)} to ${escapeLine(report.file)} (${size}), restored it and checked it\n`;
  });
  if (forge === undefined) {
    invocation.output.note("the forge is not in this directory: what is in a bucket is not in the backup");
  }
}

async function restore(invocation: Invocation, file: string, flags: DataOption): Promise<void> {
  const { restoreServer } = await load(invocation);
  const report = await restoreServer(requestOf(invocation, flags), path.resolve(invocation.cwd, file));
  const { accounts, forge, ...rest } = report;
  invocation.output.answer({ ...rest, accounts: accounts ?? null, forge: forge ?? null }, () => {
    const from = `of ${report.createdAt}, by mic ${escapeLine(report.mic)}`;
    return `restored ${describe(report)} to ${escapeLine(report.dataDirectory)} (${from})\n`;
  });
}

async function doctor(invocation: Invocation, flags: ServeFlags): Promise<number> {
  const { diagnoseServer } = await load(invocation);
  const findings = await diagnoseServer(requestOf(invocation, flags));
  const healthy = findings.every(({ state }) => state !== "fail");
  invocation.output.answer({ healthy, findings }, () =>
    findings.map((each) => render(invocation, each)).join(""),
  );
  return healthy ? 0 : 1;
}

function render({ output }: Invocation, { name, state, detail, hint }: Finding): string {
  const { style } = output;
  const color = state === "ok" ? style.green : state === "warn" ? style.yellow : style.red;
  const line = `${color(state.padEnd(4))}  ${name.padEnd(10)}  ${escapeLine(detail)}\n`;
  return hint === undefined ? line : `${line}${" ".repeat(18)}${escapeLine(hint)}\n`;
}

function describe({ accounts, forge }: BackedUp): string {
  const parts: string[] = [];
  if (accounts !== undefined) parts.push(`${accounts.users} users and ${accounts.tokens} tokens`);
  if (forge !== undefined) parts.push(`${forge.projects} projects in ${forge.objects} objects`);
  return parts.join(", ");
}

async function load({ world }: Invocation): Promise<OperationsProgram> {
  if (world.loadOperations === undefined) throw usageError("there is no server in this program");
  return await world.loadOperations();
}

function requestOf({ world, cwd, config }: Invocation, flags: ServeFlags): OperationRequest {
  return {
    flags,
    world: {
      env: world.env,
      platform: world.platform,
      isRoot: process.getuid?.() === 0,
      cwd,
      s3Defaults: bucketDefaults(config),
    },
    clock: systemClock,
    random: systemRandom,
    version: versionInfo().version,
    signal: world.signal,
  };
}
