/** `mic auth token create|list|revoke`: one's own tokens at a server. */
import { type Command, Option } from "commander";
import { systemClock } from "../../../core/base/system.ts";
import { SCOPES, type TokenScope } from "../../account/documents.ts";
import type { Bind } from "../../command-definition.ts";
import type { Invocation } from "../../invocation.ts";
import { formatMinute } from "../../render/time.ts";
import { refuseSecret, tokenTable } from "../../render/tokens.ts";
import { escapeLine } from "../../text.ts";
import { parseSpan } from "../../time-options.ts";
import { requireServer } from "./server.ts";

interface CreateOptions {
  readonly scope: TokenScope;
  readonly project?: string;
  /** Milliseconds. */
  readonly expires?: number;
}

export function defineToken(auth: Command, bind: Bind): void {
  const command = auth.command("token").description("your own tokens, for scripts and agents");
  command
    .command("create <name>")
    .description("make a token; it is printed once")
    .addOption(
      new Option("--scope <scope>", "what it is for, each including those before")
        .choices([...SCOPES])
        .default("write"),
    )
    .option("--project <org/project>", "for this project only")
    .option("--expires <time>", "stops working after e.g. 12h, 30d, 1y (default: never)", parseSpan)
    .action(bind(create));
  command.command("list").description("list your tokens").action(bind(list));
  command.command("revoke <id>").description("end a token, at once").action(bind(revoke));
}

async function create(invocation: Invocation, name: string, options: CreateOptions): Promise<void> {
  const client = await invocation.accountClient(await requireServer(invocation));
  const { scope, project, expires } = options;
  const { token, secret } = await client.createToken({
    name,
    scope,
    ...(project === undefined ? {} : { project }),
    ...(expires === undefined ? {} : { expiresAt: new Date(systemClock.nowMs() + expires).toISOString() }),
  });
  // Its only place: not even a pager sees it before it is on stdout.
  invocation.output.answer({ ...token, secret }, () => secret);
  const until = token.expiresAt === null ? "" : ` until ${formatMinute(Date.parse(token.expiresAt))}`;
  invocation.output.note(
    `it is shown this once; scope ${escapeLine(token.scope)}${until}; end it with: mic auth token revoke ${escapeLine(token.id)}`,
  );
}

async function list(invocation: Invocation): Promise<void> {
  const client = await invocation.accountClient(await requireServer(invocation));
  const { items } = await client.listTokens();
  const { output } = invocation;
  output.answer({ tokens: items }, () => tokenTable(items));
  if (items.length === 0) output.note("no tokens");
}

async function revoke(invocation: Invocation, id: string): Promise<void> {
  refuseSecret(id, "mic auth token list");
  const client = await invocation.accountClient(await requireServer(invocation));
  await client.revokeToken(id);
  invocation.output.answer({ id, revoked: true }, () => `${escapeLine(id)} is revoked`);
}
