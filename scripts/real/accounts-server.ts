/** One `mic serve` of several that share their accounts, as the part `accounts` starts, asks, and kills it. */
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { MIC, readLines } from "../bench/harness.ts";
import { buildGoTool } from "./go-tools.ts";

export interface Answer {
  readonly status: number;
  // biome-ignore lint/suspicious/noExplicitAny: documents of every shape
  readonly body: any;
}

export interface AccountsServerOptions {
  readonly data: string;
  readonly env: Readonly<Record<string, string>>;
  readonly flags: readonly string[];
  /** Default true. */
  readonly hasLitestream?: boolean;
}

/** Why a server did not start: its last words. */
export class NotStarted extends Error {
  readonly code: number;

  constructor(code: number, words: string) {
    super(words);
    this.code = code;
  }
}

export class AccountsServer implements AsyncDisposable {
  readonly url: string;
  /** When this start made it. */
  readonly ownerToken: string | undefined;
  readonly data: string;
  /** Of its log, parsed. */
  // biome-ignore lint/suspicious/noExplicitAny: records of every shape
  readonly log: any[];
  readonly #child: Bun.Subprocess<"ignore", "pipe", "pipe">;

  private constructor(
    child: Bun.Subprocess<"ignore", "pipe", "pipe">,
    data: string,
    url: string,
    ownerToken: string | undefined,
    log: unknown[],
  ) {
    this.#child = child;
    this.data = data;
    this.url = url;
    this.ownerToken = ownerToken;
    this.log = log;
  }

  /** Throws `NotStarted`. */
  static async start({
    data,
    env,
    flags,
    hasLitestream = true,
  }: AccountsServerOptions): Promise<AccountsServer> {
    mkdirSync(data, { recursive: true });
    const litestream = hasLitestream ? buildGoTool("litestream") : "/nowhere/litestream";
    const args = ["serve", "--data", data, "--listen", "127.0.0.1:0", ...flags, "--json"];
    const child = Bun.spawn([MIC, ...args], {
      env: { ...process.env, ...env, MIC_LITESTREAM: litestream },
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    const log: { event?: string; token?: string; url?: string }[] = [];
    const lines = readLines(child.stdout);
    const words = new Response(child.stderr).text();
    const first = await lines.next();
    const { event, url } = first.done ? {} : (JSON.parse(first.value) as { event?: string; url?: string });
    if (event !== "listening") {
      const code = await child.exited;
      throw new NotStarted(code, `${first.value ?? ""}${await words}`);
    }
    void collect(lines, log);
    // What this start made comes in the second line, with what was logged before it.
    await Bun.sleep(50);
    const token = log.find((record) => record.event === "owner-token")?.token;
    return new AccountsServer(child, data, url!, token, log);
  }

  logged(event: string): number {
    return this.log.filter((record) => record.event === event).length;
  }

  async ask(method: string, path: string, token: string | undefined, body?: object): Promise<Answer> {
    const response = await fetch(this.url + path, {
      method,
      headers: {
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        ...(body === undefined ? {} : { "content-type": "application/json" }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      redirect: "manual",
    });
    const text = await response.text();
    const isJson = /json/.test(response.headers.get("content-type") ?? "");
    return { status: response.status, body: isJson && text !== "" ? JSON.parse(text) : text };
  }

  /** Its Litestream. */
  get litestreamPid(): number {
    return Number(readFileSync(join(this.data, "auth", "litestream.pid"), "latin1"));
  }

  /** As a machine that is suspended. */
  pause(): void {
    this.#child.kill("SIGSTOP");
  }

  resume(): void {
    this.#child.kill("SIGCONT");
  }

  async kill(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#child.exited;
  }

  async stop(): Promise<number> {
    this.#child.kill("SIGTERM");
    return await this.#child.exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) await this.kill();
  }
}

async function collect(lines: AsyncGenerator<string>, log: unknown[]): Promise<void> {
  for await (const line of lines) log.push(JSON.parse(line));
}
