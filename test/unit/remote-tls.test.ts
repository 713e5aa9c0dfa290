import { readFileSync } from "node:fs";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { ProjectId } from "../../src/core/base/ids.ts";
import { systemClock, systemRandom } from "../../src/core/base/system.ts";
import { openRemoteForge, type RemoteForgeOptions } from "../../src/core/remote/remote-forge.ts";

const tls = (name: string): string =>
  readFileSync(new URL(`../support/tls/${name}`, import.meta.url), "utf8");

let server: Server;
let port: number;
/** Requests that arrived. */
let requests: (string | undefined)[];

beforeAll(async () => {
  server = createServer({ cert: tls("cert.pem"), key: tls("key.pem") }, (request, response) => {
    requests.push(request.headers.authorization);
    response.writeHead(401, { "content-type": "application/problem+json" });
    response.end(JSON.stringify({ detail: "who are you?" }));
  });
  await new Promise<void>((resolve) => server.listen(0, resolve));
  port = (server.address() as AddressInfo).port;
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});

async function ask(host: string, options: Partial<RemoteForgeOptions> = {}): Promise<unknown> {
  requests = [];
  await using forge = await openRemoteForge(`${host}:${port}`, {
    token: "secret",
    clock: systemClock,
    random: systemRandom,
    ...options,
  });
  return await forge.getHead("ab".repeat(16) as ProjectId).catch((error: unknown) => error);
}

test("a certificate that nobody trusts ends the call before anything is sent, and at once", async () => {
  const began = performance.now();
  expect(await ask("https://localhost")).toMatchObject({
    code: "unreachable",
    message: expect.stringContaining(`the certificate of localhost:${port} is not trusted`),
  });
  expect(requests).toEqual([]);
  expect(performance.now() - began).toBeLessThan(10_000);
});

test("a certificate that is passed in is trusted", async () => {
  expect(await ask("https://localhost", { ca: tls("cert.pem") })).toMatchObject({
    code: "unauthenticated",
    message: "who are you?",
  });
  expect(requests).toEqual(["Bearer secret"]);
});

test("plain HTTP at a port with TLS, and the reverse, are said", async () => {
  expect(await ask("http://localhost")).toMatchObject({
    code: expect.stringMatching(/^(?:unreachable|corrupt)$/),
  });
  expect(requests).toEqual([]);
});
