/** `mic auth password`: one's own password at a server. */
import type { Command } from "commander";
import type { Bind } from "../../command-definition.ts";
import { usageError } from "../../errors.ts";
import type { Invocation } from "../../invocation.ts";
import { askUnseen, readPasswordLines } from "../../password-input.ts";
import { escapeLine } from "../../text.ts";
import { requireServer } from "./server.ts";

interface PasswordOptions {
  readonly passwordStdin?: boolean;
}

export function definePassword(auth: Command, bind: Bind): void {
  auth
    .command("password")
    .description("change your password; ends every sign-in, and leaves tokens made for scripts")
    .option("--password-stdin", "read the current and the new password from stdin, a line each")
    .action(bind(password));
}

async function password(invocation: Invocation, { passwordStdin }: PasswordOptions): Promise<void> {
  const { output, world } = invocation;
  const server = await requireServer(invocation);
  if (passwordStdin !== true && !invocation.interactive) {
    throw usageError("nobody can be asked for a password", "give --password-stdin");
  }
  const client = await invocation.accountClient(server);
  const { name, hasPassword, token } = await client.account();
  const [current, wanted] =
    passwordStdin === true
      ? await readPasswordLines(world, ["current password?", "new password"])
      : await ask(invocation, hasPassword);
  await client.setPassword(hasPassword ? current : undefined, wanted);
  output.answer(
    { server, account: name, changed: true },
    () => `the password of ${escapeLine(name)} is changed, and ended their sign-ins`,
  );
  if (token?.kind === "access") output.hint("this one too: mic auth login");
}

/** Errors: `usage` where the new one is not typed the same way twice. */
async function ask(
  { output, signal }: Invocation,
  hasPassword: boolean,
): Promise<readonly [current: string, wanted: string]> {
  output.flush();
  const before = hasPassword ? ["current password: "] : [];
  const typed = await askUnseen([...before, "new password: ", "the same again: "], signal);
  const [wanted, again] = [typed.at(-2)!, typed.at(-1)!];
  if (wanted !== again) throw usageError("the new password was not the same twice", "nothing was changed");
  return [hasPassword ? typed[0]! : "", wanted];
}
