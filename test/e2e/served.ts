/** A running `mic serve` for end-to-end tests. Its log goes to a file, so that it never waits for the test. */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, mkdirSync, openSync, readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { afterAll } from "vitest";
import type { World } from "./support.ts";

const START_TIMEOUT_MS = 20_000;

/** Also those that a test starts: a hook can be registered only outside of tests. */
const started = new Set<ChildProcess>();
afterAll(() => {
  for (const child of started) child.kill("SIGKILL");
});

export interface ServedOptions {
  /** Below the world's directory, default `forge`. */
  readonly data?: string;
  readonly port?: number;
  /** `undefined`: the server makes one at its first start. */
  readonly token?: string | undefined;
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

export class Served {
  readonly url: string;
  readonly child: ChildProcess;
  readonly #log: string;

  private constructor(url: string, child: ChildProcess, log: string) {
    this.url = url;
    this.child = child;
    this.#log = log;
  }

  static async start(world: World, options: ServedOptions = {}): Promise<Served> {
    const { data = "forge", port = 0, token = "token-of-the-end-to-end-tests", args = [] } = options;
    mkdirSync(world.path("logs"), { recursive: true });
    const log = world.path("logs", `serve-${performance.now()}.jsonl`);
    const output = openSync(log, "a");
    const child = spawn(
      world.binary,
      ["serve", "--json", "--data", world.path(data), "--listen", `127.0.0.1:${port}`, ...args],
      {
        cwd: world.dir,
        env: {
          ...world.env,
          ...options.env,
          ...("token" in options && options.token === undefined ? {} : { MIC_OWNER_TOKEN: token }),
        },
        stdio: ["ignore", output, output],
      },
    );
    closeSync(output);
    started.add(child);
    const deadline = performance.now() + START_TIMEOUT_MS;
    for (;;) {
      const text = readFileSync(log, "utf8");
      const end = text.indexOf("\n");
      if (end >= 0) {
        const first = JSON.parse(text.slice(0, end));
        if (first.event !== "listening") throw new Error(`the first line is ${text}`);
        return new Served(first.url, child, log);
      }
      if (child.exitCode !== null) throw new Error(`mic serve exited with ${child.exitCode}: ${text}`);
      if (performance.now() > deadline) throw new Error(`mic serve does not listen: ${text}`);
      await delay(20);
    }
  }

  get port(): number {
    return Number(new URL(this.url).port);
  }

  log(): string {
    return readFileSync(this.#log, "utf8");
  }

  /** Exit code, or the signal's name. */
  async end(signal: NodeJS.Signals): Promise<number | string> {
    const { child } = this;
    const before = child.exitCode ?? child.signalCode;
    if (before !== null) return before;
    const ended = new Promise<number | string>((resolve) =>
      child.once("exit", (code, name) => resolve(code ?? name ?? "unknown")),
    );
    child.kill(signal);
    return await ended;
  }
}
