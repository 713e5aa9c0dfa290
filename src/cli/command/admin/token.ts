/** `mic admin token list|revoke`: the tokens of somebody else. */
import type { Command } from "commander";
import type { Bind } from "../../command-definition.ts";
import { usageError } from "../../errors.ts";
import type { Invocation } from "../../invocation.ts";
import { refuseSecret, tokenTable } from "../../render/tokens.ts";
import { escapeLine } from "../../text.ts";
import { type AdminOptions, DATA_OPTION, openAdmin } from "./open-admin.ts";

interface TokenOptions extends AdminOptions {
  readonly user: string;
}

const USER_OPTION = ["--user <user>", "whose: a name, an address or an id"] as const;

export function defineToken(admin: Command, bind: Bind): void {
  const command = admin.command("token").description("tokens of a user, when they are in the wrong hands");
  command
    .command("list")
    .description("list a user's tokens, and its sign-ins")
    .requiredOption(...USER_OPTION)
    .option(...DATA_OPTION)
    .action(bind(list));
  command
    .command("revoke [id]")
    .description("end a token of a user, or with --all every token and sign-in, at once")
    .requiredOption(...USER_OPTION)
    .option("--all", "all of them")
    .option(...DATA_OPTION)
    .action(bind(revoke));
}

async function list(invocation: Invocation, options: TokenOptions): Promise<void> {
  await using admin = await openAdmin(invocation, options);
  const { items } = await admin.listUserTokens(options.user);
  const { output } = invocation;
  output.answer({ tokens: items }, () => tokenTable(items));
  if (items.length === 0) output.note("no tokens");
}

async function revoke(
  invocation: Invocation,
  id: string | undefined,
  options: TokenOptions & { readonly all?: true },
): Promise<void> {
  const { output } = invocation;
  if ((id === undefined) === (options.all !== true)) {
    throw usageError("which token?", "give its id, see `mic admin token list --user U`, or --all");
  }
  await using admin = await openAdmin(invocation, options);
  if (id === undefined) {
    const { name } = await admin.updateUser(options.user, { revokeTokens: true });
    output.answer({ user: name, revoked: true }, () => `all tokens of ${escapeLine(name)} are revoked`);
    return;
  }
  refuseSecret(id, "mic admin token list --user U");
  await admin.revokeUserToken(options.user, id);
  output.answer({ id, revoked: true }, () => `${escapeLine(id)} is revoked`);
}
