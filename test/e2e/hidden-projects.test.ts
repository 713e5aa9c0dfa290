/** RELIABILITY 43: a project that the caller may not see looks like one that is not there, at a running server. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { ProjectId } from "../../src/core/base/ids.ts";
import { systemClock, systemRandom } from "../../src/core/base/system.ts";
import { openRemoteForge } from "../../src/core/remote/remote-forge.ts";
import { AuthDatabase } from "../../src/server/auth/database/auth-database.ts";
import { accountsFile } from "../../src/server/auth/owner-token.ts";
import { SqliteAccounts } from "../../src/server/auth/sqlite-accounts.ts";
import { callMethod, methodRequest } from "../support/access-requests.ts";
import type { AccessProject } from "../support/access-world.ts";
import { Served } from "./served.ts";
import { World } from "./support.ts";

const OWNER = "token-of-the-end-to-end-tests";
const world = await World.create();
let served: Served;
let database: AuthDatabase;
/** Of a user who has no role anywhere. */
let stranger: string;
let privateId: string;
const ABSENT_ID = "0123456789abcdef0123456789abcdef";

beforeAll(async () => {
  served = await Served.start(world);
  const made = await fetch(`${served.url}/api/mic/projects`, {
    method: "POST",
    headers: { authorization: `Bearer ${OWNER}`, "content-type": "application/json" },
    body: JSON.stringify({ name: "acme/secret" }),
  });
  privateId = ((await made.json()) as { id: string }).id;
  // Beside the running server, as `mic admin --data` works.
  database = new AuthDatabase({ file: accountsFile(world.path("forge")) });
  using accounts = new SqliteAccounts({ database, clock: systemClock, random: systemRandom });
  const { id: user } = await accounts.createUser({ name: "mallory" });
  stranger = accounts.createToken({ user, kind: "personal", name: "test", scope: "admin" }).secret;
});
afterAll(() => database[Symbol.dispose]());

/** [hidden, absent]: by name and by id. */
const PAIRS = (): readonly (readonly [string, string])[] => [
  ["acme/secret", "acme/absent"],
  ["acme/secret", "none/absent"],
  [privateId, ABSENT_ID],
];
const PATHS = [
  "",
  "/head",
  "/tree",
  "/landings",
  "/sessions",
  "/members",
  "/webhooks",
  "/archive",
  "/diff?from=0&to=0",
];

interface Told {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  readonly ms: number;
}

async function ask(what: string, path: string, token: string | undefined): Promise<Told> {
  const startedMs = performance.now();
  const response = await fetch(`${served.url}/api/mic/projects/${encodeURIComponent(what)}${path}`, {
    headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
  });
  const text = await response.text();
  const { date: _, ...headers } = Object.fromEntries(response.headers);
  const body = text.replaceAll(what, "WHAT");
  // The length tells the length of the name that was asked for.
  if (headers["content-length"] !== undefined) {
    headers["content-length"] = String(Number(headers["content-length"]) - (text.length - body.length));
  }
  return { status: response.status, headers, body, ms: performance.now() - startedMs };
}

const CALLERS: readonly (readonly [who: string, token: () => string | undefined, status: number])[] = [
  ["a stranger", () => stranger, 404],
  ["nobody", () => undefined, 401],
];

describe.each(CALLERS)("43: %s", (_who, token, status) => {
  test("is told the same of a private project and of none, whatever is asked", async () => {
    for (const [hidden, absent] of PAIRS()) {
      for (const path of PATHS) {
        const { ms: _a, ...one } = await ask(hidden, path, token());
        const { ms: _b, ...other } = await ask(absent, path, token());
        expect(one, path).toEqual(other);
        expect(one.status, path).toBe(status);
      }
    }
  });

  // Where time is measured, a busy machine may spoil it; what is wrong fails every time.
  test("in the same time", { retry: 3 }, async () => {
    for (const [hidden, absent] of PAIRS()) {
      const times: [number[], number[]] = [[], []];
      for (let round = 0; round < 25; round++) {
        times[0].push((await ask(hidden, "/head", token())).ms);
        times[1].push((await ask(absent, "/head", token())).ms);
      }
      const [one, other] = [Math.min(...times[0]), Math.min(...times[1])];
      expect(Math.abs(one - other), `${one} and ${other}`).toBeLessThan(3);
      expect(Math.min(one, other)).toBeGreaterThan(20);
    }
  });

  test("also over the calls of the command line", async () => {
    const project = (name: string): AccessProject => ({
      id: name as AccessProject["id"],
      org: "acme",
      name,
      limitedToken: undefined,
    });
    for (const [hidden, absent] of PAIRS()) {
      for (const path of ["/mic.v1.ContentService/GetHead", "/mic.v1.SessionService/ListSessions"]) {
        const one = await callMethod(served.url, path, methodRequest(path, project(hidden)), token());
        const other = await callMethod(served.url, path, methodRequest(path, project(absent)), token());
        expect(one.code).not.toBe(0);
        expect({ code: one.code, message: one.message.replaceAll(hidden, "WHAT") }).toEqual({
          code: other.code,
          message: other.message.replaceAll(absent, "WHAT"),
        });
      }
    }
  });
});

test("43: to make a project under an id that is taken tells nothing of what has it", async () => {
  const make = (token: string, body: object) =>
    fetch(`${served.url}/api/mic/projects`, {
      method: "POST",
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
      body: JSON.stringify(body),
    });
  const gone = ((await (await make(OWNER, { name: "acme/gone" })).json()) as { id: string }).id;
  await fetch(`${served.url}/api/mic/projects/${gone}`, {
    method: "DELETE",
    headers: { authorization: `Bearer ${OWNER}` },
  });
  const ports = { clock: systemClock, random: systemRandom };
  await using forge = await openRemoteForge(served.url, { token: stranger, ...ports });
  const answers: unknown[] = [];
  for (const id of [privateId, gone] as ProjectId[]) {
    const answer = await make(stranger, { name: "mallory/x", id });
    const text = (await answer.text()).replaceAll(id, "ID");
    expect(answer.status).toBe(409);
    expect(text).not.toContain("acme");
    const error: unknown = await forge
      .createProject({ id, name: "mallory/x" })
      .catch((cause: unknown) => cause);
    answers.push([text, (error as Error).message.replaceAll(id, "ID")]);
  }
  expect(answers[1]).toEqual(answers[0]);
  expect((await ask(privateId, "/members", stranger)).status).toBe(404);
});

test("43: its owner sees it, so that the others were told something", async () => {
  expect((await ask("acme/secret", "/head", OWNER)).status).toBe(200);
  expect((await ask("acme/absent", "/head", OWNER)).status).toBe(404);
});
