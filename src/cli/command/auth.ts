/** `mic auth login|status|logout`: tokens for servers. */
import { isMicError, MicError } from "../../core/base/errors.ts";
import { type DefineCommand, examples } from "../command-definition.ts";
import { configPath, storeConfigValue } from "../config.ts";
import {
  checkToken,
  listCredentials,
  removeCredential,
  storeCredential,
  type TokenSource,
} from "../credentials.ts";
import { EXIT_NOT_ALLOWED, EXIT_OK, toMicError, usageError } from "../errors.ts";
import type { Invocation } from "../invocation.ts";
import { isPrivateOrigin } from "../server-url.ts";
import { escapeLine, padEnd } from "../text.ts";

export const define: DefineCommand = (command, bind) => {
  command
    .command("login")
    .description("store a token for a server, after trying it")
    .option("--token <token>", "the token; `-` reads it from stdin, out of sight of other users")
    .action(bind(login));
  command.command("status").description("which servers you are signed in to").action(bind(status));
  command.command("logout").description("forget a server's token").action(bind(logout));
  command.addHelpText(
    "after",
    examples(
      "mic auth login --server http://127.0.0.1:7420 --token mic_…",
      "mic auth login --server https://forge.example.org --token - < token.txt",
      "mic auth status",
    ),
  );
};

const TOKEN_BYTES_MAX = 8192;

async function login(invocation: Invocation, options: { readonly token?: string }): Promise<void> {
  const { world, output, config } = invocation;
  const origin = await requireServer(invocation);
  const token = await readToken(invocation, options.token);
  if (!isPrivateOrigin(origin)) output.warn(`${origin} is not encrypted: the token can be read on the way`);
  await tryToken(invocation, origin, token);
  storeCredential(world, { origin, token });
  const isDefault = config["server.default"] === undefined;
  if (isDefault) storeConfigValue(configPath(world), "server.default", origin);
  output.answer({ server: origin, default: isDefault }, () => {
    const remark = isDefault ? "; it is now the default server" : "";
    return `signed in to ${escapeLine(origin)}${remark}`;
  });
  if (world.env["MIC_TOKEN"]) output.hint("MIC_TOKEN is set, and wins over what is stored");
}

interface ServerStatus {
  readonly server: string;
  readonly source: TokenSource | null;
  /** Null where the server could not be asked. */
  readonly valid: boolean | null;
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

function describe({ source, valid, problem }: ServerStatus): string {
  if (source === null) return "not signed in";
  const from = source === "MIC_TOKEN" ? " (MIC_TOKEN)" : "";
  if (valid === true) return `signed in${from}`;
  return valid === false ? `the token is not valid${from}` : `cannot be asked: ${escapeLine(problem ?? "")}`;
}

async function checkServer(invocation: Invocation, server: string): Promise<ServerStatus> {
  const found = await invocation.findToken(server);
  if (found === undefined) return { server, source: null, valid: false };
  const { token, source } = found;
  try {
    await tryToken(invocation, server, token);
    return { server, source, valid: true };
  } catch (error) {
    if (isMicError(error, "unauthenticated")) return { server, source, valid: false };
    return { server, source, valid: null, problem: toMicError(error).message };
  }
}

async function logout(invocation: Invocation): Promise<void> {
  const { world, output } = invocation;
  const origin = await requireServer(invocation);
  if (!removeCredential(world, origin)) {
    throw new MicError("not-found", `no token is stored for ${origin}`, { hint: "see `mic auth status`" });
  }
  output.answer({ server: origin }, () => `signed out of ${escapeLine(origin)}`);
}

/** `--server`, MIC_SERVER, the default, or the only one that is known. */
async function requireServer(invocation: Invocation): Promise<string> {
  const chosen = await invocation.serverOrigin();
  if (chosen !== undefined) return chosen;
  const known = listCredentials(invocation.world);
  if (known.length === 1) return known[0]!;
  throw usageError("which server?", "give --server URL");
}

async function readToken(invocation: Invocation, option: string | undefined): Promise<string> {
  if (option !== undefined && option !== "-") return checkToken(option, "--token");
  if (option === undefined && invocation.world.stdinIsTty) {
    throw usageError("which token?", "give --token TOKEN, or --token - and the token on stdin");
  }
  const bytes = await invocation.world.readStdin(TOKEN_BYTES_MAX);
  return checkToken(Buffer.from(bytes).toString("latin1").trim(), "what is on stdin");
}

/** Errors: `unauthenticated`, `unreachable`. */
async function tryToken(invocation: Invocation, origin: string, token: string): Promise<void> {
  await using forge = await invocation.openRemote(origin, token);
  await forge.listProjects({ limit: 1 }, { signal: invocation.signal });
}
