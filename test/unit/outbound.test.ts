import { readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type RequestListener, type Server } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { systemClock } from "../../src/core/base/system.ts";
import { isPublicAddress } from "../../src/server/network/addresses.ts";
import {
  createOutbound,
  isAllowEntry,
  type OutboundOptions,
  parseOutboundUrl,
} from "../../src/server/network/outbound.ts";

const tls = (name: string): string =>
  readFileSync(new URL(`../support/tls/${name}`, import.meta.url), "utf8");

let plain: Server;
let secure: Server;
let port: number;
let tlsPort: number;
const reached: IncomingMessage[] = [];
let answer: RequestListener;

const listener: RequestListener = (request, response) => {
  reached.push(request);
  answer(request, response);
};

beforeAll(async () => {
  plain = createServer(listener);
  secure = createTlsServer({ cert: tls("cert.pem"), key: tls("key.pem") }, listener);
  for (const server of [plain, secure]) {
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  }
  port = (plain.address() as AddressInfo).port;
  tlsPort = (secure.address() as AddressInfo).port;
});
afterAll(() => {
  for (const server of [plain, secure]) {
    server.closeAllConnections();
    server.close();
  }
});
beforeEach(() => {
  reached.length = 0;
  answer = (_request, response) => response.end("inside");
});

const guard = (options: Partial<OutboundOptions> = {}) => createOutbound({ clock: systemClock, ...options });

describe("fetch() refuses, without connecting,", () => {
  const hosts = [
    "127.0.0.1",
    "localhost",
    "localhost.",
    "0",
    "0.0.0.0",
    "2130706433",
    "0x7f000001",
    "0x7f.1",
    "0177.0.0.1",
    "127.1",
    "127.0.0.1.",
    "①②⑦.⓪.⓪.①",
    "%31%32%37.0.0.1",
    "[::1]",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[64:ff9b::a9fe:a9fe]",
    "[2002:7f00:1::]",
  ];
  test.each(hosts)("the host %s", async (host) => {
    const url = `http://${host}:${port}/`;
    await expect(guard().fetch(url)).rejects.toMatchObject({ code: "forbidden" });
    await expect(guard().check(url)).rejects.toMatchObject({ code: "forbidden" });
    expect(reached).toEqual([]);
  });

  test.each([
    "169.254.169.254",
    "[fd00:ec2::254]",
    "168.63.129.16",
    "100.100.100.200",
    "192.0.0.192",
    "10.0.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "[fe80::1]",
    "[fec0::1]",
    "[ff02::1]",
    "[2001::1]",
    "[2001:db8::1]",
    "224.0.0.1",
    "255.255.255.255",
  ])("the address %s", async (host) => {
    await expect(guard().fetch(`http://${host}/`)).rejects.toMatchObject({ code: "forbidden" });
  });

  test("a name that means an inner address, alone or beside a public one", async () => {
    for (const addresses of [
      ["127.0.0.1"],
      ["1.1.1.1", "127.0.0.1"],
      ["::ffff:127.0.0.1"],
      ["fe80::1%lo"],
      ["?"],
    ]) {
      const outbound = guard({ resolve: async () => addresses });
      await expect(outbound.fetch(`http://hook.example:${port}/`)).rejects.toMatchObject({
        code: "forbidden",
      });
    }
    expect(reached).toEqual([]);
  });

  test.each([
    "ftp://example.com/",
    "file:///etc/passwd",
    "gopher://example.com/",
    "unix:/run/x.sock",
    "data:text/plain,x",
    "https://user@example.com/",
    "https://user:secret@example.com/",
    "https://example.com:22/",
    "https://example.com:6667/",
    "https:///",
    "example.com",
    "",
    `https://example.com/${"a".repeat(3000)}`,
  ])("what is no web address: %s", async (url) => {
    await expect(guard().fetch(url)).rejects.toMatchObject({ code: "usage" });
    expect(() => parseOutboundUrl(url)).toThrow(expect.objectContaining({ code: "usage" }));
  });

  test("headers that would make another request of it", async () => {
    const outbound = guard({ allow: ["127.0.0.1"] });
    for (const headers of [
      { Host: "other" },
      { "content-length": "3" },
      { "transfer-encoding": "chunked" },
      { "x-a": "b\r\nx-c: d" },
    ] as Record<string, string>[]) {
      await expect(outbound.fetch(`http://127.0.0.1:${port}/`, { headers })).rejects.toThrow();
    }
    expect(reached).toEqual([]);
  });
});

test("the name is resolved once: the connection goes to the address that was checked", async () => {
  let asked = 0;
  const outbound = guard({
    allow: ["127.0.0.1"],
    // A resolver of the attacker's: its first answer may be asked, the second may not.
    resolve: async () => [asked++ === 0 ? "127.0.0.1" : "127.0.0.2"],
  });
  const { body } = await outbound.fetch(`http://rebind.example:${port}/`);
  expect(String(Buffer.from(body))).toBe("inside");
  expect(asked).toBe(1);
  expect(reached[0]?.headers.host).toBe(`rebind.example:${port}`);
  expect(reached[0]?.socket.localAddress).toBe("127.0.0.1");
  await expect(outbound.fetch(`http://rebind.example:${port}/`)).rejects.toMatchObject({ code: "forbidden" });
});

describe("what the operator allows", () => {
  test.each([
    (at: number) => ["127.0.0.0/8", at],
    (at: number) => ["inner.example", at],
    (at: number) => [`inner.example:${at}`, at],
    (at: number) => ["INNER.example", at],
  ])("%#", async (entry) => {
    const outbound = guard({ allow: [String(entry(port)[0])], resolve: async () => ["127.0.0.1"] });
    expect((await outbound.fetch(`http://inner.example:${port}/`)).status).toBe(200);
  });

  test("is allowed as it is written and no further", async () => {
    const outbound = guard({
      allow: [`inner.example:${port + 1}`, "other.example", "10.0.0.0/8"],
      resolve: async () => ["127.0.0.1"],
    });
    for (const host of [`inner.example:${port}`, `sub.other.example:${port}`, `127.0.0.1:${port}`]) {
      await expect(outbound.fetch(`http://${host}/`)).rejects.toMatchObject({ code: "forbidden" });
    }
  });

  test("must be hosts and ranges", () => {
    for (const entry of ["a.b", "a.b:80", "10.0.0.0/8", "::1", "[::1]:80", "fd00::/8"]) {
      expect([entry, isAllowEntry(entry)]).toEqual([entry, true]);
    }
    for (const entry of ["", "*", "http://a", "a/b", "10.0.0.0/33", "a b", "-", "a:b"]) {
      expect([entry, isAllowEntry(entry)]).toEqual([entry, false]);
      expect(() => guard({ allow: [entry] })).toThrow();
    }
  });
});

describe("redirects", () => {
  const outbound = () =>
    guard({
      allow: ["127.0.0.1"],
      resolve: async (name) => [name === "evil.example" ? "127.0.0.9" : "127.0.0.1"],
    });
  const redirectTo = (location: string, status = 302): void => {
    answer = (request, response) => {
      if (request.url === "/start") response.writeHead(status, { location }).end();
      else response.end("end");
    };
  };

  test("are not followed unless asked", async () => {
    redirectTo("/next");
    expect(await outbound().fetch(`http://a.example:${port}/start`)).toMatchObject({
      status: 302,
      headers: { location: "/next" },
    });
    expect(reached.length).toBe(1);
  });

  test("are never followed by a request that changes something", async () => {
    for (const status of [301, 302, 303, 307, 308]) {
      redirectTo("/next", status);
      const request = { method: "POST", body: "{}", redirectsMax: 5 };
      expect((await outbound().fetch(`http://a.example:${port}/start`, request)).status).toBe(status);
    }
    expect(reached.length).toBe(5);
  });

  test("to localhost, or to a name that means it, are refused", async () => {
    for (const target of [
      `http://localhost:${port}/`,
      `http://evil.example:${port}/`,
      `http://[::1]:${port}/`,
    ]) {
      redirectTo(target);
      const blind = guard({
        allow: ["a.example"],
        resolve: async (name) =>
          name === "a.example" || name === "localhost" ? ["127.0.0.1"] : ["127.0.0.9"],
      });
      const request = { redirectsMax: 5 };
      await expect(blind.fetch(`http://a.example:${port}/start`, request)).rejects.toMatchObject({
        code: "forbidden",
      });
    }
    expect(reached.every(({ url }) => url === "/start")).toBe(true);
  });

  test("to another scheme or with a password are refused", async () => {
    for (const target of ["file:///etc/passwd", "ftp://a.example/", `http://u:p@a.example:${port}/`]) {
      redirectTo(target);
      await expect(
        outbound().fetch(`http://a.example:${port}/start`, { redirectsMax: 5 }),
      ).rejects.toMatchObject({ code: "usage" });
    }
  });

  test("from https to http are refused", async () => {
    redirectTo(`http://localhost:${port}/`);
    const both = guard({ allow: ["localhost"], certificates: [tls("cert.pem")] });
    await expect(both.fetch(`https://localhost:${tlsPort}/start`, { redirectsMax: 1 })).rejects.toMatchObject(
      { code: "forbidden" },
    );
  });

  test("end after as many as were asked for", async () => {
    answer = (_request, response) => response.writeHead(302, { location: "/again" }).end();
    await expect(outbound().fetch(`http://a.example:${port}/`, { redirectsMax: 3 })).rejects.toMatchObject({
      code: "unreachable",
    });
    expect(reached.length).toBe(4);
  });

  test("to another origin carry no credentials, within it they do", async () => {
    const headers = { authorization: "Bearer secret", cookie: "a=b", "x-key": "k", accept: "text/plain" };
    redirectTo("/next");
    await outbound().fetch(`http://a.example:${port}/start`, { headers, redirectsMax: 1 });
    expect(reached[1]?.headers).toMatchObject({ authorization: "Bearer secret", accept: "text/plain" });
    reached.length = 0;
    redirectTo(`http://b.example:${port}/next`);
    const answered = await outbound().fetch(`http://a.example:${port}/start`, { headers, redirectsMax: 1 });
    expect(answered.url).toBe(`http://b.example:${port}/next`);
    expect(reached[1]?.headers).toMatchObject({ accept: "text/plain", host: `b.example:${port}` });
    expect(JSON.stringify(reached[1]?.rawHeaders)).not.toMatch(/secret|cookie|x-key/i);
  });
});

describe("bounds", () => {
  const outbound = () => guard({ allow: ["127.0.0.1"] });

  test("a body that is too long is refused or cut", async () => {
    answer = (_request, response) => response.end("a".repeat(1000));
    const url = `http://127.0.0.1:${port}/`;
    await expect(outbound().fetch(url, { bytesMax: 999 })).rejects.toMatchObject({ code: "too-large" });
    const cut = await outbound().fetch(url, { bytesMax: 999, overflow: "cut" });
    expect([cut.body.length, cut.isCut]).toEqual([999, true]);
    const whole = await outbound().fetch(url, { bytesMax: 1000 });
    expect([whole.body.length, whole.isCut]).toEqual([1000, false]);
  });

  test("a body without an end is not read to it", async () => {
    let closed = 0;
    answer = (_request, response) => {
      const timer = setInterval(() => response.write("a".repeat(64 << 10)), 1);
      response.once("close", () => {
        clearInterval(timer);
        closed++;
      });
    };
    const url = `http://127.0.0.1:${port}/`;
    await expect(outbound().fetch(url)).rejects.toMatchObject({ code: "too-large" });
    await expect.poll(() => closed).toBe(1);
  });

  test("a compressed body is not unpacked", async () => {
    answer = (_request, response) => response.writeHead(200, { "content-encoding": "gzip" }).end("not gzip");
    const { body } = await outbound().fetch(`http://127.0.0.1:${port}/`);
    expect(String(Buffer.from(body))).toBe("not gzip");
    expect(reached[0]?.headers["accept-encoding"]).toBe("identity");
  });

  test("head and body together get one time", async () => {
    answer = (_request, response) => {
      response.write("a");
      const timer = setInterval(() => response.write("a"), 20);
      response.once("close", () => clearInterval(timer));
    };
    const url = `http://127.0.0.1:${port}/`;
    await expect(outbound().fetch(url, { timeoutMs: 150 })).rejects.toMatchObject({ code: "unreachable" });
    answer = () => undefined;
    await expect(outbound().fetch(url, { timeoutMs: 50 })).rejects.toMatchObject({ code: "unreachable" });
  });

  test("so does a resolver that never answers", async () => {
    const stuck = guard({ resolve: () => new Promise(() => undefined) });
    await expect(stuck.fetch("http://a.example/", { timeoutMs: 50 })).rejects.toMatchObject({
      code: "unreachable",
    });
  });

  test("the caller can stop it", async () => {
    answer = () => undefined;
    const stop = new AbortController();
    const asked = outbound().fetch(`http://127.0.0.1:${port}/`, { signal: stop.signal });
    await expect.poll(() => reached.length).toBe(1);
    stop.abort();
    await expect(asked).rejects.toMatchObject({ code: "aborted" });
  });

  test("a head that is too long is refused", async () => {
    answer = (_request, response) => response.writeHead(200, { "x-a": "a".repeat(17 << 10) }).end();
    await expect(outbound().fetch(`http://127.0.0.1:${port}/`)).rejects.toMatchObject({
      code: "unreachable",
    });
  });
});

describe("TLS", () => {
  test("is verified for the name, not for the address", async () => {
    const certificates = [tls("cert.pem")];
    const outbound = guard({ allow: ["127.0.0.1"], certificates, resolve: async () => ["127.0.0.1"] });
    expect((await outbound.fetch(`https://localhost:${tlsPort}/`)).status).toBe(200);
    await expect(outbound.fetch(`https://other.example:${tlsPort}/`)).rejects.toMatchObject({
      code: "unreachable",
    });
    expect(reached.length).toBe(1);
  });

  test("is verified for an address that is asked by itself", async () => {
    const outbound = guard({ allow: ["127.0.0.0/8"], certificates: [tls("cert.pem")] });
    expect((await outbound.fetch(`https://127.0.0.1:${tlsPort}/`)).status).toBe(200);
    await expect(outbound.fetch(`https://127.0.0.2:${tlsPort}/`)).rejects.toMatchObject({
      code: "unreachable",
    });
  });

  test("an unknown issuer is refused", async () => {
    const outbound = guard({ allow: ["127.0.0.1"], resolve: async () => ["127.0.0.1"] });
    await expect(outbound.fetch(`https://localhost:${tlsPort}/`)).rejects.toMatchObject({
      code: "unreachable",
    });
    expect(reached).toEqual([]);
  });
});

test("check() says of a name without an address, and of a resolver that is stuck, what fetch() says", async () => {
  const nobody = guard({
    resolve: async () => {
      throw Object.assign(new Error("no"), { code: "ENOTFOUND" });
    },
  });
  await expect(nobody.check("https://a.example/")).rejects.toMatchObject({
    code: "unreachable",
    message: "a.example: the name cannot be resolved",
  });
  const empty = guard({ resolve: async () => [] });
  await expect(empty.check("https://a.example/")).rejects.toMatchObject({ code: "unreachable" });
  const stuck = guard({ resolve: () => new Promise(() => undefined) });
  const stop = new AbortController();
  const asked = stuck.check("https://a.example/", stop.signal);
  stop.abort();
  await expect(asked).rejects.toMatchObject({ code: "aborted" });
});

test("failures name the host and never an address", async () => {
  const outbound = guard({ allow: ["a.example"], resolve: async () => ["127.0.0.1"] });
  const errors = await Promise.all(
    ["http://a.example:1025/", `https://a.example:${port}/`, "http://b.example/"].map((url) =>
      outbound.fetch(url, { timeoutMs: 2_000 }).catch((error: Error) => error.message),
    ),
  );
  for (const message of errors) {
    expect(message).toMatch(/example/);
    expect(message).not.toMatch(/127/);
  }
});

test("a body is sent as it was given", async () => {
  let body = "";
  answer = async (request, response) => {
    for await (const part of request) body += String(part);
    response.writeHead(204).end();
  };
  const outbound = guard({ allow: ["127.0.0.1"] });
  const request = { method: "POST", body: '{"a":1}', headers: { "content-type": "application/json" } };
  expect((await outbound.fetch(`http://127.0.0.1:${port}/hook?x=1`, request)).status).toBe(204);
  expect([body, reached[0]?.url, reached[0]?.headers["content-length"]]).toEqual([
    '{"a":1}',
    "/hook?x=1",
    "7",
  ]);
});

test("public addresses are public", () => {
  for (const address of ["1.1.1.1", "8.8.8.8", "172.32.0.1", "2606:4700:4700::1111", "2a00:1450::1"]) {
    expect([address, isPublicAddress(address)]).toEqual([address, true]);
  }
  for (const address of ["", "example.com", "fe80::1%eth0", "::ffff:8.8.8.8", "64:ff9b::808:808"]) {
    expect([address, isPublicAddress(address)]).toEqual([address, false]);
  }
});
