/** A sign-in of mic's own client at an `AuthServer`, made as a browser would have made it. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { storeCredential } from "../../src/cli/credentials.ts";
import { exchangeDeviceCode, type IssuedTokens } from "../../src/cli/oauth/token-endpoint.ts";
import { systemClock } from "../../src/core/base/system.ts";
import { RestClient } from "../../src/core/remote/rest-client.ts";
import { type AuthServer, Visitor } from "./auth-server.ts";

/** A configuration directory of its own. */
export class Home implements Disposable {
  readonly directory = mkdtempSync(path.join(tmpdir(), "mic-home-"));
  readonly world = {
    cwd: () => this.directory,
    env: { MIC_HOME: this.directory },
    platform: process.platform,
  };

  [Symbol.dispose](): void {
    rmSync(this.directory, { recursive: true, force: true });
  }
}

export function restOf(origin: string, timeoutMs = 5000): RestClient {
  return new RestClient({ origin, ca: undefined, agent: "mic/test", clock: systemClock, timeoutMs });
}

/** The tokens of a device that alice approved. */
export async function signIn(server: AuthServer, scope = "write"): Promise<IssuedTokens> {
  const visitor = new Visitor(server.url);
  await visitor.logIn();
  const { body } = await server.post("/oauth/device", { client_id: "mic-cli", scope });
  await visitor.get(`/device?user_code=${body["user_code"]}`);
  await visitor.post("/device", { decision: "approve" });
  return await exchangeDeviceCode(
    restOf(server.url),
    String(body["device_code"]),
    new AbortController().signal,
  );
}

/** As `mic auth login` keeps it. */
export function keep(home: Home, origin: string, issued: IssuedTokens, expiresAtMs: number): void {
  storeCredential(home.world, {
    origin,
    token: issued.token,
    refreshToken: issued.refreshToken!,
    expiresAt: new Date(expiresAtMs).toISOString(),
    scope: "write",
    account: { name: "alice" },
  });
}
