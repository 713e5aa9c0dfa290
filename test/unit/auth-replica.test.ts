import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createServer, request as httpRequest, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { systemClock as clock, systemRandom as random } from "../../src/core/base/system.ts";
import { encodeTrailers, messageHeader } from "../../src/core/wire/framing.ts";
import { AuthDatabase } from "../../src/server/auth/database/auth-database.ts";
import { recordsFile } from "../../src/server/auth/database/records.ts";
import { forwardKey } from "../../src/server/auth/replica/forward-key.ts";
import { readForwarded, signForwarded } from "../../src/server/auth/replica/forwarded-header.ts";
import { Forwarder, needsPrimary } from "../../src/server/auth/replica/forwarder.ts";
import { findLitestream } from "../../src/server/auth/replica/litestream.ts";
import {
  litestreamConfig,
  litestreamEnvironment,
  parseGeneration,
  restoreConfig,
} from "../../src/server/auth/replica/litestream-config.ts";
import {
  lastLocalPosition,
  lockDirectory,
  readReplicaState,
  refuseCopy,
  setAside,
  writeReplicaState,
} from "../../src/server/auth/replica/replica-state.ts";
import { readReplicaOptions } from "../../src/server/auth/replica/replica-target.ts";
import { createRouteFinder } from "../../src/server/rest/handler.ts";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(path.join(tmpdir(), "mic-replica-"));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const codeOf = (work: () => unknown): string => {
  try {
    work();
    return "";
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  }
};

describe("readReplicaOptions()", () => {
  const env = {
    S3_ENDPOINT: "http://localhost:9000",
    S3_ACCESS_KEY_ID: "key",
    S3_SECRET_ACCESS_KEY: "secret",
  };

  test("takes the bucket and the prefix of the address, and everything else of the forge's settings", () => {
    const options = readReplicaOptions({ authReplica: "s3://accounts/team/auth" }, env);
    expect(options).toMatchObject({
      settings: { bucket: "accounts", prefix: "team/auth/", endpoint: "http://localhost:9000" },
      role: "auto",
    });
    expect(readReplicaOptions({ authReplica: "s3://accounts/" }, env)?.settings.prefix).toBe("auth/");
    expect(readReplicaOptions({}, { ...env, MIC_AUTH_REPLICA: "s3://a-b/c" })?.settings.bucket).toBe("a-b");
    expect(readReplicaOptions({}, env)).toBeUndefined();
    const own = { authReplica: "s3://accounts", authReplicaEndpoint: "https://other.example.org" };
    expect(readReplicaOptions(own, env)?.settings.endpoint).toBe("https://other.example.org");
  });

  test("refuses what it cannot do", () => {
    const wrong = [
      { authReplica: "accounts" },
      { authReplica: "s3://" },
      { authReplica: "s3://accounts", authRole: "leader" },
      { authReplica: "s3://accounts", advertiseUrl: "mic-1" },
      { authReplica: "s3://accounts", advertiseUrl: "https://user@mic-1" },
      { authReplica: "s3://accounts", advertiseUrl: "https://mic-1/path" },
      { authRole: "primary" },
    ];
    for (const flags of wrong)
      expect(
        codeOf(() => readReplicaOptions(flags, env)),
        JSON.stringify(flags),
      ).toBe("usage");
  });
});

describe("what Litestream is given", () => {
  const env = {
    S3_ENDPOINT: "http://localhost:9000",
    S3_ACCESS_KEY_ID: "key-of-mic",
    S3_SECRET_ACCESS_KEY: "secret-of-mic",
    MIC_OWNER_TOKEN: "owner-token-of-mic",
    AWS_CA_BUNDLE: "/etc/ca.pem",
    AWS_SESSION_TOKEN: "another's",
    PATH: "/bin",
  };
  const { settings } = readReplicaOptions({ authReplica: "s3://accounts/auth" }, env)!;
  const database = { file: '/data/a"b/accounts.db', settings, generation: 7 };

  test("is a file without secrets, which YAML reads as JSON", () => {
    const text = litestreamConfig(database, "/data/s.sock");
    expect(text).not.toMatch(/secret-of-mic|key-of-mic|owner-token/);
    expect(JSON.parse(text)).toMatchObject({
      socket: { enabled: true, path: "/data/s.sock", permissions: 0o600 },
      dbs: [
        {
          path: '/data/a"b/accounts.db',
          replica: { bucket: "accounts", path: "auth/generations/00000007", "force-path-style": true },
        },
        {
          path: '/data/a"b/accounts-records.db',
          replica: { bucket: "accounts", path: "auth/generations/00000007/records" },
        },
      ],
    });
    expect(JSON.parse(restoreConfig({ ...database, part: "records" }))).toMatchObject({
      dbs: [{ path: database.file, replica: { path: "auth/generations/00000007/records" } }],
    });
    expect(parseGeneration("generations/00000007/ltx/0/x")).toBe(7);
  });

  test("is an environment with its credentials and without the server's", () => {
    expect(litestreamEnvironment(env, settings)).toEqual({
      AWS_ACCESS_KEY_ID: "key-of-mic",
      AWS_SECRET_ACCESS_KEY: "secret-of-mic",
      SSL_CERT_FILE: "/etc/ca.pem",
      PATH: "/bin",
    });
  });

  test("findLitestream() looks where it is told, and in PATH", () => {
    const file = path.join(directory, "litestream");
    expect(findLitestream({ PATH: directory })).toBeUndefined();
    writeFileSync(file, "#!/bin/sh\n", { mode: 0o755 });
    expect(findLitestream({ PATH: `relative:${directory}` })).toBe(file);
    expect(findLitestream({ MIC_LITESTREAM: file })).toBe(file);
    expect(
      findLitestream({ MIC_LITESTREAM: path.join(directory, "other"), PATH: directory }),
    ).toBeUndefined();
  });
});

describe("what a data directory knows of its replica", () => {
  test("is kept, and a damaged file is refused", () => {
    const state = readReplicaState(directory, random);
    expect(state).toMatchObject({ generation: 0, origin: "own" });
    writeReplicaState(directory, { ...state, generation: 3 });
    expect(readReplicaState(directory, random)).toEqual({ ...state, generation: 3 });
    writeFileSync(path.join(directory, "replica.json"), "{");
    expect(codeOf(() => readReplicaState(directory, random))).toBe("corrupt");
  });

  test("keeps accounts that are a copy from being changed by hand", () => {
    const state = readReplicaState(directory, random);
    expect(codeOf(() => refuseCopy(directory))).toBe("");
    writeReplicaState(directory, state);
    expect(codeOf(() => refuseCopy(directory))).toBe("");
    writeReplicaState(directory, { ...state, origin: "copy" });
    expect(codeOf(() => refuseCopy(directory))).toBe("forbidden");
  });

  test("lets one server in at a time", () => {
    const lock = lockDirectory(directory);
    expect(codeOf(() => lockDirectory(directory))).toBe("unreachable");
    lock[Symbol.dispose]();
    lockDirectory(directory)[Symbol.dispose]();
  });

  test("finds how far Litestream was by the names of its files", () => {
    expect(lastLocalPosition(directory)).toBe(0);
    mkdirSync(path.join(directory, "ltx", "0"), { recursive: true });
    for (const name of ["0000000000000001-0000000000000009", "000000000000000a-000000000000001f"]) {
      writeFileSync(path.join(directory, "ltx", "0", `${name}.ltx`), "");
    }
    writeFileSync(path.join(directory, "ltx", "0", "other"), "");
    expect(lastLocalPosition(directory)).toBe(0x1f);
  });

  test("sets databases aside, with what belongs to them, and keeps the last three", () => {
    const file = path.join(directory, "accounts.db");
    for (let generation = 8; generation <= 12; generation++) {
      for (const each of [file, recordsFile(file)]) {
        for (const end of ["", "-wal"]) writeFileSync(each + end, "x");
      }
      setAside(file, generation);
      expect(existsSync(file)).toBe(false);
    }
    const kept = [10, 11, 12].flatMap((g) =>
      ["", "-wal"].flatMap((end) =>
        ["accounts", "accounts-records"].map((name) => `${name}.db.before-generation-${g}${end}`),
      ),
    );
    expect(readdirSync(directory).sort()).toEqual(kept.sort());
  });
});

describe("mic-forwarded", () => {
  const key = new Uint8Array(32).fill(5);
  const request = { method: "POST", url: "/api/mic/users", headers: { authorization: "Bearer mic_x" } };
  const caller = { address: "2001:db8::1", isSecure: true };
  const NOW = 1_700_000_000_000;

  test("says what it was given, to who has the key, about this request, for two minutes", () => {
    const header = signForwarded(key, request, caller, NOW);
    expect(readForwarded(key, request, header, NOW)).toEqual(caller);
    expect(readForwarded(key, request, header, NOW + 121_000)).toBeUndefined();
    expect(readForwarded(key, request, header, NOW - 121_000)).toBeUndefined();
    expect(readForwarded(new Uint8Array(32), request, header, NOW)).toBeUndefined();
    expect(readForwarded(undefined, request, header, NOW)).toBeUndefined();
    for (const other of [
      { ...request, method: "GET" },
      { ...request, url: "/api/mic/users/" },
      { ...request, headers: {} },
      { ...request, headers: { ...request.headers, cookie: "mic_session=x" } },
    ]) {
      expect(readForwarded(key, other, header, NOW)).toBeUndefined();
    }
  });

  test("is not believed with any character of it changed", () => {
    const header = signForwarded(key, request, caller, NOW);
    for (let i = 0; i < header.length; i++) {
      const changed = `${header.slice(0, i)}${header[i] === "0" ? "1" : "0"}${header.slice(i + 1)}`;
      expect(readForwarded(key, request, changed, NOW), changed).toBeUndefined();
    }
    for (const wrong of ["", "v1", header.slice(1), `${header} `, header.replace("v1", "v2")]) {
      expect(readForwarded(key, request, wrong, NOW)).toBeUndefined();
    }
  });

  test("has a key that is made once, by the primary, and is in the database", () => {
    using database = new AuthDatabase({ file: path.join(directory, "accounts.db") });
    database.setReadOnly(true);
    expect(forwardKey(database, random)).toBeUndefined();
    database.setReadOnly(false);
    const made = forwardKey(database, random)!;
    expect(made).toHaveLength(32);
    expect(Buffer.from(forwardKey(database, random)!).equals(made)).toBe(true);
  });
});

describe("needsPrimary()", () => {
  test("is what changes accounts, on every transport, and signing in as a whole", () => {
    const yes = [
      "/oauth/token",
      "/oauth/device",
      "/login",
      "/device",
      "/logout",
      "/mic.v1.ProjectService/CreateProject",
    ];
    for (const path of yes) expect(needsPrimary(path, undefined), path).toBe(true);
    expect(needsPrimary("/api/mic/users", { changesAccounts: true })).toBe(true);
    // Followers have no records.
    expect(needsPrimary("/api/mic/audit", createRouteFinder()("GET", "/api/mic/audit"))).toBe(true);
    const no = ["/api/mic/users", "/loginx", "/devices", "/oauth", "/.well-known/oauth-authorization-server"];
    for (const path of [...no, "/mic.v1.ContentService/GetHead"])
      expect(needsPrimary(path, {}), path).toBe(false);
  });
});

describe("Forwarder", () => {
  const key = new Uint8Array(32).fill(9);
  const caller = { address: "192.0.2.7", isSecure: true };
  let servers: Server[] = [];
  afterEach(() => {
    for (const server of servers) {
      server.closeAllConnections();
      server.close();
    }
    servers = [];
  });

  async function listen(handle: Parameters<typeof createServer>[1]): Promise<string> {
    const server = createServer(handle!);
    servers.push(server);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  const forwarderTo = (primaryUrl: string | undefined): Forwarder =>
    new Forwarder({ replica: { isPrimary: false, primaryUrl }, key: () => key, clock });

  /** A follower that passes everything on. */
  function follower(forwarder: Forwarder): Promise<string> {
    return listen((request, response) => {
      forwarder.forward(request, response, caller).catch((error: { code: string; hint: string }) => {
        if (response.headersSent) response.destroy();
        else response.writeHead(503).end(`${error.code}: ${error.hint}`);
      });
    });
  }

  function ask(
    url: string,
    options: { method?: string; headers?: Record<string, string>; body?: string } = {},
  ): Promise<{ status: number; headers: IncomingMessage["headers"]; body: string }> {
    return new Promise((resolve, reject) => {
      const sent = httpRequest(
        url,
        { method: options.method ?? "GET", headers: options.headers ?? {} },
        (answer) => {
          let body = "";
          answer.on("data", (part) => {
            body += part;
          });
          answer.on("end", () => resolve({ status: answer.statusCode!, headers: answer.headers, body }));
          answer.on("error", reject);
        },
      );
      sent.on("error", reject);
      sent.end(options.body);
    });
  }

  test("passes a request and its answer on as they are, and says who the caller is", async () => {
    const seen: { request?: IncomingMessage; body?: string; caller?: unknown } = {};
    const primary = await listen((request, response) => {
      let body = "";
      request.on("data", (part) => {
        body += part;
      });
      request.on("end", () => {
        Object.assign(seen, { request, body, caller: forwarderTo(undefined).callerOf(request) });
        response.writeHead(303, { location: "/elsewhere", "set-cookie": ["a=1", "b=2"], "x-own": "yes" });
        response.end("answered");
      });
    });
    const url = await follower(forwarderTo(primary));
    const answer = await ask(`${url}/login?next=%2Fx`, {
      method: "POST",
      headers: {
        authorization: "Bearer mic_x",
        cookie: "session=1",
        host: "forge.example.org",
        "x-forwarded-for": "6.6.6.6",
        forwarded: "for=6.6.6.6",
        connection: "x-secret-hop",
        "x-secret-hop": "1",
      },
      body: "name=ada",
    });
    expect(answer).toMatchObject({ status: 303, body: "answered" });
    expect(answer.headers).toMatchObject({
      location: "/elsewhere",
      "set-cookie": ["a=1", "b=2"],
      "x-own": "yes",
    });
    expect(seen.request).toMatchObject({ method: "POST", url: "/login?next=%2Fx" });
    expect(seen.request?.headers).toMatchObject({
      authorization: "Bearer mic_x",
      cookie: "session=1",
      host: "forge.example.org",
    });
    for (const name of ["x-forwarded-for", "forwarded", "x-secret-hop"]) {
      expect(seen.request?.headers, name).not.toHaveProperty(name);
    }
    expect(seen.body).toBe("name=ada");
    expect(seen.caller).toEqual(caller);
  });

  test("says that the primary cannot be reached, and that the call may be repeated", async () => {
    const gone = await listen(() => undefined);
    servers.pop()!.close();
    for (const primary of [undefined, gone]) {
      const answer = await ask(`${await follower(forwarderTo(primary))}/login`);
      expect(answer).toMatchObject({ status: 503, body: expect.stringMatching(/^unreachable: repeat/) });
    }
  });

  test("does not pass on what was passed on to it", async () => {
    let asked = 0;
    const primary = await listen((_request, response) => {
      asked++;
      response.end();
    });
    const answer = await ask(`${await follower(forwarderTo(primary))}/login`, {
      headers: { "mic-forwarded": "x" },
    });
    expect(answer.status).toBe(503);
    expect(asked).toBe(0);
  });

  test("passes on no body that is larger than an account's", async () => {
    const primary = await listen((request, response) => {
      request.resume();
      request.on("end", () => response.end());
    });
    const url = await follower(forwarderTo(primary));
    const large = "x".repeat((1 << 20) + 1);
    const headers = { "content-length": String(large.length) };
    expect(await ask(`${url}/login`, { method: "POST", headers, body: large })).toMatchObject({
      status: 503,
    });
    const chunked = ask(`${url}/login`, {
      method: "POST",
      headers: { "transfer-encoding": "chunked" },
      body: large,
    });
    expect(await chunked.then(({ status }) => status).catch(() => 0)).not.toBe(200);
  });

  test("call() gives the message of a gRPC call, and the primary's errors as they are", async () => {
    const hosts: (string | undefined)[] = [];
    const primary = await listen((request, response) => {
      request.resume();
      hosts.push(request.headers.host);
      response.writeHead(200, { "content-type": "application/grpc-web+proto" });
      if (request.url?.endsWith("Project")) {
        response.write(messageHeader(2));
        response.write(Buffer.from([7, 8]));
        response.end(encodeTrailers());
      } else {
        response.end(encodeTrailers({ code: 6, message: "the name is taken" }));
      }
    });
    const forwarder = forwarderTo(primary);
    const never = new AbortController().signal;
    const call = (name: string, host?: string): Promise<Uint8Array> =>
      forwarder.call(
        `/mic.v1.ProjectService/${name}`,
        { authorization: "Bearer x", host },
        new Uint8Array([1]),
        caller,
        never,
      );
    expect([...(await call("CreateProject"))]).toEqual([7, 8]);
    await expect(call("CreateOrganization", "follower.test")).rejects.toMatchObject({
      code: "already-exists",
    });
    expect(hosts).toEqual([new URL(primary).host, "follower.test"]);
  });
});
