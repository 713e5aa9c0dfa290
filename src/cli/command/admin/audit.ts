/** `mic admin audit`: who did what, newest first; `prune` makes it shorter. */
import { type Command, InvalidArgumentError } from "commander";
import { systemClock } from "../../../core/base/system.ts";
import type { AuditFilter } from "../../account/account-admin.ts";
import type { AuditDocument } from "../../account/documents.ts";
import type { Bind } from "../../command-definition.ts";
import { confirm } from "../../confirm.ts";
import type { Invocation } from "../../invocation.ts";
import { formatMinute } from "../../render/time.ts";
import { escapeLine } from "../../text.ts";
import { parseMoment } from "../../time-options.ts";
import { type AdminOptions, DATA_OPTION, openAdmin, openLocalAdmin } from "./open-admin.ts";

interface AuditOptions extends AdminOptions {
  readonly account?: string;
  readonly action?: string;
  readonly target?: string;
  /** RFC 3339. */
  readonly since?: string;
  readonly until?: string;
  readonly landings?: true;
  readonly n: number;
}

const COUNT_DEFAULT = 50;
/** More than the log of landings holds: all of it can be taken along before it is pruned. */
const COUNT_MAX = 100_000_000;
const PAGE_LIMIT = 100;

export function defineAudit(admin: Command, bind: Bind): void {
  const moment = (text: string): string => parseMoment(text, systemClock.nowMs());
  const command = admin
    .command("audit")
    .description("who did what, from where, with which token; newest first")
    .option("--account <name>", "only what this user did")
    .option("--action <action>", "only this, e.g. token.created")
    .option("--target <target>", "only what was done to this, e.g. user:ada")
    .option(
      "--since <time>",
      "only from then on: 2026-01-31, 2026-01-31T10:00Z, or 30d for so long ago",
      moment,
    )
    .option("--until <time>", "only what was before", moment)
    .option("--landings", "only what landed through this very server, also one that follows another")
    .option("-n <count>", "at most so many", parseCount, COUNT_DEFAULT)
    .option(...DATA_OPTION)
    .action(bind(audit));
  command
    .command("prune")
    .description("remove the oldest entries for good; on the server's machine, with --data")
    .requiredOption("--before <time>", "what was before: 2026-01-31, or 1y for so long ago", moment)
    .action(bind(prune));
}

async function audit(invocation: Invocation, options: AuditOptions): Promise<void> {
  const { output } = invocation;
  await using admin = await openAdmin(invocation, options);
  const { account, action, target, since, until, landings } = options;
  output.page();
  let left = options.n;
  let before: string | undefined;
  do {
    const filter: AuditFilter = {
      ...(landings === true ? { log: "landings" } : {}),
      ...(account === undefined ? {} : { account }),
      ...(action === undefined ? {} : { action }),
      ...(target === undefined ? {} : { target }),
      ...(since === undefined ? {} : { since }),
      ...(until === undefined ? {} : { until }),
      ...(before === undefined ? {} : { before }),
      limit: Math.min(left, PAGE_LIMIT),
    };
    const page = await admin.listAudit(filter);
    for (const entry of page.items) output.answer(entry, () => render(entry));
    await output.settle();
    left -= page.items.length;
    before = page.items.length === 0 ? undefined : page.next;
  } while (before !== undefined && left > 0);
}

/** No token may do this: who took one over would remove the traces. */
async function prune(invocation: Invocation, { before }: { readonly before: string }): Promise<void> {
  // An option of the command above this one is that one's, wherever it stands.
  await using admin = await openLocalAdmin(invocation, invocation.options as AdminOptions);
  await confirm(invocation, `what the audit log says of before ${before} goes for good`, "prune");
  const removed = await admin.pruneAudit(before);
  invocation.output.answer({ before, removed }, () => `${removed} entries are removed`);
}

function render({ at, account, address, action, target, token, detail }: AuditDocument): string {
  const who = account === "" ? "nobody" : account;
  const more = Object.keys(detail).length === 0 ? "" : `  ${JSON.stringify(detail)}`;
  const by = token === null ? "" : `  token ${token}`;
  return escapeLine(`${formatMinute(Date.parse(at))}  ${who}  ${action}  ${target}  ${address}${by}${more}`);
}

function parseCount(text: string): number {
  const count = Number(text);
  if (!/^\d{1,9}$/.test(text) || count < 1 || count > COUNT_MAX) {
    throw new InvalidArgumentError(`It must be a number from 1 to ${COUNT_MAX}.`);
  }
  return count;
}
