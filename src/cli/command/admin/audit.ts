/** `mic admin audit`: who did what, newest first. */
import { type Command, InvalidArgumentError } from "commander";
import type { AuditFilter } from "../../account/account-admin.ts";
import type { AuditDocument } from "../../account/documents.ts";
import type { Bind } from "../../command-definition.ts";
import type { Invocation } from "../../invocation.ts";
import { formatMinute } from "../../render/time.ts";
import { escapeLine } from "../../text.ts";
import { type AdminOptions, DATA_OPTION, openAdmin } from "./open-admin.ts";

interface AuditOptions extends AdminOptions {
  readonly account?: string;
  readonly action?: string;
  readonly target?: string;
  readonly n: number;
}

const COUNT_DEFAULT = 50;
const COUNT_MAX = 1_000_000;
const PAGE_LIMIT = 100;

export function defineAudit(admin: Command, bind: Bind): void {
  admin
    .command("audit")
    .description("who did what, from where, with which token; newest first")
    .option("--account <name>", "only what this user did")
    .option("--action <action>", "only this, e.g. token.created")
    .option("--target <target>", "only what was done to this, e.g. user:ada")
    .option("-n <count>", "at most so many", parseCount, COUNT_DEFAULT)
    .option(...DATA_OPTION)
    .action(bind(audit));
}

async function audit(invocation: Invocation, options: AuditOptions): Promise<void> {
  const { output } = invocation;
  await using admin = await openAdmin(invocation, options);
  const { account, action, target } = options;
  output.page();
  let left = options.n;
  let before: string | undefined;
  do {
    const filter: AuditFilter = {
      ...(account === undefined ? {} : { account }),
      ...(action === undefined ? {} : { action }),
      ...(target === undefined ? {} : { target }),
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

function render({ at, account, address, action, target, token, detail }: AuditDocument): string {
  const who = account === "" ? "nobody" : account;
  const more = Object.keys(detail).length === 0 ? "" : `  ${JSON.stringify(detail)}`;
  const by = token === null ? "" : `  token ${token}`;
  return escapeLine(`${formatMinute(Date.parse(at))}  ${who}  ${action}  ${target}  ${address}${by}${more}`);
}

function parseCount(text: string): number {
  const count = Number(text);
  if (!/^\d{1,7}$/.test(text) || count < 1 || count > COUNT_MAX) {
    throw new InvalidArgumentError(`It must be a number from 1 to ${COUNT_MAX}.`);
  }
  return count;
}
