/** Which token a server is sent, if any. */
import type { Clock } from "../core/base/clock.ts";
import { fixedToken, type TokenSource } from "../core/remote/channel.ts";
import type { RestClient } from "../core/remote/rest-client.ts";
import { checkToken, readCredential, type TokenOrigin } from "./credentials.ts";
import { usageError } from "./errors.ts";
import type { CommandLineWorld } from "./world.ts";

export interface FoundToken {
  readonly token: TokenSource;
  readonly source: TokenOrigin;
}

export interface TokenSearch {
  readonly world: Pick<CommandLineWorld, "cwd" | "env" | "platform">;
  /** The server that MIC_TOKEN is for; undefined where nothing says so. */
  meant(): Promise<string | undefined>;
  readonly rest: () => Promise<RestClient>;
  readonly clock: Clock;
  readonly timeoutMs: number;
  readonly warn: (message: string) => void;
}

/**
 * MIC_TOKEN for the one server that it is meant for; for any other what `mic auth login` stored. An address in a
 * workspace or on the command line does not make MIC_TOKEN its token: whoever can write one could have it sent to
 * them (docs/adr/0126-a-token-has-one-server.md). Errors: `usage` when nothing says which server MIC_TOKEN is for,
 * and the sign-in does not know this one.
 */
export async function tokenForServer(origin: string, search: TokenSearch): Promise<FoundToken | undefined> {
  const { world } = search;
  const given = world.env["MIC_TOKEN"]?.trim() ?? "";
  const meant = given === "" ? undefined : await search.meant();
  if (given !== "" && meant === origin) {
    return { token: fixedToken(checkToken(given, "MIC_TOKEN")), source: "MIC_TOKEN" };
  }
  const credential = readCredential(world, origin);
  if (credential === undefined) {
    if (given !== "" && meant === undefined) {
      throw usageError(
        "MIC_TOKEN is set, and nothing says which server it is for",
        `if it is for ${origin}, set MIC_SERVER=${origin} too; else unset it`,
      );
    }
    if (given !== "") search.warn(`MIC_TOKEN is for ${meant}, and is not sent to ${origin}`);
    return undefined;
  }
  // Loaded here: most tokens that scripts use are never renewed.
  if (credential.refreshToken === undefined) return { token: fixedToken(credential.token), source: "login" };
  const { SignedInToken } = await import("./oauth/signed-in-token.ts");
  const { clock, timeoutMs, warn, rest } = search;
  const token = new SignedInToken({ world, credential, rest, clock, timeoutMs, warn });
  return { token, source: "login" };
}
