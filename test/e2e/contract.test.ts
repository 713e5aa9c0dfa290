import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { chmodSync, closeSync, openSync, readFileSync, renameSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import Database from "better-sqlite3";
import { beforeAll, describe, expect, it } from "vitest";
import { World } from "./support.ts";

let world: World;
const w = { in: "w" };

beforeAll(async () => {
  world = await World.create();
  world.ok(["init", "w", "--name", "ada/w"]);
  for (let i = 1; i <= 30; i++) {
    world.write("w/count.txt", `${i}\n`);
    world.ok(["land", `count to ${i}`], w);
  }
});

/** Until the command waits, from when on it ends by itself when it is interrupted. */
async function untilCatchesInterrupts(pid: number): Promise<void> {
  if (process.platform !== "linux") return delay(2_000);
  const isCaught = (): boolean => {
    const caught = /^SigCgt:\s*([0-9a-f]+)$/m.exec(readFileSync(`/proc/${pid}/status`, "latin1"))?.[1];
    return (BigInt(`0x${caught ?? "0"}`) & 2n) !== 0n;
  };
  await expect.poll(isCaught, { interval: 5 }).toBe(true);
}

describe("exit codes and error documents", () => {
  const cases: readonly (readonly [args: string[], code: number, error: string])[] = [
    [["nonsense"], 2, "usage"],
    [["land", "--nonsense"], 2, "usage"],
    [["land"], 2, "usage"],
    [["land", "two", "goals"], 2, "usage"],
    [["goto", "no-position"], 2, "usage"],
    [["log", "@999"], 1, "out-of-range"],
    [["goto", "999"], 1, "out-of-range"],
    [["land", "nothing"], 1, "nothing-to-land"],
    [["cat", "missing.txt"], 1, "not-found"],
    [["init", "."], 1, "already-exists"],
    [["clone", "https://127.0.0.1:1/ada/w"], 5, "unreachable"],
    [["clone", "s3://bucket"], 2, "usage"],
    [["clone", "https://good@127.0.0.1:1/ada/w"], 2, "usage"],
    [["clone", "s3://key:secret@bucket/ada/w"], 2, "usage"],
    [["storage", "stat", "https://127.0.0.1:1"], 2, "usage"],
    [["clone", "./nowhere"], 1, "not-found"],
    [["clone", "ada/w"], 2, "usage"],
    [["clone", "--", "-rf"], 2, "usage"],
    [["cat", "../outside"], 1, "unsafe-path"],
    [["session", "land"], 1, "not-found"],
    [["session"], 2, "usage"],
    [["config", "get", "no.such.key"], 2, "usage"],
    [["status", "--timeout", "soon"], 2, "usage"],
  ];
  it.each(cases)("mic %j exits %i with code %s", (args, code, error) => {
    const result = world.json(args, w);
    expect(result.document.error).toMatchObject({ code: error, message: expect.any(String) });
    expect(result.code).toBe(code);
    const plain = world.run(args, w);
    expect(plain.code).toBe(code);
    expect(plain.stdout).toBe("");
    expect(plain.stderr).toMatch(/error: |Usage:/);
  });

  it("outside a workspace says so", () => {
    expect(world.json(["status"], { in: "outside" })).toMatchObject({
      code: 1,
      document: { error: { code: "not-a-workspace" } },
    });
  });

  it("options stand anywhere on the line", () => {
    expect(world.run(["--json", "-C", "w", "status"]).code).toBe(0);
    expect(world.run(["status", "-C", "w", "--json"]).code).toBe(0);
    expect(world.run(["-C", "missing", "status"]).code).toBe(2);
  });

  it("no command prints the help to stderr and exits 2; --help exits 0 on stdout", () => {
    const bare = world.run([]);
    expect(bare).toMatchObject({ code: 2, stdout: "" });
    expect(bare.stderr).toContain("Usage: mic");
    const help = world.run(["--help"]);
    expect(help).toMatchObject({ code: 0, stderr: "" });
    expect(help.stdout).toContain("land the workspace's changes");
  });
});

describe("help", () => {
  it("every command has an example and fits 80 columns", () => {
    const top = world.ok(["help"]);
    const verbs = [...top.matchAll(/^ {2}([a-z]+)(?:, ([a-z]+))? {2,}[a-z]/gm)].map((match) => match[1]!);
    expect(verbs.length).toBeGreaterThan(20);
    for (const verb of ["", ...verbs]) {
      const text = verb === "" ? top : world.ok([verb, "--help"]);
      if (verb !== "") expect(text, verb).toMatch(/Examples:\n {2}.*mic /);
      expect(Math.max(...text.split("\n").map((line) => line.length)), verb).toBeLessThanOrEqual(80);
    }
  });

  it("commands that do not work yet do not appear", () => {
    expect(world.ok(["help"])).not.toMatch(/^ {2}(mount|db|import|export) /m);
  });

  it("lists stay within 80 columns for long goals, names and paths", () => {
    world.ok(["init"], { in: "wide" });
    world.write(`wide/${"d".repeat(60)}/${"f".repeat(60)}.txt`, "x\n");
    world.ok(["land", "words ".repeat(40)], { in: "wide", env: { MIC_AUTHOR: "n".repeat(70) } });
    for (const args of [["log"], ["log", "--graph"], ["ops"], ["show", "1", "--stat"]]) {
      for (const line of world.ok(args, { in: "wide" }).split("\n")) {
        expect(line.length, `${args.join(" ")}: ${line}`).toBeLessThanOrEqual(80);
      }
    }
  });
});

describe("stored text on its way to a terminal", () => {
  it("escapes control characters and bidirectional controls, in text and in JSON", () => {
    const goal = "evil \u001b[31mred\u0007 \u202etxt.exe\u009b";
    world.ok(["init"], { in: "evil" });
    world.write("evil/a\u001b[2J.txt", "x\n");
    world.ok(["land", goal], { in: "evil", env: { MIC_AUTHOR: "Eve \u2066<eve@example.org>" } });
    for (const args of [
      ["log"],
      ["show", "1"],
      ["ls"],
      ["ops"],
      ["show", "1", "--stat"],
      ["log", "--json"],
    ]) {
      const text = world.ok(args, { in: "evil" });
      expect(text, args.join(" ")).not.toMatch(/[^\P{Cc}\n\t]|[\u202a-\u202e\u2066-\u2069]/u);
    }
    expect(world.ok(["log"], { in: "evil" })).toContain("evil \\x1b[31mred\\x07 \\u202etxt.exe");
    expect(JSON.parse(world.ok(["log", "--json"], { in: "evil" })).goal).toBe(goal);
  });
});

describe("without a terminal", () => {
  it("prints no colours unless forced, and --no-color wins", () => {
    const colour = "\u001b[";
    expect(world.ok(["log"], w)).not.toContain(colour);
    expect(world.ok(["log"], { ...w, env: { CLICOLOR_FORCE: "1" } })).toContain(colour);
    expect(world.ok(["log"], { ...w, env: { MIC_COLOR: "always" } })).toContain(colour);
    expect(world.ok(["log"], { ...w, env: { CLICOLOR_FORCE: "1", NO_COLOR: "1" } })).not.toContain(colour);
    expect(world.ok(["log", "--no-color"], { ...w, env: { MIC_COLOR: "always" } })).not.toContain(colour);
  });

  it("starts no pager", () => {
    expect(world.ok(["log"], { ...w, env: { PAGER: "false" } })).toContain("count to 30");
  });

  it("a reader that leaves early is quiet success", async () => {
    const child = spawn(world.binary, ["log"], {
      cwd: world.path("w"),
      env: world.env,
      stdio: ["ignore", "pipe", "pipe"],
    });
    let stderr = "";
    child.stderr.on("data", (data: Buffer) => {
      stderr += data.toString();
    });
    child.stdout.destroy();
    const [code] = (await once(child, "close")) as [number | null];
    expect(stderr).toBe("");
    expect(code).toBe(0);
    const piped = spawnSync("sh", ["-c", `"${world.binary}" log | head -1`], {
      cwd: world.path("w"),
      env: world.env,
      encoding: "utf8",
    });
    expect(piped).toMatchObject({ status: 0, stderr: "" });
    expect(piped.stdout).toContain("count to 30");
  });

  it("runs with stdin closed", () => {
    const result = spawnSync("sh", ["-c", `"${world.binary}" status --json <&-`], {
      cwd: world.path("w"),
      env: world.env,
      encoding: "utf8",
    });
    expect(result).toMatchObject({ status: 0, stderr: "" });
    expect(JSON.parse(result.stdout).position).toBe(30);
  });

  it("reports a full device instead of success", () => {
    const full = openSync("/dev/full", "w");
    try {
      const result = spawnSync(world.binary, ["log"], {
        cwd: world.path("w"),
        env: world.env,
        stdio: ["ignore", full, "pipe"],
      });
      expect(result.status).toBe(1);
      expect(String(result.stderr)).toContain("no space left");
    } finally {
      closeSync(full);
    }
  });

  it("without a temporary directory says what to do", () => {
    const result = world.json(["log"], { ...w, env: { TMPDIR: world.path("no-such-directory") } });
    expect(result.code).toBe(1);
    expect(result.document.error.hint).toContain("TMPDIR");
  });

  it("reads a goal from stdin", () => {
    world.write("w/goal.txt", "x\n");
    world.ok(["land", "--file", "-"], { ...w, input: "a goal\n\nwith a body\n" });
    expect(JSON.parse(world.ok(["log", "-n", "1", "--json"], w)).goal).toBe("a goal\n\nwith a body");
  });

  it.each([
    ["land", "waits for the lock"],
    ["land", "--file", "-"],
  ])("an interrupt ends `mic %s %s` with 130", async (...args) => {
    world.write("w/interrupted.txt", "x\n");
    // What another command in this workspace holds while it works.
    const lock = new Database(world.path("w/.mic/lock"));
    lock.exec("BEGIN EXCLUSIVE");
    try {
      const child = spawn(world.binary, ["--json", ...args], { cwd: world.path("w"), env: world.env });
      let stdout = "";
      child.stdout.on("data", (data: Buffer) => {
        stdout += data.toString();
      });
      await untilCatchesInterrupts(child.pid!);
      child.kill("SIGINT");
      const [code] = (await once(child, "close")) as [number | null];
      expect(JSON.parse(stdout).error.code).toBe("aborted");
      expect(code).toBe(130);
    } finally {
      lock.close();
    }
    expect(world.json(["status"], w).document.changes).toEqual([{ op: "add", path: "interrupted.txt" }]);
  });

  it("a second command in a workspace that is busy says so after --timeout", () => {
    const lock = new Database(world.path("w/.mic/lock"));
    lock.exec("BEGIN EXCLUSIVE");
    try {
      expect(world.json(["sync", "--timeout", "0.2"], w)).toMatchObject({
        code: 1,
        document: { error: { code: "pending" } },
      });
      expect(world.run(["status"], w).code).toBe(0);
    } finally {
      lock.close();
    }
  });
});

describe("configuration and identity", () => {
  it("set, get, list and unset; unknown keys are refused", () => {
    world.ok(["config", "set", "user.name", "Grace Hopper"]);
    world.ok(["config", "set", "user.email", "grace@example.org"]);
    expect(world.json(["config", "get", "user.name"]).document).toEqual({
      key: "user.name",
      value: "Grace Hopper",
    });
    expect(world.json(["config", "list"]).document.values).toEqual({
      "user.name": "Grace Hopper",
      "user.email": "grace@example.org",
    });
    expect(world.run(["config", "set", "ui.color", "purple"]).code).toBe(2);
    world.write("w/who.txt", "who\n");
    world.ok(["land", "who"], { ...w, env: { MIC_AUTHOR: undefined } });
    expect(JSON.parse(world.ok(["log", "-n1", "--json"], w)).author).toBe("Grace Hopper <grace@example.org>");
    world.ok(["config", "unset", "user.name"]);
    expect(world.run(["config", "get", "user.name"]).code).toBe(1);
  });

  it("plain org/project is looked up at --server, MIC_SERVER, or the default server or alias", () => {
    world.ok(["clone", "ada/w", "by-flag", "--server", "./w"]);
    world.ok(["clone", "ada/w", "by-environment"], { env: { MIC_SERVER: world.path("w/.mic/forge") } });
    world.ok(["config", "set", "server.home", world.path("w")]);
    world.ok(["config", "set", "server.default", "home"]);
    world.ok(["clone", "ada/w", "by-default"]);
    world.ok(["clone", `file://${world.path("w/.mic/forge/ada/w")}`, "by-url"]);
    for (const name of ["by-flag", "by-environment", "by-default", "by-url"]) {
      expect(world.read(`${name}/count.txt`)).toBe("30\n");
    }
  });

  it("reads a project without a workspace", () => {
    const address = ["--project", "./w"];
    expect(world.ok(["cat", "@7", "count.txt", ...address])).toBe("7\n");
    expect(world.ok(["log", "-n", "1", "--json", ...address])).toContain('"goal"');
    expect(world.json(["ls", "7", ...address]).document).toMatchObject({
      position: 7,
      entries: [{ path: "count.txt" }],
    });
    expect(world.json(["diff", "3", "7", ...address]).document.changes).toHaveLength(1);
    expect(world.json(["blame", "count.txt", ...address]).document.lines).toHaveLength(1);
    expect(world.json(["show", "@latest~1", ...address]).code).toBe(0);
  });

  it("aliases name commands", () => {
    world.ok(["config", "set", "alias.st", "status --json"]);
    expect(JSON.parse(world.ok(["st", "-C", "w"])).project).toBe("ada/w");
  });
});

describe("secrets", () => {
  it("a new .env or a key is warned about at land, and refused with --strict and by the project's policy", () => {
    const s = { in: "secrets" };
    world.ok(["init"], s);
    world.write("secrets/.env", "TOKEN=abcdef\n");
    world.write(
      "secrets/deploy.pem",
      `-----BEGIN PRIVATE KEY-----\n${"MIIEvQIBADANBgkqhkiG9w0BAQ".repeat(3)}\n`,
    );
    world.write("secrets/.env.example", "TOKEN=\n");
    const refused = world.json(["land", "oops", "--strict"], s);
    expect(refused.code).toBe(1);
    expect(refused.document.error).toMatchObject({ code: "unsafe-path", paths: [".env", "deploy.pem"] });
    expect(JSON.stringify(refused.document)).not.toMatch(/abcdef|MIIE/);
    const found = [
      { path: ".env", line: 1, kind: "values of an environment file" },
      { path: "deploy.pem", line: 1, kind: "a private key" },
    ];
    expect(world.json(["land", "oops", "--dry-run"], s).document.secrets).toEqual(found);
    const warned = world.json(["land", "oops"], s);
    expect(warned).toMatchObject({ code: 0, document: { position: 1, secrets: found } });
    expect(warned.stderr).toContain(".env:1 holds values of an environment file");
    expect(warned.stderr).toContain("deploy.pem:1 holds a private key");
    // What is landed already is not said again; the policy counts from its own landing on.
    world.write("secrets/.env", "TOKEN=abcdef\nMORE=1\n");
    world.write("secrets/.micpolicy", "secrets = refuse\n");
    expect(world.json(["land", "policy"], s)).toMatchObject({
      code: 0,
      stderr: "",
      document: { position: 2 },
    });
    world.write("secrets/.micpolicy", "secrets = report\n");
    world.write("secrets/key.txt", `token: ghp_${"q8Zr1Wk5VbT2mXc9LdJ7nYh3PfS6gRw4a0Q2"}\n`);
    const stopped = world.json(["land", "past the policy"], s);
    expect(stopped).toMatchObject({
      code: 1,
      document: { error: { code: "unsafe-path", paths: ["key.txt"] } },
    });
    expect(stopped.document.error.hint).toContain(".micpolicy");
    world.write(
      "secrets/key.txt",
      `token: ghp_${"q8Zr1Wk5VbT2mXc9LdJ7nYh3PfS6gRw4a0Q2"} # mic:allow-secret\n`,
    );
    // What the project has already may be moved.
    renameSync(join(world.dir, "secrets/deploy.pem"), join(world.dir, "secrets/old.pem"));
    expect(world.json(["land", "meant"], s)).toMatchObject({
      code: 0,
      document: { position: 3, changes: 4 },
    });
    world.write("secrets/.micpolicy", "secrets = refuse\n");
    world.ok(["land", "again, it was lifted"], s);
    // Somebody whose base is older than the policy: the forge says the same, and nothing is left to settle.
    const o = { in: "other" };
    world.ok(["clone", "./secrets", "other", "--at", "1"]);
    world.write("other/late.env", Buffer.from("\uFEFFTOKEN=abcdef\r\n", "utf16le"));
    const late = world.json(["land", "before I heard of it"], o);
    expect(late).toMatchObject({
      code: 1,
      document: {
        error: {
          code: "unsafe-path",
          paths: ["late.env"],
          secrets: [{ path: "late.env", line: 1, kind: "values of an environment file" }],
        },
      },
    });
    expect(late.document.error.hint).toBe(stopped.document.error.hint);
    expect(world.json(["status"], o).document).toMatchObject({ position: 1, pending: null });
    world.write("other/late.env", "TOKEN=abcdef # mic:allow-secret\n");
    expect(world.json(["land", "meant"], o)).toMatchObject({ code: 0, document: { position: 5 } });
  });
});

describe("completion", () => {
  it("the bash script completes commands, sub-commands and options", () => {
    const script = world.ok(["completion", "bash"]);
    const complete = (...words: string[]): string[] => {
      const program = `${script}\nCOMP_WORDS=(${words.map((word) => `'${word}'`).join(" ")})\nCOMP_CWORD=${words.length - 1}\n_mic 2>/dev/null\nprintf '%s\\n' "\${COMPREPLY[@]}"`;
      return spawnSync("bash", ["-c", program], { encoding: "utf8", cwd: world.dir }).stdout.split("\n");
    };
    expect(complete("mic", "la")).toContain("land");
    expect(complete("mic", "--json", "sess")).toContain("session");
    expect(complete("mic", "session", "de")).toContain("decision");
    expect(complete("mic", "land", "--all")).toEqual(
      expect.arrayContaining(["--allow-empty", "--allow-large"]),
    );
    expect(complete("mic", "completion", "z")).toContain("zsh");
  });

  it.each(["bash", "zsh", "fish", "powershell"])("%s names every command", (shell) => {
    const script = world.ok(["completion", shell]);
    for (const verb of ["init", "clone", "checkout", "land", "session", "decision", "--allow-empty"]) {
      expect(script).toContain(verb.replace(/^--/, ""));
    }
  });
});

describe("a directory that cannot be written", () => {
  it("status works, land says what is wrong", () => {
    if (process.getuid?.() === 0) return;
    world.ok(["clone", "./w", "frozen"]);
    world.write("frozen/new.txt", "x\n");
    chmodSync(world.path("frozen/.mic"), 0o500);
    try {
      expect(world.run(["status"], { in: "frozen" }).code).toBe(0);
      expect(world.run(["land", "x"], { in: "frozen" }).code).toBe(1);
    } finally {
      chmodSync(world.path("frozen/.mic"), 0o700);
    }
  });
});
