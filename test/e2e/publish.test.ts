import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { Served } from "./served.ts";
import { readTree, World } from "./support.ts";
import { hasTmux, Terminal } from "./terminal.ts";

const LANDINGS = 50;

/** A workspace with a history of landings, sessions, and content large enough for packs of its own. */
function makeHistory(world: World, dir: string): void {
  world.ok(["init", dir]);
  const inside = { in: dir };
  world.write(`${dir}/large.bin`, randomBytes(12 << 20));
  world.ok(["land", "something large"], inside);
  for (let i = 2; i <= LANDINGS; i++) {
    const isSession = i % 10 === 0;
    if (isSession) {
      world.ok(["session", "start", `session of ${i}`], inside);
      world.ok(["session", "decision", `because of ${i}`], inside);
    }
    world.write(`${dir}/src/file-${i % 7}.txt`, `${i}\n`.repeat(i));
    world.ok(isSession ? ["session", "land"] : ["land", `goal ${i}`, "--agent", "bot"], inside);
  }
  world.ok(["session", "start", "given up"], inside);
  world.ok(["session", "abandon"], inside);
  world.ok(["session", "start", "still open"], inside);
  world.ok(["session", "say", "user", "go on"], inside);
}

/** A publish of `work` that is still running. */
function start(world: World, args: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const child = spawn(world.binary, args, {
    cwd: world.path("work"),
    env: { ...world.env, ...env },
    stdio: "ignore",
  });
  const ended = new Promise<number | NodeJS.Signals | null>((resolve) =>
    child.on("exit", (code, signal) => resolve(code ?? signal)),
  );
  return { child, ended };
}

interface Said {
  readonly log: string;
  readonly sessions: unknown;
  readonly shown: readonly string[];
  readonly tree: unknown;
}

/** Everything that can be read of a project, as it is printed. */
function say(world: World, dir: string): Said {
  const inside = { in: dir };
  const { document } = world.json(["session", "list"], inside);
  return {
    log: world.ok(["log", "--json"], inside),
    sessions: document.sessions.toSorted((a: { session: string }, b: { session: string }) =>
      a.session < b.session ? -1 : 1,
    ),
    shown: [1, 10, LANDINGS].map((position) => world.ok(["show", `${position}`, "--json"], inside)),
    tree: readTree(world.path(dir)),
  };
}

function fsckFindings(world: World, dir: string): string[] {
  const { document } = world.json(["fsck"], { in: dir });
  return document.findings.map((finding: { code: string }) => finding.code);
}

describe("mic publish", () => {
  test("moves a history to a directory forge as it is, also when it is killed again and again", async () => {
    const world = await World.create();
    makeHistory(world, "work");
    const before = say(world, "work");
    const args = ["publish", world.path("forge"), "--as", "acme/notes", "--json"];

    let kills = 0;
    for (let waitMs = 4; ; waitMs *= 1.6) {
      const { child, ended } = start(world, args);
      if (await Promise.race([ended.then(() => false), delay(waitMs, true)])) child.kill("SIGKILL");
      const end = await ended;
      expect([0, "SIGKILL"]).toContain(end);
      if (end === 0) break;
      kills++;
      // Whatever was copied, the workspace still answers.
      expect(world.json(["status"], { in: "work" }).document.position).toBe(LANDINGS);
    }
    expect(kills).toBeGreaterThan(1);

    const published = world.json(args.slice(0, -1), { in: "work" });
    expect(published).toMatchObject({ code: 0, document: { project: "acme/notes", positions: LANDINGS } });
    expect(say(world, "work")).toEqual(before);
    expect(fsckFindings(world, "work").filter((code) => code !== "unreferenced")).toEqual([]);
    const { document: status } = world.json(["status"], { in: "work" });
    expect(status).toMatchObject({ project: "acme/notes", position: LANDINGS, changes: [] });

    world.ok(["clone", world.path("forge/acme/notes"), "copy"]);
    expect(readTree(world.path("copy"))).toEqual(before.tree);
    world.write("copy/new.txt", "from the copy\n");
    world.ok(["land", "from a clone"], { in: "copy" });
    world.ok(["sync"], { in: "work" });
    expect(world.read("work/new.txt")).toBe("from the copy\n");
    expect(world.json(["session", "land", "--allow-empty"], { in: "work" }).document.position).toBe(52);
  });

  test("goes on after its server was killed in the middle", async () => {
    const world = await World.create();
    world.ok(["init", "work"]);
    for (let i = 1; i <= 3; i++) {
      world.write(`work/part-${i}`, randomBytes(5 << 20));
      world.ok(["land", `part ${i}`], { in: "work" });
    }
    const log = world.ok(["log", "--json"], { in: "work" });
    let server = await Served.start(world);
    const { port, url } = server;
    const env = { MIC_TOKEN: "token-of-the-end-to-end-tests", MIC_SERVER: url };
    let kills = 0;
    for (let waitMs = 40; ; waitMs *= 1.7) {
      const { ended } = start(world, ["publish", url, "--as", "acme/app", "--timeout", "3"], env);
      if (await Promise.race([ended.then(() => false), delay(waitMs, true)])) {
        await server.end("SIGKILL");
        kills++;
      }
      const end = await ended;
      if (end === 0) break;
      expect(end).toBe(5);
      server = await Served.start(world, { port });
    }
    expect(kills).toBeGreaterThan(0);
    await server.end("SIGKILL");
    await Served.start(world, { port });
    expect(world.ok(["log", "--json"], { in: "work", env })).toBe(log);
    const fsck = world.json(["fsck"], { in: "work", env }).document.findings;
    expect(fsck.filter(({ code }: { code: string }) => code !== "unreferenced")).toEqual([]);
    expect(world.json(["status"], { in: "work" }).document).toMatchObject({
      project: "acme/app",
      changes: [],
    });
  });

  test("goes back into the workspace with what was landed in between", async () => {
    const world = await World.create();
    world.ok(["init", "work"]);
    world.write("work/a", "1\n");
    world.ok(["land", "one"], { in: "work" });
    world.ok(["publish", world.path("srv/acme/app")], { in: "work" });
    world.write("work/a", "2\n");
    world.ok(["land", "two"], { in: "work" });
    const log = world.ok(["log", "--json"], { in: "work" });
    const { document } = world.json(["publish", "./.mic/forge"], { in: "work" });
    expect(document).toEqual({ project: "local/work", positions: 2 });
    expect(world.ok(["log", "--json"], { in: "work" })).toBe(log);
  });

  test("refuses a name that is taken and an address that names two projects", async () => {
    const world = await World.create();
    world.ok(["init", "work"]);
    world.ok(["project", "create", world.path("srv/acme/app")]);
    const taken = world.json(["publish", world.path("srv"), "--as", "acme/app"], { in: "work" });
    expect(taken).toMatchObject({ code: 1, document: { error: { code: "already-exists" } } });
    const twice = world.json(["publish", world.path("srv/acme/other"), "--as", "acme/app"], { in: "work" });
    expect(twice).toMatchObject({ code: 2, document: { error: { code: "usage" } } });
    expect(world.json(["status"], { in: "work" }).document.project).toBe("local/work");
  });
});

describe("mic project and mic org", () => {
  test("make, list, change and delete projects of a forge directory", async () => {
    const world = await World.create();
    const server = ["--server", "./srv"];
    const created = world.json(["project", "create", "./srv/acme/app", "--public", "-d", "An app"]).document;
    expect(created).toMatchObject({ name: "acme/app", description: "An app", visibility: "public" });
    expect(created.id).toMatch(/^[0-9a-f]{32}$/);
    expect(created.createdAt).toMatch(/^\d{4}-\d\d-\d\dT.*Z$/);
    world.ok(["org", "create", "other", "-d", "Others", ...server]);
    const organizations = world.json(["org", "list", ...server]).document.organizations;
    expect(organizations.map((each: { name: string }) => each.name)).toEqual(["acme", "other"]);
    expect(world.json(["org", "get", "other", ...server]).document).toEqual(organizations[1]);
    expect(world.json(["project", "list", ...server]).document).toEqual({ projects: [created] });
    expect(world.json(["project", "list", "--org", "other", ...server]).document).toEqual({ projects: [] });
    const renamed = world.json(["project", "update", "acme/app", "--name", "other/app", ...server]).document;
    expect(renamed).toEqual({ ...created, name: "other/app" });
    expect(world.json(["project", "get", "./srv/acme/app"]).document).toEqual({ ...renamed, position: 0 });
    const unasked = world.json(["project", "delete", "other/app", ...server]);
    expect(unasked).toMatchObject({ code: 2, document: { error: { code: "usage" } } });
    const deleted = world.json(["project", "delete", "other/app", "--yes", ...server]);
    expect(deleted).toMatchObject({ code: 0, document: { name: "other/app", deleted: true } });
    const gone = world.json(["project", "get", "./srv/other/app"]);
    expect(gone).toMatchObject({ code: 1, document: { error: { code: "not-found" } } });
  });

  test.skipIf(!hasTmux)("a deletion on a terminal asks for the name", async () => {
    const world = await World.create();
    world.ok(["project", "create", "./srv/acme/app"]);
    const remove = `"${world.binary}" project delete ./srv/acme/app`;
    const size = { columns: 100, rows: 20 };
    for (const [keys, code] of [
      [["no", "Enter"], 130],
      [["C-d"], 130],
      [["C-c"], 130],
      [["acme/app", "Enter"], 0],
    ] as const) {
      using terminal = new Terminal(world, ".", remove, size);
      expect(await terminal.waitFor("Type acme/app to go on:")).toContain("its name stays taken");
      terminal.press(...keys);
      await terminal.waitFor(`exit code ${code}`);
      expect(world.run(["project", "get", "./srv/acme/app"]).code).toBe(code === 0 ? 1 : 0);
    }
  });

  test("a plain name needs a forge, and a directory with other files is not made one", async () => {
    const world = await World.create();
    world.write("full/file", "");
    const nowhere = world.json(["project", "create", "acme/app"]);
    expect(nowhere).toMatchObject({ code: 2, document: { error: { code: "usage" } } });
    const full = world.json(["project", "create", "acme/app", "--server", "./full"]);
    expect(full).toMatchObject({ code: 2, document: { error: { code: "usage" } } });
    const empty = world.json(["project", "list", "--server", "./none"]);
    expect(empty).toMatchObject({ code: 2, document: { error: { code: "usage" } } });
    expect(Object.keys(readTree(world.dir))).toEqual(["full/file"]);
    world.ok(["init", "work"]);
    const inside = world.json(["project", "list"], { in: "work" }).document;
    expect(inside.projects.map((each: { name: string }) => each.name)).toEqual(["local/work"]);
  });
});
