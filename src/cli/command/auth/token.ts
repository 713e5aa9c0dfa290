/** `mic auth token create|list|revoke`: one's own tokens at a server. */
import { type Command, InvalidArgumentError, Option } from "commander";
import { systemClock } from "../../../core/base/system.ts";
import { SCOPES, type TokenDocument, type TokenScope } from "../../account/documents.ts";
import type { Bind } from "../../command-definition.ts";
import { usageError } from "../../errors.ts";
import type { Invocation } from "../../invocation.ts";
import { formatDay, formatMinute } from "../../render/time.ts";
import { escapeLine, padEnd } from "../../text.ts";
import { requireServer } from "./server.ts";

interface CreateOptions {
  readonly scope: TokenScope;
  readonly project?: string;
  /** Milliseconds. */
  readonly expires?: number;
}

const UNIT_MS: Readonly<Record<string, number>> = {
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 7 * 86_400_000,
  y: 365 * 86_400_000,
};
const EXPIRES_MS_MAX = 100 * 365 * 86_400_000;

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
    .option("--expires <time>", "stops working after e.g. 12h, 30d, 1y (default: never)", parseLifetime)
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
  const width = Math.max(0, ...items.map(({ name }) => name.length));
  output.answer({ tokens: items }, () => items.map((token) => describe(token, width)).join("\n"));
  if (items.length === 0) output.note("no tokens");
}

function describe({ id, name, scope, project, expiresAt, lastUsedAt }: TokenDocument, width: number): string {
  const day = (text: string | null, never: string): string =>
    text === null ? never : formatDay(Date.parse(text));
  const parts = [
    id,
    padEnd(name, width),
    padEnd(scope, 5),
    `expires ${padEnd(day(expiresAt, "never"), 10)}`,
    `used ${day(lastUsedAt, "never")}`,
    project === null ? "" : `only ${project}`,
  ];
  return escapeLine(parts.join("  ").trimEnd());
}

async function revoke(invocation: Invocation, id: string): Promise<void> {
  if (id.startsWith("mic")) {
    throw usageError("that looks like the token itself", "give its id: see `mic auth token list`");
  }
  const client = await invocation.accountClient(await requireServer(invocation));
  await client.revokeToken(id);
  invocation.output.answer({ id, revoked: true }, () => `${escapeLine(id)} is revoked`);
}

function parseLifetime(text: string): number {
  const match = /^(\d{1,6})([mhdwy])$/.exec(text);
  const lifetimeMs = match === null ? 0 : Number(match[1]) * UNIT_MS[match[2]!]!;
  if (lifetimeMs <= 0 || lifetimeMs > EXPIRES_MS_MAX) {
    throw new InvalidArgumentError("It must be a number and m, h, d, w or y, e.g. 30d.");
  }
  return lifetimeMs;
}
