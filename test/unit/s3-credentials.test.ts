import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, afterEach, describe, expect, test } from "vitest";
import { systemClock, systemRandom } from "../../src/core/base/system.ts";
import { connectS3 } from "../../src/core/store/s3/connect.ts";
import { openCredentials } from "../../src/core/store/s3/credentials/chain.ts";
import { runCredentialProcess, splitCommandLine } from "../../src/core/store/s3/credentials/process.ts";
import { profileRegion } from "../../src/core/store/s3/credentials/profile-settings.ts";
import { RenewingCredentials } from "../../src/core/store/s3/credentials/renewing.ts";
import type { Credentials } from "../../src/core/store/s3/credentials-types.ts";
import { readS3Settings } from "../../src/core/store/s3/environment.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

const home = mkdtempSync(path.join(tmpdir(), "mic-credentials-"));
afterAll(() => rmSync(home, { recursive: true }));
mkdirSync(path.join(home, ".aws"));

const file = (name: string, content: string): string => {
  const full = path.join(home, name);
  writeFileSync(full, content);
  return full;
};
/** Nobody answers on these machines' metadata address, and no test waits to find out. */
const base = { HOME: home, AWS_EC2_METADATA_DISABLED: "true", PATH: process.env["PATH"] };
const load = (
  env: Readonly<Record<string, string | undefined>>,
  more: { readonly ecsOrigin?: string } = {},
) =>
  openCredentials({
    env: { ...base, ...env },
    clock: systemClock,
    random: systemRandom,
    region: "eu-central-1",
    ...more,
  }).get();

interface Asked {
  readonly method: string | undefined;
  readonly url: string | undefined;
  readonly headers: IncomingMessage["headers"];
  readonly body: string;
}

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

async function serve(
  answer: (asked: Asked) => { readonly status?: number; readonly body: string; readonly location?: string },
): Promise<{ readonly origin: string; readonly asked: Asked[] }> {
  const asked: Asked[] = [];
  const server = createServer((request, response) => {
    let body = "";
    request.on("data", (part) => {
      body += String(part);
    });
    request.on("end", () => {
      const { method, url, headers } = request;
      asked.push({ method, url, headers, body });
      const { status = 200, body: text, location } = answer(asked.at(-1)!);
      response.writeHead(status, location === undefined ? {} : { location });
      response.end(text);
    });
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, asked };
}

const EXPIRY = "2099-01-02T03:04:05Z";
const TEMPORARY = {
  accessKeyId: "ASIA1",
  secretAccessKey: "secret",
  sessionToken: "token",
  expiresAtMs: Date.parse(EXPIRY),
};
const stsAnswer = (
  action: string,
): string => `<${action}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
  <${action}Result><AssumedRoleUser><Arn>arn:aws:sts::1:assumed-role/r/s</Arn></AssumedRoleUser>
  <Credentials><AccessKeyId>ASIA1</AccessKeyId><SecretAccessKey>secret</SecretAccessKey>
  <SessionToken>token</SessionToken><Expiration>${EXPIRY}</Expiration></Credentials></${action}Result></${action}Response>`;
const document = JSON.stringify({
  Code: "Success",
  AccessKeyId: "ASIA1",
  SecretAccessKey: "secret",
  Token: "token",
  Expiration: EXPIRY,
});

describe("the chain", () => {
  test("names every source that it tried, and what to set, when there is none", async () => {
    await expect(load({})).rejects.toMatchObject({
      code: "unauthenticated",
      message: expect.stringMatching(
        /Missing S3 credentials.*AWS_ACCESS_KEY_ID.*AWS_WEB_IDENTITY_TOKEN_FILE.*\.aws.credentials.*AWS_CONTAINER_CREDENTIALS_RELATIVE_URI.*AWS_EC2_METADATA_DISABLED/,
      ),
      hint: expect.stringContaining("export AWS_ACCESS_KEY_ID="),
    });
  });

  test("takes keys of this program before those of the environment, and those before a profile", async () => {
    const config = file("order", "[default]\naws_access_key_id = profile\naws_secret_access_key = p\n");
    const env = { AWS_SHARED_CREDENTIALS_FILE: config };
    expect(await load(env)).toEqual({ accessKeyId: "profile", secretAccessKey: "p" });
    const keys = { AWS_ACCESS_KEY_ID: "env", AWS_SECRET_ACCESS_KEY: "e", AWS_SESSION_TOKEN: "t" };
    const expected = { accessKeyId: "env", secretAccessKey: "e", sessionToken: "t" };
    expect(await load({ ...env, ...keys })).toEqual(expected);
    const explicit = { accessKeyId: "own", secretAccessKey: "o" };
    const source = openCredentials({
      env: { ...base, ...env, ...keys },
      clock: systemClock,
      random: systemRandom,
      region: "r",
      explicit,
    });
    expect(await source.get()).toEqual(explicit);
  });

  test.each([
    [{ AWS_ACCESS_KEY_ID: "a" }, "AWS_SECRET_ACCESS_KEY"],
    [{ AWS_SECRET_ACCESS_KEY: "a" }, "AWS_ACCESS_KEY_ID"],
  ])("half a key in %j is an error, not a reason to take another identity", async (env, word) => {
    await expect(load(env)).rejects.toMatchObject({
      code: "unauthenticated",
      hint: expect.stringContaining(`export ${word}=`),
    });
  });
});

describe("web identity", () => {
  test("exchanges the token for a role's keys", async () => {
    const { origin, asked } = await serve(() => ({ body: stsAnswer("AssumeRoleWithWebIdentity") }));
    const env = {
      AWS_WEB_IDENTITY_TOKEN_FILE: file("jwt", "header.payload.signature\n"),
      AWS_ROLE_ARN: "arn:aws:iam::1:role/r",
      AWS_ROLE_SESSION_NAME: "ci",
      AWS_ENDPOINT_URL_STS: origin,
    };
    expect(await load(env)).toEqual(TEMPORARY);
    expect(asked).toHaveLength(1);
    expect(asked[0]!.headers.authorization).toBeUndefined();
    expect(Object.fromEntries(new URLSearchParams(asked[0]!.body))).toEqual({
      Action: "AssumeRoleWithWebIdentity",
      Version: "2011-06-15",
      RoleArn: "arn:aws:iam::1:role/r",
      RoleSessionName: "ci",
      WebIdentityToken: "header.payload.signature",
    });
  });

  test("says what the service refused", async () => {
    const { origin } = await serve(() => ({
      status: 400,
      body: "<ErrorResponse><Error><Code>ExpiredTokenException</Code><Message>Token expired: a &lt; b</Message></Error></ErrorResponse>",
    }));
    const env = {
      AWS_WEB_IDENTITY_TOKEN_FILE: file("jwt", "x"),
      AWS_ROLE_ARN: "arn:aws:iam::1:role/r",
      AWS_ENDPOINT_URL_STS: origin,
    };
    await expect(load(env)).rejects.toMatchObject({
      code: "unauthenticated",
      message: "arn:aws:iam::1:role/r is not given: ExpiredTokenException Token expired: a < b",
    });
  });

  test.each([
    [{ AWS_WEB_IDENTITY_TOKEN_FILE: "/nowhere" }, "AWS_ROLE_ARN"],
    [{ AWS_WEB_IDENTITY_TOKEN_FILE: "/nowhere/token", AWS_ROLE_ARN: "r" }, "/nowhere/token"],
  ])("%j is refused by name", async (env, word) => {
    await expect(load(env)).rejects.toMatchObject({
      code: "unauthenticated",
      message: expect.stringContaining(word),
    });
  });
});

describe("profiles", () => {
  const profiles = (config: string, credentials = "") => ({
    AWS_CONFIG_FILE: file("config", config),
    AWS_SHARED_CREDENTIALS_FILE: file("credentials", credentials),
  });

  test("reads both files as one, comments and nested settings aside", async () => {
    const env = profiles(
      "# a comment\n[default]\nregion = eu-west-9 ; there\ns3 =\n  max_concurrent_requests = 20\n\n[profile work]\nregion=x\n",
      "\ufeff[work]\r\naws_access_key_id = AKIA #2\r\naws_secret_access_key=a+b/c==\r\naws_session_token = t\r\n",
    );
    expect(await load({ ...env, AWS_PROFILE: "work" })).toEqual({
      accessKeyId: "AKIA",
      secretAccessKey: "a+b/c==",
      sessionToken: "t",
    });
    expect(profileRegion({ ...base, ...env })).toBe("eu-west-9");
    expect(profileRegion({ ...base, ...env, AWS_PROFILE: "work" })).toBe("x");
  });

  test("says where the store is, unless anything else does: for S3 alone before for all services", () => {
    const config =
      "[default]\nendpoint_url = https://all.example\n[profile one]\nservices = own\nendpoint_url = https://all.example\n[services own]\nsts =\n  endpoint_url = https://sts.example\ns3 =\n  # here\n  endpoint_url = https://s3.example\n[profile bad]\nendpoint_url = s3.example\n";
    const env = { ...base, ...profiles(config), S3_BUCKET: "bucket" };
    const endpoint = (more: Record<string, string> = {}, defaults = {}) =>
      readS3Settings({ ...env, ...more }, {}, defaults).endpoint;
    expect(endpoint()).toBe("https://all.example");
    expect(endpoint({ AWS_PROFILE: "one" })).toBe("https://s3.example");
    expect(endpoint({ AWS_PROFILE: "one" }, { endpoint: "https://configured" })).toBe("https://configured");
    expect(endpoint({ AWS_ENDPOINT_URL: "https://env.example" })).toBe("https://env.example");
    const ignoring = { AWS_IGNORE_CONFIGURED_ENDPOINT_URLS: "true" };
    expect(endpoint({ ...ignoring, AWS_ENDPOINT_URL: "https://env.example" })).toBeUndefined();
    expect(endpoint({ ...ignoring, S3_ENDPOINT: "https://own.example" })).toBe("https://own.example");
    expect(() => endpoint({ AWS_PROFILE: "bad" })).toThrow(
      expect.objectContaining({ code: "usage", hint: "endpoint_url = https://s3.example" }),
    );
  });

  test("a store is trusted with the certificates of AWS_CA_BUNDLE, else of the profile", async () => {
    const pem = (name: string) => readFileSync(new URL(`../support/tls/${name}`, import.meta.url), "utf8");
    await using server = createHttpsServer({ cert: pem("cert.pem"), key: pem("key.pem") }, (_, response) => {
      response.setHeader("etag", '"x"').end("content");
    });
    await new Promise<void>((resolve) => server.listen(0, resolve));
    const bundle = file("bundle.pem", pem("cert.pem"));
    const env = {
      ...base,
      ...profiles(`[profile trusting]\nca_bundle = ${bundle}\n`),
      S3_BUCKET: "bucket",
      S3_ENDPOINT: `https://localhost:${(server.address() as AddressInfo).port}`,
      AWS_ACCESS_KEY_ID: "k",
      AWS_SECRET_ACCESS_KEY: "s",
    };
    const read = async (more: Record<string, string>) => {
      const all = { ...env, ...more };
      const options = { env: all, transport: "fetch", clock: systemClock, random: systemRandom } as const;
      await using store = await connectS3(readS3Settings(all), options);
      return (await store.get("a"))?.bytes.length;
    };
    expect(await read({ AWS_CA_BUNDLE: bundle })).toBe(7);
    expect(await read({ AWS_PROFILE: "trusting" })).toBe(7);
    await expect(read({})).rejects.toMatchObject({ hint: expect.stringContaining("AWS_CA_BUNDLE") });
    await expect(read({ AWS_CA_BUNDLE: path.join(home, "gone.pem") })).rejects.toMatchObject({
      code: "usage",
    });
    server.closeAllConnections();
  });

  test("a profile that is named and not there is an error", async () => {
    await expect(load({ ...profiles(""), AWS_PROFILE: "work" })).rejects.toMatchObject({
      code: "unauthenticated",
      message: expect.stringContaining('"work"'),
    });
  });

  test("takes a role on with the keys of its source profile", async () => {
    const { origin, asked } = await serve(() => ({ body: stsAnswer("AssumeRole") }));
    const env = profiles(
      "[profile deploy]\nrole_arn = arn:aws:iam::1:role/deploy\nsource_profile = base\nexternal_id = e\nrole_session_name = s\nduration_seconds = 900\n",
      "[base]\naws_access_key_id = AKIABASE\naws_secret_access_key = b\n",
    );
    const credentials = await load({
      ...env,
      AWS_PROFILE: "deploy",
      AWS_ENDPOINT_URL_STS: origin,
      AWS_REGION: "eu-west-1",
    });
    expect(credentials).toEqual(TEMPORARY);
    expect(Object.fromEntries(new URLSearchParams(asked[0]!.body))).toMatchObject({
      Action: "AssumeRole",
      RoleArn: "arn:aws:iam::1:role/deploy",
      ExternalId: "e",
      RoleSessionName: "s",
      DurationSeconds: "900",
    });
    expect(asked[0]!.headers.authorization).toMatch(
      /^AWS4-HMAC-SHA256 Credential=AKIABASE\/\d{8}\/eu-west-1\/sts\/aws4_request, SignedHeaders=content-type;host;x-amz-date, Signature=[0-9a-f]{64}$/,
    );
  });

  test("roles can stand on roles, and on a profile of the same name that holds keys", async () => {
    const { origin, asked } = await serve(() => ({ body: stsAnswer("AssumeRole") }));
    const env = profiles(
      "[profile a]\nrole_arn = role-a\nsource_profile = b\n[profile b]\nrole_arn = role-b\nsource_profile = b\n",
      "[b]\naws_access_key_id = K\naws_secret_access_key = s\n",
    );
    await load({ ...env, AWS_PROFILE: "a", AWS_ENDPOINT_URL_STS: origin });
    expect(asked.map(({ body }) => new URLSearchParams(body).get("RoleArn"))).toEqual(["role-b", "role-a"]);
    // The second is signed with what the first gave.
    expect(asked[1]!.headers).toMatchObject({
      "x-amz-security-token": "token",
      authorization: expect.stringContaining("Credential=ASIA1/"),
    });
  });

  test("a credential_source names where the keys are", async () => {
    const { origin, asked } = await serve(() => ({ body: stsAnswer("AssumeRole") }));
    const env = profiles("[default]\nrole_arn = r\ncredential_source = EcsContainer\n");
    const container = await serve(() => ({ body: document }));
    const sources = {
      AWS_CONTAINER_CREDENTIALS_FULL_URI: `${container.origin}/x`,
      AWS_ENDPOINT_URL_STS: origin,
    };
    expect(await load({ ...env, ...sources })).toEqual(TEMPORARY);
    expect(asked[0]!.headers["x-amz-security-token"]).toBe("token");
  });

  test.each([
    ["role_arn = r\nsource_profile = b\n[profile b]\nrole_arn = r\nsource_profile = a", "leads back"],
    ["role_arn = r\nsource_profile = gone", "gone"],
    ["role_arn = r", "whose keys"],
    ["role_arn = r\ncredential_source = Moon", "Moon"],
    ["role_arn = r\nsource_profile = b\nmfa_serial = m", "mfa_serial"],
    ["sso_session = s\nsso_account_id = 1", "SSO"],
    ["aws_access_key_id = a", "half a key"],
    ["role_arn = r\nweb_identity_token_file = /nowhere/jwt", "/nowhere/jwt"],
  ])("%j is refused by name", async (config, word) => {
    const env = { ...profiles(`[profile a]\n${config}\n`), AWS_PROFILE: "a" };
    await expect(load(env)).rejects.toMatchObject({
      code: "unauthenticated",
      message: expect.stringContaining(word),
    });
  });

  test.each([
    ["no home", undefined],
    ["an empty home", ""],
    ["a home below where the process stands", path.relative(process.cwd(), home)],
  ])("with %s, no file is read that merely lies in the current directory", async (_, HOME) => {
    const started = path.join(home, "started");
    file(".aws/config", `[default]\nregion = stranger\ncredential_process = /usr/bin/touch ${started}\n`);
    try {
      await expect(load({ HOME })).rejects.toMatchObject({
        message: expect.stringMatching(
          /in ~\/\.aws\/credentials \(HOME is not set\) and ~\/\.aws\/config \(/,
        ),
      });
      expect(existsSync(started)).toBe(false);
      expect(profileRegion({ ...base, HOME })).toBeUndefined();
      const named = { ...base, HOME, AWS_CONFIG_FILE: path.join(home, ".aws/config") };
      expect(profileRegion(named)).toBe("stranger");
    } finally {
      rmSync(path.join(home, ".aws/config"));
    }
  });

  test("starts the program of credential_process, without a shell", async () => {
    const program = file(
      "print keys.sh",
      `#!/bin/sh\nprintf '{"Version":1,"AccessKeyId":"%s","SecretAccessKey":"%s","SessionToken":"token","Expiration":"${EXPIRY}"}' "$1" "$2"\n`,
    );
    chmodSync(program, 0o755);
    const env = profiles(`[default]\ncredential_process = "${program}" ASIA1 '$(id);a|b'\n`);
    expect(await load(env)).toEqual({ ...TEMPORARY, secretAccessKey: "$(id);a|b" });
  });
});

describe("runCredentialProcess()", () => {
  const run = (commandLine: string, timeoutMs = 5000) =>
    runCredentialProcess(commandLine, { env: base, clock: systemClock, name: "profile", timeoutMs });

  test.each([
    ["sh -c 'echo secret; echo why >&2; exit 3'", /ended with 3: why$/],
    ["sh -c 'echo no json'", /JSON/],
    ["sh -c 'echo {}'", /Version undefined/],
    [`sh -c 'echo {\\"Version\\":1}'`, /no usable key/],
    ["/nowhere/program", /cannot be started/],
    ["'open", /open quote/],
    ["   ", /is empty/],
    ["sh -c 'yes'", /printed too much/],
  ])("%s is refused, and nothing that it printed is quoted", async (commandLine, message) => {
    const error = await run(commandLine).catch((thrown: Error) => thrown);
    expect(error).toMatchObject({ code: "unauthenticated", message: expect.stringMatching(message) });
    expect((error as Error).message).not.toContain("secret");
  });

  test("ends a program that does not, whoever it started", async () => {
    const start = performance.now();
    await expect(run("sh -c 'sleep 30 & sleep 30'", 200)).rejects.toMatchObject({
      message: expect.stringContaining("did not end within 200 ms"),
    });
    expect(performance.now() - start).toBeLessThan(20_000);
  });

  test.each([
    [`a "b c" 'd "e'`, ["a", "b c", 'd "e']],
    [`"a\\"b" c\\d ''`, ['a"b', "c\\d", ""]],
    ["  a\tb  ", ["a", "b"]],
  ])("splits %s", (text, words) => expect(splitCommandLine(text, "x")).toEqual(words));
});

describe("container endpoints", () => {
  test("asks the relative address, with the token", async () => {
    const { origin, asked } = await serve(() => ({ body: document }));
    const env = { AWS_CONTAINER_CREDENTIALS_RELATIVE_URI: "/v2/credentials/1" };
    expect(await load(env, { ecsOrigin: origin })).toEqual(TEMPORARY);
    expect(asked[0]).toMatchObject({ method: "GET", url: "/v2/credentials/1" });
    expect(asked[0]!.headers.authorization).toBeUndefined();
  });

  test("asks the full address, with the token of the file as it is now", async () => {
    const { origin, asked } = await serve(() => ({ body: document }));
    const env = {
      AWS_CONTAINER_CREDENTIALS_FULL_URI: `${origin}/creds`,
      AWS_CONTAINER_AUTHORIZATION_TOKEN: "from the variable",
      AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: file("eks-token", "from the file\n"),
    };
    expect(await load(env)).toEqual(TEMPORARY);
    const { AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: _file, ...withoutFile } = env;
    await load(withoutFile);
    expect(asked.map(({ headers }) => headers.authorization)).toEqual(["from the file", "from the variable"]);
  });

  test.each([
    [{ AWS_CONTAINER_CREDENTIALS_FULL_URI: "http://evil.example/x" }, "evil.example"],
    [{ AWS_CONTAINER_CREDENTIALS_FULL_URI: "http://127.0.0.1.evil.example/x" }, "evil.example"],
    [{ AWS_CONTAINER_CREDENTIALS_FULL_URI: "file:///etc/passwd" }, "FULL_URI"],
    [{ AWS_CONTAINER_CREDENTIALS_RELATIVE_URI: "@evil.example/x" }, "slash"],
  ])("%j is refused before the token is sent", async (env, word) => {
    await expect(load({ ...env, AWS_CONTAINER_AUTHORIZATION_TOKEN: "t" })).rejects.toMatchObject({
      code: "unauthenticated",
      message: expect.stringContaining(word),
    });
  });

  test("follows no redirect, and takes no line break in a token", async () => {
    const elsewhere = await serve(() => ({ body: document }));
    const { origin } = await serve(() => ({ status: 307, body: "", location: elsewhere.origin }));
    const env = {
      AWS_CONTAINER_CREDENTIALS_FULL_URI: `${origin}/x`,
      AWS_CONTAINER_AUTHORIZATION_TOKEN: "t",
    };
    await expect(load(env)).rejects.toMatchObject({ code: "unauthenticated" });
    expect(elsewhere.asked).toEqual([]);
    await expect(
      load({ ...env, AWS_CONTAINER_AUTHORIZATION_TOKEN: "a\r\nHost: evil" }),
    ).rejects.toMatchObject({ message: expect.stringContaining("line breaks") });
  });

  test("asks again after a 500, and not after a 403", async () => {
    let left = 1;
    const { origin, asked } = await serve(() =>
      left-- > 0 ? { status: 500, body: "" } : { body: document },
    );
    expect(await load({ AWS_CONTAINER_CREDENTIALS_FULL_URI: origin })).toEqual(TEMPORARY);
    expect(asked).toHaveLength(2);
    const refusing = await serve(() => ({ status: 403, body: "" }));
    await expect(load({ AWS_CONTAINER_CREDENTIALS_FULL_URI: refusing.origin })).rejects.toMatchObject({
      code: "unauthenticated",
      message: expect.stringContaining("403"),
    });
    expect(refusing.asked).toHaveLength(1);
  });
});

describe("instance metadata", () => {
  const metadata = (origin: string) => ({
    AWS_EC2_METADATA_DISABLED: undefined,
    AWS_EC2_METADATA_SERVICE_ENDPOINT: origin,
  });

  test("asks for a token first, and sends it with every question", async () => {
    const { origin, asked } = await serve(({ method, url }) => {
      if (method === "PUT") return { body: "metadata-token" };
      return { body: url!.endsWith("/") ? "the-role\n" : document };
    });
    expect(await load(metadata(origin))).toEqual(TEMPORARY);
    expect(asked.map(({ method, url }) => `${method} ${url}`)).toEqual([
      "PUT /latest/api/token",
      "GET /latest/meta-data/iam/security-credentials/",
      "GET /latest/meta-data/iam/security-credentials/the-role",
    ]);
    expect(asked[0]!.headers["x-aws-ec2-metadata-token-ttl-seconds"]).toBe("300");
    for (const { headers } of asked.slice(1))
      expect(headers["x-aws-ec2-metadata-token"]).toBe("metadata-token");
  });

  test.each([
    ["gives no token", () => ({ status: 405, body: "" })],
    [
      "the instance has no role",
      (asked: Asked) => (asked.method === "PUT" ? { body: "t" } : { status: 404, body: "" }),
    ],
  ])("goes on when it %s", async (why, answer) => {
    const { origin } = await serve(answer);
    await expect(load(metadata(origin))).rejects.toMatchObject({
      message: expect.stringMatching(new RegExp(`Missing S3 credentials.*${why}`)),
    });
  });

  test("does not keep a laptop waiting where nobody answers", async () => {
    const silent = createServer(() => undefined);
    servers.push(silent);
    await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
    const { port } = silent.address() as AddressInfo;
    const start = performance.now();
    const source = openCredentials({
      env: { ...base, ...metadata(`http://127.0.0.1:${port}`) },
      clock: systemClock,
      random: systemRandom,
      region: "r",
      metadataTimeoutMs: 150,
    });
    await expect(source.get()).rejects.toMatchObject({ message: expect.stringContaining("nobody answers") });
    expect(performance.now() - start).toBeLessThan(10_000);
    silent.closeAllConnections();
  });
});

describe("RenewingCredentials", () => {
  const MINUTE = 60_000;
  const setUp = (lifeMs: number | undefined) => {
    const clock = new VirtualClock();
    const state = { loads: 0, fails: false };
    const source = new RenewingCredentials(async (): Promise<Credentials> => {
      const number = ++state.loads;
      await clock.sleep(100);
      if (state.fails) throw new Error("out of order");
      const expiry = lifeMs === undefined ? {} : { expiresAtMs: clock.nowMs() + lifeMs };
      return { accessKeyId: `key ${number}`, secretAccessKey: "s", ...expiry };
    }, clock);
    const get = async (force = false): Promise<string> =>
      (await clock.run(source.get({ force }))).accessKeyId;
    return { clock, state, source, get, pass: (ms: number) => clock.run(clock.sleep(ms)) };
  };

  test("keeps what does not expire, and asks again when told that it did", async () => {
    const { get, pass } = setUp(undefined);
    expect(await get()).toBe("key 1");
    await pass(1000 * MINUTE);
    expect(await get()).toBe("key 1");
    expect(await get(true)).toBe("key 2");
  });

  test("many callers at once share one renewal", async () => {
    const { clock, source, state, pass } = setUp(60 * MINUTE);
    const together = () => clock.run(Promise.all(Array.from({ length: 50 }, () => source.get())));
    await together();
    expect(state.loads).toBe(1);
    await pass(56 * MINUTE);
    await together();
    expect(state.loads).toBe(2);
  });

  test("renews before the end, while the old ones still work", async () => {
    const { get, pass } = setUp(60 * MINUTE);
    expect(await get()).toBe("key 1");
    await pass(54 * MINUTE);
    expect(await get()).toBe("key 1");
    await pass(2 * MINUTE);
    expect(await get()).toBe("key 2");
  });

  test("goes on with valid ones while the renewal fails, without asking every time, and fails when they expired", async () => {
    const { get, pass, state } = setUp(60 * MINUTE);
    expect(await get()).toBe("key 1");
    await pass(56 * MINUTE);
    state.fails = true;
    expect(await get()).toBe("key 1");
    expect(await get()).toBe("key 1");
    expect(state.loads).toBe(2);
    await pass(5 * MINUTE);
    await expect(get()).rejects.toThrow("out of order");
    state.fails = false;
    expect(await get()).toBe("key 4");
  });

  test("a burst of requests that learn of an expiry renews once", async () => {
    const { get, pass, state } = setUp(60 * MINUTE);
    await get();
    await pass(MINUTE);
    for (let i = 0; i < 10; i++) expect(await get(true)).toBe("key 2");
    expect(state.loads).toBe(2);
  });

  test("a caller that gives up does not end the others' renewal", async () => {
    const { clock, source } = setUp(undefined);
    const stop = new AbortController();
    const first = source.get({ signal: stop.signal });
    const second = source.get();
    stop.abort();
    await expect(first).rejects.toMatchObject({ code: "aborted" });
    expect((await clock.run(second)).accessKeyId).toBe("key 1");
  });
});
