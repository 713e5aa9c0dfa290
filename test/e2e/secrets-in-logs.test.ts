/** Every secret that a server is shown, the right ones and the wrong ones, in every place: none is in its log. */
import { request as httpRequest } from "node:http";
import Database from "better-sqlite3";
import { expect, test } from "vitest";
import { recordsFile } from "../../src/server/auth/database/records.ts";
import { Visitor } from "../support/auth-server.ts";
import { Served } from "./served.ts";
import { type JsonDocument, World } from "./support.ts";

const OWNER_TOKEN = "owner-token-XQ7-not-to-be-logged";
const DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code";

/** What a token of each kind looks like, never issued. */
function wrongToken(kind: string): string {
  return `${kind}${"WrongAndSecret".repeat(4).slice(0, 43)}`;
}

test("a hostile day leaves no secret in the log, and none in the audit log", async () => {
  const world = await World.create();
  const created = world.json(["admin", "user", "create", "ada", "--admin", "--data", "forge"]);
  const { password } = created.document as { password: string };
  await using served = await stopping(
    Served.start(world, {
      token: OWNER_TOKEN,
      args: ["--verbose", "--allow-outbound", "127.0.0.1"],
      env: {
        OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:9",
        OTEL_EXPORTER_OTLP_HEADERS: "authorization=KeyOfTheCollectorSecret",
        OTEL_BSP_SCHEDULE_DELAY: "50",
      },
    }),
  );
  const { url } = served;
  const secrets = new Set<string>([OWNER_TOKEN, password, "KeyOfTheCollectorSecret"]);
  const secret = <Text extends string>(text: Text): Text => {
    secrets.add(text);
    return text;
  };
  const ask = async (path: string, init: RequestInit = {}, token: string | undefined = OWNER_TOKEN) => {
    const headers = { ...(token === undefined ? {} : { authorization: `Bearer ${token}` }), ...init.headers };
    const answer = await fetch(url + path, { ...init, headers, redirect: "manual" });
    const text = await answer.text();
    const isJson = answer.headers.get("content-type")?.includes("json") === true;
    return { status: answer.status, document: (isJson ? JSON.parse(text) : undefined) as JsonDocument };
  };
  const json = (body: unknown, method = "POST"): RequestInit => ({
    method,
    body: JSON.stringify(body),
    headers: { "content-type": "application/json" },
  });

  // Tokens: right, wrong, and where they do not belong.
  const made = await ask("/api/mic/account/tokens", json({ name: "ci", scope: "write" }));
  expect(made.status).toBe(201);
  const issued = secret(made.document.secret as string);
  await ask("/api/mic/projects", {}, issued);
  for (const kind of ["mic_", "micr_", "mics_", "micd_", "no-token-at-all-"]) {
    const wrong = secret(wrongToken(kind));
    await ask("/api/mic/projects", {}, wrong);
    await ask(`/api/mic/projects?token=${wrong}&access_token=${wrong}`);
    await ask(`/api/mic/projects/${wrong}`);
    await ask(`/metrics`, {}, wrong);
    await ask("/api/mic/projects", { headers: { cookie: `session=${wrong}`, "x-api-key": wrong } });
    await ask(`/mic.v1.ProjectService/ListProjects`, {
      method: "POST",
      headers: { "content-type": "application/grpc-web+proto", authorization: `Bearer ${wrong}` },
      body: new Uint8Array(5),
    });
    await ask(`/mic.v1.${wrong}/Nothing`, { method: "POST" });
  }
  const basic = secret(Buffer.from(`ada:${password}`).toString("base64"));
  await ask("/api/mic/projects", { headers: { authorization: `Basic ${basic}` } }, undefined);
  await brokenHead(url, `Bearer ${secret("a broken\u0001head-and-secret")}`);

  // Passwords, in forms and documents.
  const visitor = new Visitor(url);
  const guess = secret("GuessedPasswordSecret1");
  await visitor.logIn("ada", guess);
  await visitor.logIn(secret("PasswordAsANameSecret"), guess);
  expect((await visitor.logIn("ada", password)).status).toBe(303);
  for (const value of visitor.cookies.values()) secret(value);
  const chosen = secret("ChosenPasswordSecret-9x");
  await ask("/api/mic/users", json({ name: "bob", password: chosen }));
  await ask("/api/mic/users", json({ name: "!bad!", password: chosen }));
  await ask("/api/mic/users", { ...json({}), body: `{"name": "eve", "password": "${chosen}` });
  await ask("/api/mic/users/bob", json({ password: secret("AnotherPasswordSecret-8y") }, "PATCH"));

  // Signing in.
  const form = (fields: Readonly<Record<string, string>>): RequestInit => ({
    method: "POST",
    body: new URLSearchParams(fields),
  });
  const device = await ask("/oauth/device", form({ client_id: "mic-cli", scope: "read" }), undefined);
  expect(device.status).toBe(200);
  secret(device.document.device_code as string);
  secret(device.document.user_code as string);
  for (const fields of [
    { grant_type: DEVICE_GRANT, device_code: String(device.document.device_code), client_id: "mic-cli" },
    { grant_type: DEVICE_GRANT, device_code: secret(wrongToken("micd_x")), client_id: "mic-cli" },
    { grant_type: "refresh_token", refresh_token: secret(wrongToken("micr_x")), client_id: "mic-cli" },
    {
      grant_type: "authorization_code",
      code: secret("CodeOfNobodySecret"),
      code_verifier: secret("VerifierSecret"),
    },
    { grant_type: secret("GrantThatIsASecret") },
  ]) {
    await ask("/oauth/token", form(fields), undefined);
  }
  await ask(`/oauth/revoke`, form({ token: secret(wrongToken("mic_revoked")) }), undefined);
  await ask(
    `/oauth/authorize?client_id=x&state=${secret("StateSecret-of-a-client")}&code_challenge=c`,
    {},
    undefined,
  );

  // Webhooks.
  world.ok(["project", "create", "org/app", "--server", url], {
    env: { MIC_TOKEN: OWNER_TOKEN, MIC_SERVER: url },
  });
  const hook = await ask(
    "/api/mic/projects/org%2Fapp/webhooks",
    json({ url: `http://127.0.0.1:9/${secret("PathOfAHookSecret")}?k=${secret("QueryOfAHookSecret")}` }),
  );
  // Port 9 is no port for HTTP: refused by name, and not with what came behind it.
  expect(hook.status).toBe(400);
  const kept = await ask(
    "/api/mic/projects/org%2Fapp/webhooks",
    json({ url: `${url}/${secret("PathOfAnotherHookSecret")}` }),
  );
  expect(kept.status).toBe(201);
  secret(kept.document.secret.slice("whsec_".length));
  await ask(`/api/mic/projects/org%2Fapp/webhooks/${kept.document.id}/ping`, { method: "POST" });

  const audit = await ask("/api/mic/audit?limit=100");
  expect(audit.document.items.length).toBeGreaterThan(3);
  expect(await served.end("SIGTERM")).toBe(0);
  const log = served.log();
  expect(log.split("\n").filter((line) => line.includes('"event":"call"')).length).toBeGreaterThan(40);
  const records = recordsFile(world.path("forge", "auth", "accounts.db"));
  const database = new Database(records, { readonly: true });
  const rows = JSON.stringify(database.prepare("SELECT * FROM audit").all());
  database.close();
  for (const text of secrets) {
    for (const shown of [text, encodeURIComponent(text), JSON.stringify(text).slice(1, -1)]) {
      expect([shown, log.includes(shown)]).toEqual([shown, false]);
      expect([shown, rows.includes(shown)]).toEqual([shown, false]);
    }
  }
  // The collector is not there: that is told once, and its key is not.
  expect(log.split("\n").filter((line) => line.includes('"event":"traces"')).length).toBe(1);
});

/** A header that no client would send. */
async function brokenHead(url: string, authorization: string): Promise<void> {
  const { hostname, port } = new URL(url);
  await new Promise<void>((resolve) => {
    const call = httpRequest({ hostname, port, path: "/api/mic/projects", insecureHTTPParser: true });
    call.once("error", () => resolve());
    call.once("response", (response) => {
      response.resume();
      response.once("end", () => resolve());
    });
    try {
      call.setHeader("authorization", authorization);
    } catch (error) {
      if (!(error instanceof TypeError)) throw error;
      // The client refuses it itself: nothing was sent.
      call.destroy();
      resolve();
      return;
    }
    call.end();
  });
}

async function stopping(starting: Promise<Served>): Promise<Served & AsyncDisposable> {
  const served = await starting;
  return Object.assign(served, {
    [Symbol.asyncDispose]: async () => void (await served.end("SIGKILL")),
  });
}
