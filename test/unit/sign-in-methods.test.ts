import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Client, credentials, Metadata, type ServiceError } from "@grpc/grpc-js";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { MicError } from "../../src/core/base/errors.ts";
import { systemClock, systemRandom } from "../../src/core/base/system.ts";
import { AccountServiceDefinition, Scope } from "../../src/core/wire/gen/mic/v1/accounts.ts";
import { decodeStatus } from "../../src/core/wire/status.ts";
import { type RunningServer, startServer } from "../../src/server/serve.ts";
import { PASSWORD, Visitor } from "../support/auth-server.ts";
import { cheapPasswords } from "../support/cheap-passwords.ts";

const OWNER = "token-of-the-sign-in-methods";
const { methods, fullName } = AccountServiceDefinition;
type Methods = typeof methods;
type RequestOf<Name extends keyof Methods> = Parameters<Methods[Name]["requestType"]["encode"]>[0];
type ResponseOf<Name extends keyof Methods> = ReturnType<Methods[Name]["responseType"]["decode"]>;

let directory: string;
let server: RunningServer;
let client: Client;
let alice: Visitor;
let addresses = 0;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), "mic-sign-in-methods-"));
  server = await startServer({
    flags: { data: directory, listen: "127.0.0.1:0", trustedProxy: "127.0.0.1" },
    world: { env: { MIC_OWNER_TOKEN: OWNER }, platform: "linux", isRoot: false, cwd: directory },
    clock: systemClock,
    random: systemRandom,
    version: "0.0.0-test",
    logFormat: "json",
    writeLog: () => undefined,
    passwords: cheapPasswords(),
  });
  client = new Client(new URL(server.url).host, credentials.createInsecure());
  await fetch(`${server.url}/api/mic/users`, {
    method: "POST",
    headers: { authorization: `Bearer ${OWNER}`, "content-type": "application/json" },
    body: JSON.stringify({ name: "alice", password: PASSWORD }),
  });
  alice = new Visitor(server.url);
  await alice.logIn();
});
afterAll(async () => {
  client.close();
  await server[Symbol.asyncDispose]();
  rmSync(directory, { recursive: true });
});

/** `token`: by default one that is not valid, as whoever refreshes has. */
function call<Name extends keyof Methods>(
  name: Name,
  request: RequestOf<Name>,
  { token = "mic_expired", address = `203.0.113.${++addresses}` } = {},
): Promise<ResponseOf<Name>> {
  const method = methods[name];
  const metadata = new Metadata();
  metadata.set("authorization", `Bearer ${token}`);
  metadata.set("x-forwarded-for", address);
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest(
      `/${fullName}/${method.name}`,
      (message: RequestOf<Name>) => Buffer.from(method.requestType.encode(message as never).finish()),
      (bytes: Buffer) => method.responseType.decode(bytes) as ResponseOf<Name>,
      request,
      metadata,
      (error: ServiceError | null, response) => (error === null ? resolve(response!) : reject(error)),
    );
  });
}

async function errorOf(work: Promise<unknown>): Promise<MicError> {
  const error = await work.then(
    () => undefined,
    (failure: ServiceError) => failure,
  );
  const details = error!.metadata.get("grpc-status-details-bin")[0] as Buffer;
  return decodeStatus({ code: error!.code, message: error!.details, details }) as MicError;
}

const start = () => call("startDeviceFlow", { clientId: "mic-cli", scope: "read write" });
const poll = (deviceCode: string) => call("pollDeviceFlow", { clientId: "mic-cli", deviceCode });

async function decide(userCode: string, decision: "approve" | "deny"): Promise<void> {
  await alice.get(`/device?user_code=${userCode}`);
  expect((await alice.post("/device", { decision })).status).toBe(200);
}

test("a device signs in, refreshes its tokens and signs out", async () => {
  const device = await start();
  expect(device).toMatchObject({
    verificationUri: `${server.url}/device`,
    verificationUriComplete: `${server.url}/device?user_code=${device.userCode}`,
    expiresInSeconds: 600,
    intervalSeconds: 5,
  });
  await decide(device.userCode, "approve");
  const { state } = await poll(device.deviceCode);
  const { tokens } = state as Extract<typeof state, { $case: "tokens" }>;
  expect(tokens).toMatchObject({
    accessToken: expect.stringMatching(/^mic_/),
    refreshToken: expect.stringMatching(/^micr_/),
    expiresInSeconds: 3600,
    scope: Scope.WRITE,
  });
  expect(await call("whoAmI", {}, { token: tokens.accessToken })).toMatchObject({ name: "alice" });
  const { refreshToken } = tokens;
  const refreshed = await call("refreshToken", { clientId: "mic-cli", refreshToken, scope: "read" });
  expect(refreshed.scope).toBe(Scope.READ);
  expect(await call("whoAmI", {}, { token: refreshed.accessToken })).toMatchObject({ name: "alice" });
  await call("revokeSignIn", { clientId: "mic-cli", token: refreshed.refreshToken });
  const ended = call("whoAmI", {}, { token: refreshed.accessToken });
  expect(await errorOf(ended)).toMatchObject({ code: "unauthenticated" });
  const again = call("refreshToken", {
    clientId: "mic-cli",
    refreshToken: refreshed.refreshToken,
    scope: "",
  });
  expect(await errorOf(again)).toMatchObject({ code: "unauthenticated", data: { oauth: "invalid_grant" } });
  const response = await fetch(`${server.url}/api/mic/audit?account=alice&action=token.`, {
    headers: { authorization: `Bearer ${OWNER}` },
  });
  const { items } = (await response.json()) as { items: object[] };
  expect(items).toMatchObject([
    { action: "token.revoked", address: expect.stringMatching(/^203\.0\.113\./) },
    { action: "token.issued", detail: { client: "mic-cli", grant: "refresh", scope: "read" } },
    { action: "token.issued", detail: { client: "mic-cli", grant: "device", scope: "write" } },
  ]);
});

test("a device that nobody has approved waits, and longer where it asks too often", async () => {
  const { deviceCode, userCode } = await start();
  expect((await poll(deviceCode)).state).toEqual({ $case: "pending", pending: { intervalSeconds: 5 } });
  expect((await poll(deviceCode)).state).toEqual({ $case: "pending", pending: { intervalSeconds: 10 } });
  await decide(userCode, "deny");
  const denied = await errorOf(poll(deviceCode));
  expect(denied).toMatchObject({ code: "forbidden", data: { oauth: "access_denied" } });
});

test("errors have mic's codes, with those of OAuth beside them", async () => {
  const started = (clientId: string, scope = "") => errorOf(call("startDeviceFlow", { clientId, scope }));
  expect(await started("nobody")).toMatchObject({ code: "not-found", data: { oauth: "invalid_client" } });
  expect(await started("")).toMatchObject({ code: "usage", data: { oauth: "invalid_request" } });
  expect(await started("mic-cli", "all")).toMatchObject({ code: "usage", data: { oauth: "invalid_scope" } });
  expect(await errorOf(poll("micd_wrong"))).toMatchObject({
    code: "unauthenticated",
    data: { oauth: "invalid_grant" },
  });
});

test("devices that are started over gRPC and over HTTP count together", async () => {
  const address = "198.51.100.9";
  const overHttp = () =>
    fetch(`${server.url}/oauth/device`, {
      method: "POST",
      headers: { "x-forwarded-for": address },
      body: new URLSearchParams({ client_id: "mic-cli" }),
    });
  for (let i = 0; i < 10; i++) {
    expect((await overHttp()).status).toBe(200);
    await call("startDeviceFlow", { clientId: "mic-cli", scope: "" }, { address });
  }
  const refused = call("startDeviceFlow", { clientId: "mic-cli", scope: "" }, { address });
  expect(await errorOf(refused)).toMatchObject({ code: "rate-limited" });
  expect((await overHttp()).status).toBe(429);
});
