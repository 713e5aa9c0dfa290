/**
 * The program `litestream`: found, started, kept running, asked to sync, and used to restore. One `Litestream` stands
 * for one generation of the replica.
 */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { accessSync, constants, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import type { Clock } from "../../../core/base/clock.ts";
import { MicError } from "../../../core/base/errors.ts";
import type { Environment } from "../../../core/store/s3/environment.ts";
import type { ServerLog } from "../../context.ts";
import {
  litestreamConfig,
  litestreamEnvironment,
  metaDirectoryOf,
  type ReplicatedDatabases,
  type RestoredDatabase,
  restoreConfig,
} from "./litestream-config.ts";
import { forgetChild, rememberChild } from "./orphan.ts";

export interface LitestreamProgram {
  readonly executable: string;
  readonly env: Environment;
  readonly clock: Clock;
  readonly log: ServerLog;
}

/** In the directory of the database: by it a Litestream is known for this one's. */
export const LITESTREAM_CONFIG = "litestream.yml";
const BACKOFF_MS = [100, 500, 2_000, 10_000, 30_000];
/** One that ran this long starts again without delay. */
const GOOD_RUN_MS = 60_000;
const STOP_MS_MAX = 15_000;
const RESTORE_MS_MAX = 300_000;
const ANSWER_BYTES_MAX = 64 << 10;
/** Of the kernel, with the zero at the end. */
const SOCKET_PATH_BYTES_MAX = 104;

export const LITESTREAM_HINT =
  "install Litestream 0.5 or newer (https://litestream.io/install), or name it with MIC_LITESTREAM=/path/to/litestream";

/** Its path: `MIC_LITESTREAM`, else from PATH. Undefined: it is not installed. */
export function findLitestream(env: Environment): string | undefined {
  const given = env["MIC_LITESTREAM"];
  if (given !== undefined && given !== "") return isExecutable(given) ? given : undefined;
  const name = process.platform === "win32" ? "litestream.exe" : "litestream";
  for (const directory of (env["PATH"] ?? "").split(path.delimiter)) {
    const file = path.join(directory, name);
    if (path.isAbsolute(directory) && isExecutable(file)) return file;
  }
  return undefined;
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return statSync(file).isFile();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === undefined) throw error;
    return false;
  }
}

/**
 * Writes the newest state of `part` in `generation` to `file`, which must not be there. False: there is no such
 * replica. Errors: `unreachable` with Litestream's words.
 */
export async function restore(program: LitestreamProgram, database: RestoredDatabase): Promise<boolean> {
  const config = `${database.file}.yml`;
  writeFileSync(config, restoreConfig(database), { mode: 0o600 });
  try {
    await run(program, database, ["restore", "-config", config, "-no-expand-env", database.file]);
    return true;
  } catch (error) {
    const words = String((error as { readonly stderr?: unknown }).stderr ?? error).trim();
    if (/no matching backup files available/.test(words)) return false;
    throw new MicError("unreachable", `the accounts cannot be restored: ${lastLine(words)}`, {
      cause: error,
    });
  } finally {
    rmSync(config, { force: true });
  }
}

function run(
  { executable, env }: LitestreamProgram,
  { settings }: RestoredDatabase,
  args: readonly string[],
): Promise<void> {
  return new Promise((resolve, reject) => {
    const options = { env: litestreamEnvironment(env, settings), timeout: RESTORE_MS_MAX };
    execFile(executable, args, options, (error, _stdout, stderr) => {
      if (error === null) resolve();
      else reject(Object.assign(error, { stderr }));
    });
  });
}

function lastLine(text: string): string {
  return text.split("\n").at(-1)!.slice(0, 500);
}

/** `litestream replicate` of the accounts and their records, started again whenever it ends. */
export class Litestream implements AsyncDisposable {
  readonly generation: number;
  readonly #program: LitestreamProgram;
  readonly #databases: ReplicatedDatabases;
  readonly #directory: string;
  readonly #config: string;
  readonly #socket: string;
  readonly #socketDirectory: string | undefined;
  readonly #stopping = new AbortController();
  readonly #running: Promise<void>;
  #child: ChildProcess | undefined;
  /** Ends in a row before it was of any use. */
  failures = 0;
  restarts = 0;
  /** Calls in a row that it answered with an error of its own. */
  complaints = 0;

  /** Starts it. `directory`: for the configuration and the socket. */
  constructor(program: LitestreamProgram, databases: ReplicatedDatabases, directory: string) {
    this.generation = databases.generation;
    this.#program = program;
    this.#databases = databases;
    mkdirSync(metaDirectoryOf(directory, databases.generation), { recursive: true, mode: 0o700 });
    this.#directory = directory;
    this.#config = path.join(directory, LITESTREAM_CONFIG);
    const socket = path.join(directory, "litestream.sock");
    this.#socketDirectory =
      Buffer.byteLength(socket) < SOCKET_PATH_BYTES_MAX
        ? undefined
        : mkdtempSync(path.join(tmpdir(), "mic-"));
    this.#socket =
      this.#socketDirectory === undefined ? socket : path.join(this.#socketDirectory, "litestream.sock");
    writeFileSync(this.#config, litestreamConfig(databases, this.#socket), { mode: 0o600 });
    this.#running = this.#supervise();
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  get isRunning(): boolean {
    return this.#child !== undefined;
  }

  /**
   * Resolves with the transaction up to which all accounts are in the bucket, which includes all that was committed
   * before the call; their records follow by themselves. Errors: `unreachable` after `limitMs`.
   */
  async sync(limitMs: number): Promise<number> {
    const deadline = performance.now() + limitMs;
    let cause: unknown;
    while (!this.#stopping.signal.aborted) {
      const leftMs = deadline - performance.now();
      if (leftMs <= 0) break;
      try {
        const answer = await this.#ask(leftMs);
        this.failures = 0;
        this.complaints = 0;
        return answer;
      } catch (error) {
        cause = error;
        if (error instanceof Complaint) this.complaints++;
      }
      await this.#program.clock.sleep(Math.min(50, leftMs), this.#stopping.signal).catch(() => undefined);
    }
    const why = cause instanceof Error ? cause.message : "it does not run";
    throw new MicError("unreachable", `the replica of the accounts is behind: ${why}`, {
      hint: "what was changed holds on this server; repeat the call until it is everywhere",
      cause,
    });
  }

  /** Ends it after a last sync, or at once. */
  async stop(isAtOnce = false): Promise<void> {
    this.#stopping.abort();
    const child = this.#child;
    if (child !== undefined) {
      child.kill(isAtOnce ? "SIGKILL" : "SIGTERM");
      const timer = setTimeout(() => child.kill("SIGKILL"), STOP_MS_MAX);
      await this.#running;
      clearTimeout(timer);
    }
    await this.#running;
    if (this.#socketDirectory !== undefined) rmSync(this.#socketDirectory, { recursive: true, force: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  async #supervise(): Promise<void> {
    const { clock, log } = this.#program;
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      const startedAt = performance.now();
      const reason = await this.#runOnce();
      if (signal.aborted) return;
      this.failures = performance.now() - startedAt > GOOD_RUN_MS ? 0 : this.failures + 1;
      this.restarts++;
      const delayMs = BACKOFF_MS[Math.min(this.failures, BACKOFF_MS.length) - 1] ?? 0;
      log.error("litestream-ended", { reason, restartInMs: delayMs, restarts: this.restarts });
      await clock.sleep(delayMs, signal).catch(() => undefined);
    }
  }

  /** Resolves with why it ended. */
  #runOnce(): Promise<string> {
    const { executable, env, log } = this.#program;
    return new Promise((resolve) => {
      const child = spawn(executable, ["replicate", "-config", this.#config, "-no-expand-env"], {
        env: litestreamEnvironment(env, this.#databases.settings),
        stdio: ["ignore", "ignore", "pipe"],
      });
      this.#child = child;
      rememberChild(this.#directory, child.pid);
      const ended = (reason: string): void => {
        this.#child = undefined;
        forgetChild(this.#directory);
        resolve(reason);
      };
      child.once("error", (error) => ended(error.message));
      child.once("exit", (code, signal) => ended(signal ?? `exit ${code}`));
      createInterface({ input: child.stderr! }).on("line", (line) => forwardLine(log, line));
    });
  }

  #ask(limitMs: number): Promise<number> {
    const body = JSON.stringify({
      path: this.#databases.file,
      wait: true,
      timeout: Math.max(1, Math.ceil(limitMs / 1000)),
    });
    return new Promise((resolve, reject) => {
      const asked = request(
        {
          socketPath: this.#socket,
          path: "/sync",
          method: "POST",
          headers: { "content-type": "application/json", "content-length": Buffer.byteLength(body) },
          timeout: limitMs,
          agent: false,
        },
        (answer) => {
          let text = "";
          answer.setEncoding("utf8");
          answer.on("data", (part: string) => {
            if (text.length < ANSWER_BYTES_MAX) text += part;
          });
          answer.once("error", reject);
          answer.once("end", () => {
            const synced = readSynced(answer.statusCode, text);
            if (synced instanceof Error) reject(synced);
            else resolve(synced);
          });
        },
      );
      asked.once("timeout", () => asked.destroy(new Error("it does not answer")));
      asked.once("error", reject);
      asked.end(body);
    });
  }
}

/** What Litestream says of itself, unlike an answer that did not come. */
class Complaint extends Error {}

function readSynced(status: number | undefined, text: string): number | Error {
  try {
    const answer = JSON.parse(text) as { txid?: unknown; replicated_txid?: unknown; error?: unknown };
    const { txid, replicated_txid: replicated } = answer;
    if (status !== 200 || typeof txid !== "number" || typeof replicated !== "number") {
      return new Complaint(String(answer.error ?? `answer ${status}`).slice(0, 500));
    }
    return replicated >= txid ? replicated : new Error("something was written meanwhile");
  } catch (error) {
    return error as Error;
  }
}

/** Its records are JSON lines; what it says for each sync would drown the rest. */
function forwardLine(log: ServerLog, line: string): void {
  let record: { level?: unknown; msg?: unknown; error?: unknown; path?: unknown };
  try {
    record = JSON.parse(line) as typeof record;
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    record = { level: "ERROR", msg: line };
  }
  if (typeof record !== "object" || record === null) return;
  const { level, msg, error } = record;
  const fields = {
    message: String(msg ?? "").slice(0, 500),
    ...(error === undefined ? {} : { error: String(error) }),
  };
  if (level === "ERROR") log.error("litestream", fields);
  else if (level === "WARN") log.warn("litestream", fields);
}
