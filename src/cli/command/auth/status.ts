/** `mic auth status`: which servers one is signed in to, as whom, for what and for how long. */
import type { Command } from "commander";
import { isMicError } from "../../../core/base/errors.ts";
import type { AccountDocument } from "../../account/documents.ts";
import type { Bind } from "../../command-definition.ts";
import { listCredentials, readCredential, type TokenOrigin } from "../../credentials.ts";
import { EXIT_NOT_ALLOWED, EXIT_OK, toMicError } from "../../errors.ts";
import type { Invocation } from "../../invocation.ts";
import { formatMinute } from "../../render/time.ts";
import { escapeLine, padEnd } from "../../text.ts";

export function defineStatus(auth: Command, bind: Bind): void {
  auth
    .command("status")
    .description("which servers you are signed in to, as whom, and for how long")
    .action(bind(status));
}

interface ServerStatus {
  readonly server: string;
  readonly source: TokenOrigin | null;
  /** Null where the server could not be asked. */
  readonly valid: boolean | null;
  readonly account: string | null;
  readonly scope: string | null;
  /** Of the token; one that is renewed by itself is renewed before. */
  readonly expiresAt: string | null;
  readonly renews: boolean;
  readonly problem?: string;
}

/** Exit code 4 unless a token of every listed server is valid. */
async function status(invocation: Invocation): Promise<number> {
  const { world, output } = invocation;
  const chosen = await invocation.serverOrigin();
  const onlyChosen = invocation.options.server !== undefined;
  const origins = onlyChosen ? [] : listCredentials(world);
  const all = [...new Set([...(chosen === undefined ? [] : [chosen]), ...origins])];
  const servers = await Promise.all(all.map((origin) => checkServer(invocation, origin)));
  output.answer({ servers }, () => {
    const width = Math.max(0, ...servers.map(({ server }) => server.length));
    return servers.map((each) => `${padEnd(escapeLine(each.server), width)}  ${describe(each)}`).join("\n");
  });
  if (servers.length === 0) output.note("not signed in to any server");
  return servers.length > 0 && servers.every(({ valid }) => valid === true) ? EXIT_OK : EXIT_NOT_ALLOWED;
}

function describe({ source, valid, account, scope, expiresAt, renews, problem }: ServerStatus): string {
  if (source === null) return "not signed in";
  const from = source === "MIC_TOKEN" ? " (MIC_TOKEN)" : "";
  if (valid === null) return `cannot be asked: ${escapeLine(problem ?? "")}`;
  if (!valid) return `the token is not valid${from}`;
  const who = account === null ? "" : ` as ${escapeLine(account)}`;
  const what = scope === null ? "" : `, scope ${escapeLine(scope)}`;
  const until = expiresAt === null || renews ? "" : `, until ${formatMinute(Date.parse(expiresAt))}`;
  return `signed in${who}${from}${what}${until}`;
}

async function checkServer(invocation: Invocation, server: string): Promise<ServerStatus> {
  const found = await invocation.findToken(server);
  const nothing = { account: null, scope: null, expiresAt: null, renews: false };
  if (found === undefined) return { server, source: null, valid: false, ...nothing };
  const { token, source } = found;
  const stored = source === "login" ? readCredential(invocation.world, server) : undefined;
  const known = {
    account: stored?.account?.name ?? null,
    scope: stored?.scope ?? null,
    expiresAt: stored?.expiresAt ?? null,
    renews: stored?.refreshToken !== undefined,
  };
  try {
    const client = await invocation.accountClient(server, token);
    const account = await client.account().catch(async (error: unknown): Promise<AccountDocument> => {
      if (!isMicError(error, "not-found")) throw error;
      // A server that does not say who one is.
      await using forge = await invocation.openRemote(server, token);
      await forge.listProjects({ limit: 1 }, { signal: invocation.signal });
      return {
        name: known.account ?? "",
        email: null,
        siteAdmin: false,
        hasPassword: false,
        token: undefined,
      };
    });
    return {
      server,
      source,
      valid: true,
      account: account.name === "" ? null : account.name,
      scope: account.token?.scope ?? known.scope,
      expiresAt: account.token?.expiresAt ?? known.expiresAt,
      renews: known.renews,
    };
  } catch (error) {
    if (isMicError(error, "unauthenticated")) return { server, source, valid: false, ...known };
    return { server, source, valid: null, ...known, problem: toMicError(error).message };
  }
}
