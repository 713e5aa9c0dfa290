/** A store behind a proxy that the environment names: its host has no address anywhere else. */
import { readFileSync } from "node:fs";
import { createServer, request as httpRequest, type IncomingMessage, type Server } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import { type AddressInfo, connect } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import { utf8 } from "../../src/core/base/bytes.ts";
import { systemClock } from "../../src/core/base/system.ts";
import { askService } from "../../src/core/store/s3/credentials/request.ts";
import { openS3Store } from "../../src/core/store/s3/open.ts";
import { isNeverProxied, type ProxySettings, readProxySettings } from "../../src/core/store/s3/proxy.ts";
import { UndiciTransport } from "../../src/core/store/s3/transport-undici.ts";
import { S3Server } from "../support/s3-server.ts";

const open: AsyncDisposable[] = [];
afterEach(async () => {
  for (const thing of open.splice(0).reverse()) await thing[Symbol.asyncDispose]();
});

async function listen(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  open.push({
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
    },
  });
  return (server.address() as AddressInfo).port;
}

/** Takes every host for one port of this machine. */
async function startProxy(port: number): Promise<{ readonly url: string; readonly asked: string[] }> {
  const asked: string[] = [];
  const note = (incoming: IncomingMessage): void => {
    const target = incoming.url!.startsWith("http") ? new URL(incoming.url!).host : incoming.url!;
    asked.push(`${incoming.method} ${target} ${incoming.headers["proxy-authorization"] ?? ""}`.trim());
  };
  const server = createServer((incoming, outgoing) => {
    note(incoming);
    const { pathname, search } = new URL(incoming.url!);
    const { method, headers } = incoming;
    const passed = httpRequest(
      { host: "127.0.0.1", port, method, path: pathname + search, headers },
      (answer) => {
        outgoing.writeHead(answer.statusCode!, answer.headers);
        answer.pipe(outgoing);
      },
    );
    passed.on("error", () => outgoing.destroy());
    incoming.pipe(passed);
  });
  server.on("connect", (incoming, socket) => {
    note(incoming);
    const passed = connect(port, "127.0.0.1", () => {
      socket.write("HTTP/1.1 200 OK\r\n\r\n");
      passed.pipe(socket).pipe(passed);
    });
    passed.on("error", () => socket.destroy());
    socket.on("error", () => passed.destroy());
  });
  return { url: `http://ada:pw@127.0.0.1:${await listen(server)}`, asked };
}

const settings = (change: Partial<ProxySettings>): ProxySettings => ({
  http: "",
  https: "",
  except: "",
  ...change,
});
const AUTHORIZATION = `Basic ${Buffer.from("ada:pw").toString("base64")}`;

describe("a server's store", () => {
  test("over http is asked for through HTTP_PROXY, with signatures that hold, and swapped once", async () => {
    await using s3 = await S3Server.start();
    const proxy = await startProxy(Number(new URL(s3.endpoint).port));
    const endpoint = "http://store.test";
    const change = { transport: "undici", endpoint, proxy: settings({ http: proxy.url }) } as const;
    await using store = await openS3Store(s3.options(change));
    const outcome = await store.commit([{ key: "a", bytes: utf8("x") }], {
      key: "head",
      expected: null,
      bytes: utf8("one"),
    });
    expect(outcome.kind).toBe("committed");
    expect(await store.get("head")).toMatchObject({ bytes: utf8("one") });
    s3.misbehave({ kind: "lose-answer" });
    const etag = outcome.kind === "committed" ? outcome.etag : null;
    expect(await store.commit([], { key: "head", expected: etag, bytes: utf8("two") })).toMatchObject({
      kind: "unknown",
    });
    expect(proxy.asked).toEqual(
      ["PUT", "PUT", "GET", "PUT"].map((method) => `${method} store.test ${AUTHORIZATION}`),
    );
    expect(s3.requests).toHaveLength(4);
  });

  test("over https is asked for through a tunnel of HTTPS_PROXY, and its certificate is checked", async () => {
    const pem = (name: string) => readFileSync(new URL(`../support/tls/${name}`, import.meta.url), "utf8");
    const keys = { cert: pem("store-cert.pem"), key: pem("store-key.pem") };
    const https = createHttpsServer(keys, (incoming, response) => response.end(incoming.url));
    const proxy = await startProxy(await listen(https as unknown as Server));
    const ask = async (host: string, certificates: string) => {
      await using transport = new UndiciTransport(systemClock, certificates, settings({ https: proxy.url }));
      const { status, body } = await transport.send({
        method: "GET",
        origin: `https://${host}`,
        path: "/b/k",
        headers: {},
        once: false,
        timeoutMs: 5_000,
        answerBytesMax: 100,
      });
      return [status, new TextDecoder().decode(body)];
    };
    expect(await ask("store.test", keys.cert)).toEqual([200, "/b/k"]);
    expect(new Set(proxy.asked)).toEqual(new Set([`CONNECT store.test:443 ${AUTHORIZATION}`]));
    await expect(ask("other.test", keys.cert)).rejects.toMatchObject({ reason: "tls", mayBeSent: false });
    await expect(ask("store.test", pem("cert.pem"))).rejects.toMatchObject({
      reason: "tls",
      mayBeSent: false,
    });
  });

  test("is reached directly where NO_PROXY, its scheme or this machine says so", async () => {
    await using s3 = await S3Server.start();
    const proxy = await startProxy(Number(new URL(s3.endpoint).port));
    for (const [endpoint, change] of [
      [s3.endpoint, { http: proxy.url }],
      [s3.endpoint.replace("127.0.0.1", "localhost"), { http: proxy.url }],
    ] as const) {
      await using store = await openS3Store(
        s3.options({ transport: "undici", endpoint, proxy: settings(change) }),
      );
      await store.put("a", utf8("x"));
    }
    for (const change of [{ http: proxy.url, except: "other,store.test" }, { https: proxy.url }]) {
      await using store = await openS3Store(
        s3.options({ transport: "undici", endpoint: "http://store.test", proxy: settings(change) }),
      );
      await expect(store.get("a")).rejects.toMatchObject({
        message: expect.stringContaining("no connection"),
      });
    }
    expect(proxy.asked).toEqual([]);
  });
});

test("readProxySettings() takes the variables of other programs, the lower case first", () => {
  expect(readProxySettings({})).toBeUndefined();
  expect(readProxySettings({ NO_PROXY: "a", HTTP_PROXY: "" })).toBeUndefined();
  expect(readProxySettings({ HTTP_PROXY: "http://a:1", http_proxy: "b:2", NO_PROXY: "c,d" })).toEqual(
    settings({ http: "http://b:2", except: "c,d" }),
  );
  expect(readProxySettings({ HTTPS_PROXY: "https://u:p@a" })).toEqual(settings({ https: "https://u:p@a" }));
  expect(() => readProxySettings({ https_proxy: "socks5://a:1" })).toThrow(
    expect.objectContaining({ code: "usage", message: expect.stringMatching(/^https_proxy/) }),
  );
});

test("isNeverProxied() keeps what tells a machine who it is, and the machine itself, from any proxy", async () => {
  for (const url of [
    "http://169.254.169.254/latest",
    "http://[fd00:ec2::254]",
    "http://169.254.170.2",
    "http://127.0.0.1:9000",
    "http://localhost",
    "https://[::1]:1",
  ]) {
    expect([url, isNeverProxied(url)]).toEqual([url, true]);
  }
  for (const url of ["http://169.254.example", "https://localhost.example", "http://10.0.0.1"]) {
    expect([url, isNeverProxied(url)]).toEqual([url, false]);
  }
  await using s3 = await S3Server.start();
  const proxy = await startProxy(Number(new URL(s3.endpoint).port));
  process.env["http_proxy"] = proxy.url;
  try {
    expect(await askService({ url: s3.endpoint, timeoutMs: 5_000 }, systemClock)).toMatchObject({
      status: 403,
    });
    expect(proxy.asked).toEqual([]);
    // The runtime would have gone through it.
    await (await fetch(s3.endpoint)).arrayBuffer();
    expect(proxy.asked).toHaveLength(1);
  } finally {
    delete process.env["http_proxy"];
  }
});
