/** `mic auth logout`: ends the sign-in at the server, and forgets it here whatever the server says. */
import type { Command } from "commander";
import { isMicError, MicError } from "../../../core/base/errors.ts";
import { systemClock } from "../../../core/base/system.ts";
import { acquireFileLock } from "../../../core/workspace/disk/lock.ts";
import type { Bind } from "../../command-definition.ts";
import { type Credential, credentialLockPath, readCredential, removeCredential } from "../../credentials.ts";
import { toMicError, usageError } from "../../errors.ts";
import type { Invocation } from "../../invocation.ts";
import { escapeLine } from "../../text.ts";
import { requireServer } from "./server.ts";

export function defineLogout(auth: Command, bind: Bind): void {
  auth
    .command("logout")
    .description("end the sign-in at the server, and forget it; a token that was given is only forgotten")
    .action(bind(logout));
}

async function logout(invocation: Invocation): Promise<void> {
  const { world, output, signal, timeoutMs } = invocation;
  const origin = await requireServer(invocation);
  if (readCredential(world, origin) === undefined) throw nothingStored(origin);
  let credential: Credential | undefined;
  {
    const options = { clock: systemClock, signal, timeoutMs };
    await using _held = await acquireFileLock(credentialLockPath(world, origin), options, () =>
      usageError("another mic command is changing this sign-in", "run it again"),
    );
    // What another command may have renewed meanwhile.
    credential = readCredential(world, origin);
    if (credential === undefined || !removeCredential(world, origin)) throw nothingStored(origin);
  }
  const revoked = await revoke(invocation, credential);
  output.answer({ server: origin, revoked }, () => `signed out of ${escapeLine(origin)}`);
}

/** True when the server will not take it any more. */
async function revoke(invocation: Invocation, { origin, refreshToken }: Credential): Promise<boolean> {
  // Somebody made it for more than this machine, and `mic auth token revoke` ends it.
  if (refreshToken === undefined) return false;
  const { revokeToken } = await import("../../oauth/token-endpoint.ts");
  try {
    await revokeToken(await invocation.openRest(origin), refreshToken, invocation.signal);
    return true;
  } catch (error) {
    const { message } = toMicError(error);
    if (isMicError(error, "aborted")) throw error;
    invocation.output.warn(`forgotten here, but the server could not be told: ${message}`);
    invocation.output.hint("its tokens can be revoked in another sign-in: mic auth token list");
    return false;
  }
}

function nothingStored(origin: string): MicError {
  return new MicError("not-found", `no token is stored for ${origin}`, { hint: "see `mic auth status`" });
}
