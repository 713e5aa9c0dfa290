/**
 * The executable on a bucket: directly on `s3://`, through `mic serve --s3-bucket`, and both at once. The store is an S3
 * server in this process that checks every signature.
 */
import { existsSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { S3Server } from "../support/s3-server.ts";
import { Served } from "./served.ts";
import { type JsonDocument, type RunResult, readTree, World } from "./support.ts";

let world: World;
let s3: S3Server;
let env: Record<string, string>;

beforeAll(async () => {
  world = await World.create();
  s3 = await S3Server.start({ bucket: "forge" });
  env = {
    S3_ENDPOINT: s3.endpoint,
    S3_REGION: s3.region,
    AWS_ACCESS_KEY_ID: s3.credentials.accessKeyId,
    AWS_SECRET_ACCESS_KEY: s3.credentials.secretAccessKey,
    AWS_EC2_METADATA_DISABLED: "true",
  };
}, 120_000);
afterAll(async () => await s3[Symbol.asyncDispose]());

interface In {
  readonly in?: string;
  readonly env?: Readonly<Record<string, string | undefined>>;
}

/** The store is in this process, which must go on meanwhile. */
function run(args: readonly string[], options: In = {}): Promise<RunResult> {
  return world.start(args, { ...options, env: { ...env, ...options.env } });
}
async function ok(args: readonly string[], options: In = {}): Promise<string> {
  const { code, stdout, stderr } = await run(args, options);
  if (code !== 0) throw new Error(`mic ${args.join(" ")} exited with ${code}\n${stdout}${stderr}`);
  return stdout;
}
async function json(
  args: readonly string[],
  options: In = {},
): Promise<{ code: number | null; document: JsonDocument }> {
  const { code, stdout, stderr } = await run(["--json", ...args], options);
  if (!/^[^\n]+\n$/.test(stdout)) throw new Error(`not one line: ${JSON.stringify(stdout)} ${stderr}`);
  return { code, document: JSON.parse(stdout) };
}
const keys = (prefix: string): string[] =>
  [...s3.objects.objects.keys()].filter((key) => key.startsWith(prefix)).sort();

describe("directly on s3://", () => {
  test("a project is made, cloned, landed into, synchronised and read, with no server at all", async () => {
    const created = await json(["project", "create", "s3://forge/team/ada/notes", "-d", "what I know"]);
    expect(created.document).toMatchObject({ name: "ada/notes", description: "what I know" });
    expect(keys("team/probe/")).toEqual([]);
    expect(keys("team/names/")).toEqual(["team/names/ada/notes"]);
    await ok(["clone", "s3://forge/team/ada/notes", "one"]);
    await ok(["clone", "s3://forge/team/ada/notes/", "two"]);
    world.write("one/src/a.txt", "a\nb\nc\n");
    world.write(
      "one/large.bin",
      new Uint8Array(3_000_000).map((_, at) => (at * at) >> 9),
    );
    expect((await json(["land", "add a"], { in: "one" })).document).toMatchObject({
      position: 1,
      changes: 2,
    });
    expect((await json(["sync"], { in: "two" })).document).toMatchObject({ position: 1, conflicts: [] });
    world.write("two/src/a.txt", "a\nb\nC\n");
    await ok(["land", "change c"], { in: "two" });
    world.write("one/src/a.txt", "A\nb\nc\n");
    expect((await json(["land", "change a"], { in: "one" })).code).toBe(3);
    expect((await json(["land", "change a", "--sync"], { in: "one" })).document).toMatchObject({
      position: 3,
    });
    await ok(["sync"], { in: "two" });
    expect(readTree(world.path("two"))).toEqual(readTree(world.path("one")));
    expect(world.read("two/src/a.txt")).toBe("A\nb\nC\n");
    const log = await ok(["--json", "log"], { in: "one" });
    expect(
      log
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line).position),
    ).toEqual([3, 2, 1]);
    await ok(["session", "start", "write b"], { in: "one" });
    await ok(["session", "decision", "in a file of its own"], { in: "one" });
    world.write("one/b.txt", "b");
    expect((await json(["session", "land"], { in: "one" })).document).toMatchObject({ position: 4 });
    expect(await ok(["cat", "@4", "b.txt"], { in: "one" })).toBe("b");
    await ok(["goto", "1"], { in: "two" });
    expect(world.read("two/src/a.txt")).toBe("a\nb\nc\n");
    expect((await json(["fsck"], { in: "one" })).document).toMatchObject({ positions: 4, findings: [] });
    const projects = await json(["project", "list", "--server", "s3://forge/team"]);
    expect(projects.document.projects.map(({ name }: { name: string }) => name)).toEqual(["ada/notes"]);
    const organizations = await json(["org", "list", "--server", "s3://forge/team"]);
    expect(organizations.document.organizations.map(({ name }: { name: string }) => name)).toEqual(["ada"]);
  });

  test("status needs no store, and a workspace remembers its forge", async () => {
    const before = s3.requests.length;
    const { code, document } = await json(["status"], {
      in: "one",
      env: { S3_ENDPOINT: "http://127.0.0.1:1" },
    });
    expect([code, document.project]).toEqual([0, "ada/notes"]);
    expect(s3.requests.length).toBe(before);
  });

  test("the endpoint can come from the configuration", async () => {
    await ok(["config", "set", "s3.endpoint", s3.endpoint]);
    await ok(["config", "set", "s3.region", s3.region]);
    const there = await json(["project", "get"], {
      in: "one",
      env: { S3_ENDPOINT: undefined, S3_REGION: undefined },
    });
    expect(there.document).toMatchObject({ name: "ada/notes", position: 4 });
    const refused = await json(["config", "set", "s3.endpoint", "minio:9000"]);
    expect(refused.document.error).toMatchObject({
      code: "usage",
      hint: expect.stringContaining("https://minio"),
    });
    await ok(["config", "unset", "s3.endpoint"]);
    await ok(["config", "unset", "s3.region"]);
  });

  test("a command probes a bucket once", async () => {
    const probes = () => s3.requests.filter(({ key }) => key.includes("/probe/")).length;
    const before = probes();
    expect(before).toBeGreaterThan(100);
    await ok(["project", "create", "s3://forge/team/ada/second"]);
    expect(probes()).toBe(before);
    await ok(["project", "delete", "s3://forge/team/ada/second", "--yes"]);
  });

  test("a forge inside a workspace is published to a bucket", async () => {
    world.write("own/file.txt", "mine\n");
    await ok(["init", "--name", "bob/own"], { in: "own" });
    await ok(["land", "first"], { in: "own" });
    expect((await json(["publish", "s3://forge/team"], { in: "own" })).document).toEqual({
      project: "bob/own",
      positions: 1,
    });
    world.write("own/file.txt", "ours\n");
    await ok(["land", "second"], { in: "own" });
    await ok(["clone", "s3://forge/team/bob/own", "own-clone"]);
    expect(world.read("own-clone/file.txt")).toBe("ours\n");
  });

  test.each([
    [["project", "create", "s3://nowhere/ada/x"], {}, 1, "not-found", /no bucket nowhere/],
    [["clone", "s3://forge/team/ada/missing", "x"], {}, 1, "not-found", /ada\/missing/],
    [["clone", "s3://forge", "x"], {}, 2, "usage", /which project/],
    [["clone", "s3://forge/a/b"], { S3_ENDPOINT: "minio:9000" }, 2, "usage", /S3_ENDPOINT=minio:9000/],
    [
      ["clone", "s3://forge/team/ada/notes", "x"],
      { AWS_SECRET_ACCESS_KEY: "wrong" },
      4,
      "unauthenticated",
      /signature/,
    ],
    [
      ["clone", "s3://forge/team/ada/notes", "x"],
      { AWS_ACCESS_KEY_ID: undefined, AWS_SECRET_ACCESS_KEY: undefined },
      4,
      "unauthenticated",
      /Missing S3 credentials/,
    ],
    [
      ["project", "create", "s3://forge/a/b"],
      { S3_ENDPOINT: "https://s3.us-west-002.backblazeb2.com" },
      1,
      "unsupported",
      /501/,
    ],
  ] as const)("%j with %j is refused by name", async (args, change, exitCode, code, message) => {
    const { code: found, document } = await json(args, { env: change });
    expect(document.error).toMatchObject({ code, message: expect.stringMatching(message) });
    expect(document.error.hint).toEqual(expect.stringMatching(/./));
    expect(found).toBe(exitCode);
  });
});

describe("mic serve --s3-bucket", () => {
  test("two servers and a command work on one bucket at once", async () => {
    await using one = await serve("data-1");
    await using two = await serve("data-2");
    await ok(["project", "create", "s3://forge/shared/ada/board"]);
    const env: Record<string, Record<string, string>> = {
      w1: { MIC_TOKEN: TOKEN, MIC_SERVER: one.url },
      w2: { MIC_TOKEN: TOKEN, MIC_SERVER: two.url },
      w3: {},
    };
    await ok(["clone", `${one.url}/ada/board`, "w1"], { env: env["w1"]! });
    await ok(["clone", `${two.url}/ada/board`, "w2"], { env: env["w2"]! });
    await ok(["clone", "s3://forge/shared/ada/board", "w3"]);
    const rounds = [1, 2, 3];
    const landings = ["w1", "w2", "w3"].map(async (workspace) => {
      for (const round of rounds) {
        world.write(`${workspace}/${workspace}-${round}.txt`, `${round}`);
        await ok(["land", `${workspace} ${round}`, "--sync"], { in: workspace, env: env[workspace]! });
      }
    });
    await Promise.all(landings);
    for (const workspace of ["w1", "w2", "w3"]) {
      const synced = await json(["sync"], { in: workspace, env: env[workspace]! });
      expect(synced.document).toMatchObject({ position: 9, conflicts: [] });
      expect(readTree(world.path(workspace))).toEqual(readTree(world.path("w1")));
    }
    const checked = await json(["fsck"], { in: "w3" });
    expect(checked.document).toMatchObject({ positions: 9, findings: [] });
    expect(await one.server.end("SIGTERM")).toBe(0);
  });

  test("refuses to start on a store that ignores conditions", async () => {
    await using lying = await S3Server.start({ bucket: "forge" });
    const { answer } = lying.objects;
    lying.objects.answer = (request) => {
      const { "if-match": _match, "if-none-match": _none, ...headers } = request.headers;
      return answer.call(lying.objects, request.method === "PUT" ? { ...request, headers } : request);
    };
    const args = [
      "serve",
      "--json",
      "--data",
      world.path("lying"),
      "--listen",
      "127.0.0.1:0",
      "--s3-bucket",
      "forge",
    ];
    const refused = await run(args, { env: { S3_ENDPOINT: lying.endpoint } });
    expect(refused.code).toBe(1);
    expect(refused.stdout + refused.stderr).toMatch(/cannot hold a forge/);
    const created = await json(["project", "create", "s3://forge/a/b"], {
      env: { S3_ENDPOINT: lying.endpoint },
    });
    expect(created.document.error).toMatchObject({ code: "unsupported" });
    const probed = await json(["storage", "probe", "s3://forge"], { env: { S3_ENDPOINT: lying.endpoint } });
    expect([probed.code, probed.document.passed]).toEqual([1, false]);
    expect(lying.objects.objects.size).toBe(0);
  });

  test("says which line is missing", async () => {
    const args = ["serve", "--data", world.path("none")];
    const { code, stderr } = await run(args, { env: { STORAGE_BACKEND: "s3" } });
    expect([code, stderr]).toEqual([2, expect.stringMatching(/Missing S3 bucket.*export S3_BUCKET=/s)]);
  });
});

describe("mic storage", () => {
  test("probes, counts and moves", async () => {
    expect((await json(["storage", "probe", "s3://forge/team"])).document).toMatchObject({ passed: true });
    const counted = await json(["storage", "stat", "s3://forge/team"]);
    expect(counted.document).toMatchObject({ store: "s3://forge/team", objects: keys("team/").length });
    const names = counted.document.projects.map(({ project = "" }: { project?: string }) => project).sort();
    expect(names).toEqual(["", "ada/notes", "bob/own"]);
    const mistyped = await json(["storage", "migrate", "s3://forge/teem", "./moved"]);
    expect([mistyped.code, mistyped.document.error.code]).toEqual([1, "not-found"]);
    expect(existsSync(world.path("moved"))).toBe(false);
    const project = await json(["project", "list", "--server", "s3://forge/team/ada/notes"]);
    expect([project.code, project.document.error.hint]).toEqual([
      2,
      expect.stringMatching(/: s3:\/\/forge\/team$/),
    ]);
    expect((await json(["project", "list", "--server", "s3://forge/new/x"])).document).toEqual({
      projects: [],
    });
    const moved = await json(["storage", "migrate", "s3://forge/team", "./moved"]);
    expect(moved.document.projects.map(({ name, position }: JsonDocument) => [name, position])).toEqual([
      ["ada/notes", 4],
      ["ada/second", 0],
      ["bob/own", 2],
    ]);
    expect((await json(["fsck", "./moved/ada/notes"])).document).toMatchObject({
      positions: 4,
      findings: [],
    });
    const one = await json(["storage", "migrate", "./moved/ada/notes", "s3://forge/back/ada/notes"]);
    expect(one.document).toMatchObject({ to: "s3://forge/back", projects: [{ name: "ada/notes" }] });
    expect((await json(["storage", "stat", "s3://forge/back/ada/notes"])).document.project).toBe("ada/notes");
    const again = await json(["storage", "migrate", "./moved/ada/notes", "s3://forge/back"]);
    expect(again.document).toMatchObject({ copied: 0 });
    const mixed = await json(["storage", "migrate", "./moved", "s3://forge/shared"]);
    expect(mixed.document.error.code).toBe("already-exists");
    await ok(["publish", "s3://forge/back"], { in: "one" });
    expect((await json(["project", "get"], { in: "one" })).document).toMatchObject({ position: 4 });
  });
});

const TOKEN = "token-of-the-end-to-end-tests";

async function serve(
  data: string,
): Promise<AsyncDisposable & { readonly url: string; readonly server: Served }> {
  const server = await Served.start(world, {
    data,
    args: [
      "--s3-bucket",
      "forge",
      "--s3-prefix",
      "shared",
      "--s3-endpoint",
      s3.endpoint,
      "--s3-region",
      s3.region,
    ],
    env,
  });
  return {
    url: server.url,
    server,
    [Symbol.asyncDispose]: async () => {
      await server.end("SIGKILL");
    },
  };
}
