/** Every endpoint, every caller, every kind of project, against the table in ../support/access-expectations.ts. */
import { Client, credentials } from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { EMPTY_ROOT, type Position } from "../../src/core/base/ids.ts";
import { encodeImportLandings } from "../../src/core/wire/land.ts";
import { GRPC, type WireStatus } from "../../src/core/wire/status.ts";
import { allMethods } from "../../src/server/methods/all-methods.ts";
import type { Route } from "../../src/server/rest/route.ts";
import { ROUTES } from "../../src/server/rest/routes.ts";
import {
  CALLERS,
  type Caller,
  EXPECTED,
  METHOD_CLASSES,
  PATH_CLASSES,
  type ProjectKind,
  REST_CLASSES,
} from "../support/access-expectations.ts";
import {
  callGrpc,
  callMethod,
  methodRequest,
  REST_REQUESTS,
  type RestRequest,
} from "../support/access-requests.ts";
import { type AccessProject, AccessWorld } from "../support/access-world.ts";

const KINDS: readonly ProjectKind[] = ["public", "private", "absent"];
const ABSENT: AccessProject = {
  id: "0".repeat(32) as AccessProject["id"],
  org: "no-such-org",
  name: "no-such-org/none",
  limitedToken: undefined,
};
const HIDDEN = /^there is no (?:project|organization) /;

let world: AccessWorld;
let client: Client;
const projects: Partial<Record<ProjectKind, Promise<AccessProject>>> = {};
let calls = 0;
beforeAll(async () => {
  world = await AccessWorld.start();
  client = new Client(new URL(world.url).host, credentials.createInsecure());
});
afterAll(async () => {
  client.close();
  await world[Symbol.asyncDispose]();
});

type Ask = (project: AccessProject, token: string | undefined) => Promise<string>;

/** One letter for each caller. Where the call ends the project, each has one of its own. */
async function outcomes(kind: ProjectKind, ask: Ask, isDestructive: boolean): Promise<string> {
  const open = async (): Promise<AccessProject> => (kind === "absent" ? ABSENT : await world.project(kind));
  if (!isDestructive) projects[kind] ??= open();
  const shared = isDestructive ? undefined : await projects[kind];
  const one = async (caller: Caller): Promise<string> => {
    const project = shared ?? (await open());
    return await ask(project, world.token(caller, project));
  };
  return (await Promise.all(CALLERS.map(one))).join("");
}

/** Says nothing of access. A stream without an end was let in: it ends with its deadline. */
const FAILURES: ReadonlySet<number> = new Set([
  GRPC.CANCELLED,
  GRPC.UNKNOWN,
  GRPC.INTERNAL,
  GRPC.UNAVAILABLE,
]);

function letterOf(wire: WireStatus): string {
  if (FAILURES.has(wire.code)) throw new Error(`status ${wire.code}: ${wire.message}`);
  if (wire.code === GRPC.UNAUTHENTICATED) return "U";
  if (wire.code === GRPC.PERMISSION_DENIED) return "F";
  return wire.code === GRPC.NOT_FOUND && HIDDEN.test(wire.message) ? "H" : "A";
}

async function askRest(route: Route, project: AccessProject, token: string | undefined): Promise<string> {
  return await ask(route.method, REST_REQUESTS[route.id]!(project), token);
}

async function ask(
  method: string,
  { path, body, bytes }: RestRequest,
  token: string | undefined,
): Promise<string> {
  const stop = new AbortController();
  const response = await fetch(world.url + path, {
    method,
    headers: {
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...(body === undefined ? {} : { "content-type": "application/json" }),
      "x-forwarded-for": `198.51.${++calls >> 8}.${calls & 255}`,
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    ...(bytes === undefined ? {} : { body: bytes }),
    signal: stop.signal,
  });
  try {
    if (response.status === 401) return "U";
    if (response.status === 403) return "F";
    if (response.status !== 404) return "A";
    const { detail } = (await response.json()) as { readonly detail: string };
    return HIDDEN.test(detail) ? "H" : "A";
  } finally {
    stop.abort();
  }
}

const methods = allMethods();

describe("the table names every endpoint there is, and no other", () => {
  test("of REST", () => {
    expect(Object.keys(REST_CLASSES).sort()).toEqual(ROUTES.map(({ id }) => id).sort());
  });
  test("of gRPC and the content transport", () => {
    expect(Object.keys(METHOD_CLASSES).sort()).toEqual(methods.map(({ path }) => path.slice(1)).sort());
  });
});

describe.each(KINDS)("a %s project", (kind) => {
  test.each(ROUTES.map((route) => [route.id, route] as const))("REST %s", async (id, route) => {
    const found = await outcomes(
      kind,
      (project, token) => askRest(route, project, token),
      id === "deleteProject",
    );
    expect(found).toBe(EXPECTED[REST_CLASSES[id]!][kind]);
  });

  test.each(Object.keys(PATH_CLASSES))("GET %s", async (path) => {
    const found = await outcomes(kind, (_project, token) => ask("GET", { path }, token), false);
    expect(found).toBe(EXPECTED[PATH_CLASSES[path]!][kind]);
  });

  test.each(methods.map(({ path }) => path))("%s", async (path) => {
    const expected = EXPECTED[METHOD_CLASSES[path.slice(1)]!][kind];
    const isDestructive = path.endsWith("/DeleteProject");
    const overHttp = await outcomes(
      kind,
      async (project, token) =>
        letterOf(await callMethod(world.url, path, methodRequest(path, project), token)),
      isDestructive,
    );
    const overGrpc = await outcomes(
      kind,
      async (project, token) => letterOf(await callGrpc(client, path, methodRequest(path, project), token)),
      isDestructive,
    );
    expect({ overHttp, overGrpc }).toEqual({ overHttp: expected, overGrpc: expected });
  });
});

test.each(["public", "private"] as const)(
  "an import into a %s project past its policy asks for an owner",
  async (kind) => {
    const path = "/mic.v1.ProjectService/ImportLandings";
    const after = { position: 0 as Position, root: EMPTY_ROOT };
    const history = { after, landings: [], packs: [], frames: [], allowSecrets: true };
    const request = ({ name }: AccessProject): Uint8Array =>
      Buffer.concat([...encodeImportLandings(name, history)].flat());
    const found = await outcomes(
      kind,
      async (project, token) => letterOf(await callMethod(world.url, path, request(project), token)),
      false,
    );
    expect(found).toBe(EXPECTED["project-own"][kind]);
  },
);
