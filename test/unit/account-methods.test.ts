import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Client, credentials, Metadata, type ServiceError, status } from "@grpc/grpc-js";
import { afterAll, beforeAll, expect, test } from "vitest";
import { bytesToHex } from "../../src/core/base/bytes.ts";
import { systemClock, systemRandom } from "../../src/core/base/system.ts";
import { AccountServiceDefinition, Scope } from "../../src/core/wire/gen/mic/v1/accounts.ts";
import { type RunningServer, startServer } from "../../src/server/serve.ts";

const OWNER = "token-of-the-account-methods";
const { methods, fullName } = AccountServiceDefinition;
type Methods = typeof methods;
type RequestOf<Name extends keyof Methods> = Parameters<Methods[Name]["requestType"]["encode"]>[0];
type ResponseOf<Name extends keyof Methods> = ReturnType<Methods[Name]["responseType"]["decode"]>;

let directory: string;
let server: RunningServer;
let client: Client;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), "mic-account-methods-"));
  server = await startServer({
    flags: { data: directory, listen: "127.0.0.1:0" },
    world: { env: { MIC_OWNER_TOKEN: OWNER }, platform: "linux", isRoot: false, cwd: directory },
    clock: systemClock,
    random: systemRandom,
    version: "0.0.0-test",
    logFormat: "json",
    writeLog: () => undefined,
  });
  client = new Client(new URL(server.url).host, credentials.createInsecure());
});
afterAll(async () => {
  client.close();
  await server[Symbol.asyncDispose]();
  rmSync(directory, { recursive: true });
});

function call<Name extends keyof Methods>(
  name: Name,
  request: RequestOf<Name>,
  token: string,
): Promise<ResponseOf<Name>> {
  const method = methods[name];
  const metadata = new Metadata();
  metadata.set("authorization", `Bearer ${token}`);
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

const codeOf = async (work: Promise<unknown>): Promise<number> => {
  const failure = await work.then(
    () => undefined,
    (error: ServiceError) => error,
  );
  return failure?.code ?? status.OK;
};
const wanted = { name: "ci", scope: Scope.READ, project: "", expiresAtMs: 0n };

test("WhoAmI names the user, and the token that the server was given", async () => {
  const account = await call("whoAmI", {}, OWNER);
  expect(account).toMatchObject({ name: "owner", isSiteAdmin: true });
  expect(account.token).toMatchObject({ name: "MIC_OWNER_TOKEN", scope: Scope.ADMIN });
  expect(account.token?.id).toHaveLength(0);
});

test("a token is made, listed, used and revoked, and the audit log knows from where", async () => {
  const expiresAtMs = BigInt(Date.now() + 60_000);
  const { token, secret } = await call("createToken", { ...wanted, expiresAtMs }, OWNER);
  expect(secret).toMatch(/^mic_/);
  expect((await call("whoAmI", {}, secret)).token).toMatchObject({
    name: "ci",
    scope: Scope.READ,
    expiresAtMs,
  });
  const listed = await call("listTokens", {}, OWNER);
  expect(listed.tokens.map(({ name }) => name)).toContain("ci");
  expect(await codeOf(call("listTokens", {}, secret))).toBe(status.PERMISSION_DENIED);
  expect(await codeOf(call("createToken", wanted, secret))).toBe(status.PERMISSION_DENIED);
  await call("revokeToken", { id: token!.id }, OWNER);
  expect(await codeOf(call("whoAmI", {}, secret))).toBe(status.UNAUTHENTICATED);
  expect(await codeOf(call("revokeToken", { id: token!.id }, OWNER))).toBe(status.NOT_FOUND);
  const response = await fetch(`${server.url}/api/mic/audit?target=token:${bytesToHex(token!.id)}`, {
    headers: { authorization: `Bearer ${OWNER}` },
  });
  const { items } = (await response.json()) as { items: object[] };
  expect(items).toMatchObject([
    { action: "token.revoked", account: "owner", address: "127.0.0.1" },
    {
      action: "token.created",
      account: "owner",
      address: "127.0.0.1",
      detail: { name: "ci", scope: "read" },
    },
  ]);
});

test("what is not valid is refused", async () => {
  expect(await codeOf(call("createToken", { ...wanted, name: "" }, OWNER))).toBe(status.INVALID_ARGUMENT);
  expect(await codeOf(call("createToken", { ...wanted, scope: 9 as Scope }, OWNER))).toBe(
    status.INVALID_ARGUMENT,
  );
  expect(await codeOf(call("createToken", { ...wanted, expiresAtMs: 1n }, OWNER))).toBe(
    status.INVALID_ARGUMENT,
  );
  expect(await codeOf(call("createToken", { ...wanted, project: "no/such" }, OWNER))).toBe(status.NOT_FOUND);
  expect(await codeOf(call("revokeToken", { id: Buffer.alloc(3) }, OWNER))).toBe(status.INVALID_ARGUMENT);
});
