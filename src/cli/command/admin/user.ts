/** `mic admin user create|list|disable|enable|promote|demote|reset-password`. */
import type { Command } from "commander";
import { systemRandom } from "../../../core/base/system.ts";
import type { UserChange } from "../../account/account-admin.ts";
import type { UserDocument } from "../../account/documents.ts";
import type { Bind } from "../../command-definition.ts";
import type { Invocation } from "../../invocation.ts";
import { readPasswordLines } from "../../password-input.ts";
import { escapeLine, padEnd } from "../../text.ts";
import { type AdminOptions, DATA_OPTION, openAdmin } from "./open-admin.ts";

interface TokenOptions extends AdminOptions {
  readonly revokeTokens?: true;
}

interface PasswordOptions extends AdminOptions {
  readonly passwordStdin?: boolean;
}

interface CreateOptions extends PasswordOptions {
  readonly email?: string;
  readonly admin?: boolean;
  /** False with `--no-password`. */
  readonly password?: boolean;
}

/** 110 bits. */
const MADE_PASSWORD_LETTERS = 22;
/** Nothing that looks like something else. */
const ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789";
const REVOKE_TOKENS_OPTION = ["--revoke-tokens", "end the tokens made for scripts too, for good"] as const;

export function defineUser(admin: Command, bind: Bind): void {
  const command = admin.command("user").description("make users, list them, shut them out");
  command
    .command("create <name>")
    .description("make a user; without --password-stdin a password is made, and printed once")
    .option("--email <address>", "their mail address")
    .option("--admin", "an administrator of the whole server")
    .option("--password-stdin", "read the password from stdin")
    .option("--no-password", "without one: this user cannot sign in in a browser")
    .option(...DATA_OPTION)
    .action(bind(create));
  command
    .command("list")
    .description("list users")
    .option(...DATA_OPTION)
    .action(bind(list));
  command
    .command("disable <user>")
    .description("shut a user out at once: sign-ins end for good, tokens work again once it is enabled")
    .option(...REVOKE_TOKENS_OPTION)
    .option(...DATA_OPTION)
    .action(
      bind((invocation, user: string, options: TokenOptions) => disable(invocation, user, options, true)),
    );
  command
    .command("enable <user>")
    .description("let a user in again")
    .option(...DATA_OPTION)
    .action(
      bind((invocation, user: string, options: AdminOptions) => disable(invocation, user, options, false)),
    );
  for (const [name, siteAdmin, description] of [
    ["promote", true, "make a user an administrator of the whole server"],
    ["demote", false, "make an administrator a user like others; the last one stays"],
  ] as const) {
    command
      .command(`${name} <user>`)
      .description(description)
      .option(...DATA_OPTION)
      .action(
        bind((invocation, user: string, options: AdminOptions) =>
          promote(invocation, user, options, siteAdmin),
        ),
      );
  }
  command
    .command("reset-password <user>")
    .description(
      "set a password and end all sign-ins; without --password-stdin one is made, and printed once",
    )
    .option("--password-stdin", "read the password from stdin")
    .option(...REVOKE_TOKENS_OPTION)
    .option(...DATA_OPTION)
    .action(bind(resetPassword));
}

async function create(invocation: Invocation, name: string, options: CreateOptions): Promise<void> {
  const { email } = options;
  const given = await readPassword(invocation, options);
  const made = given === undefined && options.password !== false ? makePassword() : undefined;
  const password = given ?? made;
  await using admin = await openAdmin(invocation, options, { create: true });
  const user = await admin.createUser({
    name,
    ...(email === undefined ? {} : { email }),
    ...(password === undefined ? {} : { password }),
    ...(options.admin === true ? { siteAdmin: true } : {}),
  });
  invocation.output.answer({ ...user, ...(made === undefined ? {} : { password: made }) }, () =>
    [`${escapeLine(user.name)} is there`, ...tellPassword(made)].join("\n"),
  );
}

async function list(invocation: Invocation, options: AdminOptions): Promise<void> {
  await using admin = await openAdmin(invocation, options);
  const users: UserDocument[] = [];
  let after: string | undefined;
  do {
    const page = await admin.listUsers(after);
    users.push(...page.items);
    after = page.next;
  } while (after !== undefined);
  const { output } = invocation;
  const width = Math.max(0, ...users.map(({ name }) => name.length));
  output.answer({ users }, () =>
    users
      .map((user) => {
        const remarks = [user.siteAdmin ? "administrator" : "", user.disabled ? "disabled" : ""];
        const said = remarks.filter((remark) => remark !== "").join(", ");
        return `${padEnd(escapeLine(user.name), width)}  ${escapeLine(user.email ?? "")}  ${said}`.trimEnd();
      })
      .join("\n"),
  );
  if (users.length === 0) output.note("no users");
}

async function disable(
  invocation: Invocation,
  name: string,
  options: TokenOptions,
  disabled: boolean,
): Promise<void> {
  const user = await update(invocation, name, options, { disabled, ...tokensOf(options) });
  const verb = disabled ? "disabled" : "enabled";
  invocation.output.answer(user, () => `${escapeLine(user.name)} is ${verb}`);
}

async function promote(
  invocation: Invocation,
  name: string,
  options: AdminOptions,
  siteAdmin: boolean,
): Promise<void> {
  const user = await update(invocation, name, options, { siteAdmin });
  const what = siteAdmin ? "an administrator" : "no administrator";
  invocation.output.answer(user, () => `${escapeLine(user.name)} is ${what}`);
}

async function resetPassword(
  invocation: Invocation,
  name: string,
  options: PasswordOptions & TokenOptions,
): Promise<void> {
  const given = await readPassword(invocation, options);
  const made = given === undefined ? makePassword() : undefined;
  const user = await update(invocation, name, options, { password: given ?? made!, ...tokensOf(options) });
  const ended = options.revokeTokens === true ? "sign-ins and tokens" : "sign-ins";
  invocation.output.answer({ ...user, ...(made === undefined ? {} : { password: made }) }, () =>
    [`the password of ${escapeLine(user.name)} is set, and ended their ${ended}`, ...tellPassword(made)].join(
      "\n",
    ),
  );
}

async function update(
  invocation: Invocation,
  name: string,
  options: AdminOptions,
  change: UserChange,
): Promise<UserDocument> {
  await using admin = await openAdmin(invocation, options);
  return await admin.updateUser(name, change);
}

/** Errors: `usage`. */
async function readPassword(
  { world }: Invocation,
  { passwordStdin }: PasswordOptions,
): Promise<string | undefined> {
  if (passwordStdin !== true) return undefined;
  const [password] = await readPasswordLines(world, ["password"]);
  return password;
}

function tokensOf({ revokeTokens }: TokenOptions): Pick<UserChange, "revokeTokens"> {
  return revokeTokens === true ? { revokeTokens } : {};
}

function makePassword(): string {
  const bytes = systemRandom.bytes(MADE_PASSWORD_LETTERS);
  return Array.from(bytes, (byte) => ALPHABET[byte % ALPHABET.length]).join("");
}

function tellPassword(made: string | undefined): readonly string[] {
  return made === undefined ? [] : [`password  ${made}`, "it is shown this once"];
}
