/**
 * Drives the built executable. It is built (or found up to date) once, whatever the number of test files;
 * MIC_BINARY names one to be tested instead.
 */
import { execFileSync, spawn, spawnSync } from "node:child_process";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { afterAll } from "vitest";

const ROOT = path.resolve(import.meta.dirname, "../..");
const BUILD_LOCK = path.join(ROOT, "dist", ".building");
const BUILD_LOCK_STALE_MS = 120_000;
const RUN_TIMEOUT_MS = 60_000;

/** Also those that a test makes: a hook can be registered only outside of tests. */
const directories = new Set<string>();
afterAll(() => {
  for (const directory of directories) rmSync(directory, { recursive: true, force: true });
});

/** Absolute path of the executable under test. */
export async function builtBinary(): Promise<string> {
  const given = process.env["MIC_BINARY"];
  if (given !== undefined) return path.resolve(given);
  mkdirSync(path.join(ROOT, "dist"), { recursive: true });
  // Test files run in parallel: one of them builds.
  while (!tryLock()) await delay(100);
  try {
    const bun = path.join(ROOT, "node_modules", ".bin", "bun");
    execFileSync(bun, ["scripts/build-binary.ts", "--if-stale", "--quiet"], {
      cwd: ROOT,
      stdio: ["ignore", "ignore", "inherit"],
    });
  } finally {
    rmSync(BUILD_LOCK, { recursive: true, force: true });
  }
  return path.join(ROOT, "dist", process.platform === "win32" ? "mic.exe" : "mic");
}

function tryLock(): boolean {
  try {
    mkdirSync(BUILD_LOCK);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    const since = statSync(BUILD_LOCK, { throwIfNoEntry: false })?.mtimeMs ?? Date.now();
    if (Date.now() - since > BUILD_LOCK_STALE_MS) rmSync(BUILD_LOCK, { recursive: true, force: true });
    return false;
  }
}

export interface RunOptions {
  /** Below the world's directory. */
  readonly in?: string;
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly input?: string | Uint8Array;
}

export interface RunResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

// biome-ignore lint/suspicious/noExplicitAny: documents are looked at field by field
export type JsonDocument = any;

/** A temporary directory with the executable, an own configuration and no terminal. Removed after the test file. */
export class World {
  readonly binary: string;
  readonly dir: string;

  private constructor(binary: string, dir: string) {
    this.binary = binary;
    this.dir = dir;
  }

  static async create(): Promise<World> {
    const world = new World(await builtBinary(), mkdtempSync(path.join(tmpdir(), "mic-e2e-")));
    directories.add(world.dir);
    return world;
  }

  get env(): Record<string, string> {
    return {
      PATH: process.env["PATH"] ?? "",
      HOME: path.join(this.dir, "home"),
      MIC_HOME: path.join(this.dir, "home"),
      MIC_AUTHOR: "Ada Lovelace <ada@example.org>",
      TZ: "UTC",
    };
  }

  path(...names: string[]): string {
    return path.join(this.dir, ...names);
  }

  write(name: string, content: string | Uint8Array): void {
    mkdirSync(path.dirname(this.path(name)), { recursive: true });
    writeFileSync(this.path(name), content);
  }

  read(name: string): string {
    return readFileSync(this.path(name), "utf8");
  }

  run(args: readonly string[], options: RunOptions = {}): RunResult {
    const cwd = this.path(options.in ?? ".");
    mkdirSync(cwd, { recursive: true });
    const result = spawnSync(this.binary, args, {
      cwd,
      env: { ...this.env, ...options.env },
      input: options.input ?? "",
      encoding: "utf8",
      timeout: RUN_TIMEOUT_MS,
    });
    if (result.error !== undefined) throw result.error;
    return { code: result.status, stdout: result.stdout, stderr: result.stderr };
  }

  /** As `run`, while this process goes on: for a server in it. */
  async start(args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
    const cwd = this.path(options.in ?? ".");
    mkdirSync(cwd, { recursive: true });
    const env = { ...this.env, ...options.env };
    const child = spawn(this.binary, args, { cwd, env, timeout: RUN_TIMEOUT_MS });
    child.stdin.end(options.input ?? "");
    let stdout = "";
    let stderr = "";
    child.stdout.on("data", (part) => {
      stdout += String(part);
    });
    child.stderr.on("data", (part) => {
      stderr += String(part);
    });
    const code = await new Promise<number | null>((resolve, reject) => {
      child.once("error", reject);
      child.once("close", resolve);
    });
    return { code, stdout, stderr };
  }

  /** Runs and insists on exit code 0. */
  ok(args: readonly string[], options: RunOptions = {}): string {
    const result = this.run(args, options);
    if (result.code !== 0) {
      throw new Error(`mic ${args.join(" ")} exited with ${result.code}\n${result.stdout}${result.stderr}`);
    }
    return result.stdout;
  }

  /** The one document of `--json`; the exit code is the caller's question. */
  json(
    args: readonly string[],
    options: RunOptions = {},
  ): { code: number | null; document: JsonDocument; stderr: string } {
    const { code, stdout, stderr } = this.run(["--json", ...args], options);
    const lines = stdout.split("\n");
    if (lines.length !== 2 || lines[1] !== "")
      throw new Error(`not one line: ${JSON.stringify(stdout)} ${stderr}`);
    return { code, document: JSON.parse(lines[0]!), stderr };
  }
}

/** Every file below `dir` but `.mic`: path → content (`-> target` for a symlink). */
export function readTree(dir: string, prefix = ""): Record<string, string> {
  const tree: Record<string, string> = {};
  for (const entry of readdirSync(path.join(dir, prefix), { withFileTypes: true })) {
    if (prefix === "" && entry.name === ".mic") continue;
    const name = prefix === "" ? entry.name : `${prefix}/${entry.name}`;
    if (entry.isDirectory()) Object.assign(tree, readTree(dir, name));
    else if (entry.isSymbolicLink()) tree[name] = `-> ${readlinkSync(path.join(dir, name))}`;
    else tree[name] = readFileSync(path.join(dir, name), "latin1");
  }
  return tree;
}
