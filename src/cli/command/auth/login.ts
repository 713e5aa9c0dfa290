/** `mic auth login`: a sign-in in a browser, or a token that is given. */
import { type Command, Option } from "commander";
import { isMicError } from "../../../core/base/errors.ts";
import { systemClock } from "../../../core/base/system.ts";
import { fixedToken } from "../../../core/remote/channel.ts";
import { acquireFileLock } from "../../../core/workspace/disk/lock.ts";
import { type AccountDocument, SCOPES, type TokenScope } from "../../account/documents.ts";
import type { Bind } from "../../command-definition.ts";
import { configPath, storeConfigValue } from "../../config.ts";
import {
  type Credential,
  checkToken,
  credentialLockPath,
  makeCredentialsDirectory,
  storeCredential,
} from "../../credentials.ts";
import { EXIT_OK, usageError } from "../../errors.ts";
import type { Invocation } from "../../invocation.ts";
import { escapeLine } from "../../text.ts";
import { requireServer } from "./server.ts";

interface LoginOptions {
  readonly token?: string;
  readonly scope?: TokenScope;
  readonly browser?: boolean;
}

const TOKEN_BYTES_MAX = 8192;

export function defineLogin(auth: Command, bind: Bind): void {
  auth
    .command("login")
    .description("sign in to a server in a browser, or with a token; renewed by itself from then on")
    .option("--token <token>", "store this token after trying it; `-` reads it from stdin, out of sight")
    .addOption(new Option("--scope <scope>", "what to sign in for (default: write)").choices([...SCOPES]))
    .option("--browser", "open the page in this machine's browser")
    .action(bind(login));
}

async function login(invocation: Invocation, options: LoginOptions): Promise<number> {
  const { world, output, config } = invocation;
  const origin = await requireServer(invocation);
  invocation.warnIfReadable(origin);
  const credential =
    options.token === undefined
      ? await signIn(invocation, origin, options)
      : await tryToken(invocation, origin, await readToken(invocation, options));
  await store(invocation, credential);
  const isDefault = config["server.default"] === undefined;
  if (isDefault) storeConfigValue(configPath(world), "server.default", origin);
  const { account, scope, expiresAt } = credential;
  const document = {
    server: origin,
    default: isDefault,
    account: account?.name ?? null,
    scope: scope ?? null,
    expiresAt: expiresAt ?? null,
  };
  output.answer(document, () => {
    const who = account === undefined ? "" : ` as ${escapeLine(account.name)}`;
    const remark = isDefault ? "; it is now the default server" : "";
    return `signed in to ${escapeLine(origin)}${who}${remark}`;
  });
  if (world.env["MIC_TOKEN"])
    output.hint("MIC_TOKEN is set, and wins over what is stored where it is meant for");
  return EXIT_OK;
}

async function signIn(invocation: Invocation, origin: string, options: LoginOptions): Promise<Credential> {
  const { signInByDevice } = await import("../../oauth/device-sign-in.ts");
  const issued = await signInByDevice(await invocation.openRest(origin), {
    scope: options.scope ?? "write",
    openBrowser: options.browser === true,
    clock: systemClock,
    output: invocation.output,
    platform: invocation.world.platform,
    signal: invocation.signal,
  });
  const { withTokens } = await import("../../oauth/signed-in-token.ts");
  const credential = withTokens({ origin }, issued, systemClock.nowMs());
  const account = await whoIs(invocation, origin, credential.token);
  return account === undefined ? credential : { ...credential, account: ownerOf(account) };
}

/** Errors: `unauthenticated`, `unreachable`. */
async function tryToken(invocation: Invocation, origin: string, token: string): Promise<Credential> {
  const account = await whoIs(invocation, origin, token);
  if (account === undefined) {
    await using forge = await invocation.openRemote(origin, token);
    await forge.listProjects({ limit: 1 }, { signal: invocation.signal });
    return { origin, token };
  }
  const { scope, expiresAt } = account.token ?? {};
  return {
    origin,
    token,
    account: ownerOf(account),
    ...(scope === undefined ? {} : { scope }),
    ...(expiresAt == null ? {} : { expiresAt }),
  };
}

/** Undefined where the server does not know the question. */
async function whoIs(
  invocation: Invocation,
  origin: string,
  token: string,
): Promise<AccountDocument | undefined> {
  const client = await invocation.accountClient(origin, fixedToken(token));
  try {
    return await client.account();
  } catch (error) {
    if (isMicError(error, "not-found")) return undefined;
    throw error;
  }
}

function ownerOf({ name, email }: AccountDocument) {
  return { name, ...(email === null ? {} : { email }) };
}

/** Not while another command renews what was there. */
async function store({ world, signal, timeoutMs }: Invocation, credential: Credential): Promise<void> {
  makeCredentialsDirectory(world);
  const lock = credentialLockPath(world, credential.origin);
  const options = { clock: systemClock, signal, timeoutMs };
  await using _held = await acquireFileLock(lock, options, () =>
    usageError("another mic command is changing this sign-in", "run it again"),
  );
  storeCredential(world, credential);
}

async function readToken(invocation: Invocation, { token, scope, browser }: LoginOptions): Promise<string> {
  if (scope !== undefined || browser === true) {
    throw usageError("a token has its scope already", "give --token alone");
  }
  if (token !== "-") return checkToken(token!, "--token");
  const bytes = await invocation.world.readStdin(TOKEN_BYTES_MAX);
  return checkToken(Buffer.from(bytes).toString("latin1").trim(), "what is on stdin");
}
