/** The waiting side of a sign-in by device, against the server's own endpoints; time passes only while it waits. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { signInByDevice } from "../../src/cli/oauth/device-sign-in.ts";
import { makeStyle } from "../../src/cli/style.ts";
import { systemClock } from "../../src/core/base/system.ts";
import { AuthServer, Visitor } from "../support/auth-server.ts";
import { restOf } from "../support/signed-in.ts";

let server: AuthServer;
let shown: string;
let waits: number[];
beforeEach(async () => {
  server = await AuthServer.start();
  shown = "";
  waits = [];
});
afterEach(() => server[Symbol.asyncDispose]());

/** `meanwhile`: what happens during each wait, from 0. */
function signIn(meanwhile: (wait: number) => Promise<void> | void, passes = (ms: number) => ms) {
  return signInByDevice(restOf(server.url), {
    scope: "write",
    openBrowser: false,
    clock: {
      nowMs: () => systemClock.nowMs(),
      sleep: async (ms) => {
        await meanwhile(waits.length);
        waits.push(ms);
        await server.pass(passes(ms));
      },
    },
    output: {
      tell: (text: string) => {
        shown += text;
      },
      warn: () => undefined,
      errStyle: makeStyle(false),
    },
    platform: "linux",
    signal: new AbortController().signal,
  });
}

async function decide(decision: "approve" | "deny"): Promise<void> {
  const visitor = new Visitor(server.url);
  await visitor.logIn();
  await visitor.get(`/device?user_code=${/[A-Z]{4}-[A-Z]{4}/.exec(shown)![0]}`);
  await visitor.post("/device", { decision });
}

describe("signInByDevice()", () => {
  test("shows the page and the code, and gets the tokens once they are approved", async () => {
    const issued = await signIn((wait) => (wait === 2 ? decide("approve") : undefined));
    expect(shown).toContain(`Open ${server.url}/device in a browser`);
    expect(waits).toEqual([5000, 5000, 5000]);
    expect(issued).toMatchObject({ scope: "write", expiresInSeconds: 3600 });
    expect(server.accounts.authenticate(issued.token).account).toBe("alice");
  });

  test("asks more slowly when the server says so", async () => {
    // One answer took long and the next poll none: to the server, the device is too fast.
    await signIn(
      (wait) => (wait === 4 ? decide("approve") : undefined),
      (ms) => (waits.length === 2 ? 1000 : ms),
    );
    expect(waits).toEqual([5000, 5000, 10_000, 10_000, 10_000]);
  });

  test("says that it was denied", async () => {
    await expect(signIn(() => decide("deny"))).rejects.toMatchObject({
      code: "unauthenticated",
      message: "the sign-in was denied in the browser",
    });
  });

  test("gives up when the code has expired", async () => {
    await expect(signIn((wait) => (wait === 1 ? server.pass(600_000) : undefined))).rejects.toMatchObject({
      code: "unauthenticated",
      message: "the code expired before anybody approved it",
      hint: `get another one: mic auth login --server ${server.url}`,
    });
    expect(waits).toHaveLength(2);
  });

  test("goes on when the server cannot be reached for a while", async () => {
    let isDown = false;
    const proxy = createServer(async (request, response) => {
      if (isDown) return void request.socket.destroy();
      const parts: Uint8Array[] = [];
      for await (const part of request) parts.push(part as Uint8Array);
      const answer = await fetch(server.url + request.url, {
        method: request.method!,
        headers: { "content-type": request.headers["content-type"] ?? "text/plain" },
        ...(request.method === "POST" ? { body: Buffer.concat(parts) } : {}),
      });
      const text = (await answer.text()).replaceAll(server.url, url);
      response.writeHead(answer.status, { "content-type": "application/json" }).end(text);
    });
    await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
    const url = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
    try {
      const issued = await signInByDevice(restOf(url), {
        scope: "read",
        openBrowser: false,
        clock: {
          nowMs: () => systemClock.nowMs(),
          sleep: async (ms) => {
            waits.push(ms);
            isDown = waits.length === 2;
            if (waits.length === 3) await decide("approve");
            await server.pass(ms);
          },
        },
        output: {
          tell: (text) => {
            shown += text;
          },
          warn: () => undefined,
          errStyle: makeStyle(false),
        },
        platform: "linux",
        signal: new AbortController().signal,
      });
      expect(issued.scope).toBe("read");
      expect(waits).toEqual([5000, 5000, 10_000]);
    } finally {
      proxy.closeAllConnections();
      proxy.close();
    }
  });

  test("is refused by a server that has no such sign-in", async () => {
    const other = createServer((_request, response) => void response.writeHead(404).end());
    await new Promise<void>((resolve) => other.listen(0, "127.0.0.1", resolve));
    const url = `http://127.0.0.1:${(other.address() as AddressInfo).port}`;
    await expect(
      signInByDevice(restOf(url), {
        scope: "read",
        openBrowser: false,
        clock: systemClock,
        output: { tell: () => undefined, warn: () => undefined, errStyle: makeStyle(false) },
        platform: "linux",
        signal: new AbortController().signal,
      }),
    ).rejects.toMatchObject({ code: "unsupported", hint: expect.stringContaining("--token") });
    other.close();
  });
});
