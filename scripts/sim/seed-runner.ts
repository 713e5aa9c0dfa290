/**
 * Runs seeds one after the other in a process that stays, because a new one spends more on beginning than most seeds
 * take. Whatever ends that process costs the one seed that it was running, and the next seed has a new one.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { createInterface, type Interface } from "node:readline";
import type { SeedAnswer } from "../../test/sim/main.ts";

/** Minutes more than any seed takes on a busy machine: what hangs is a failure as well. */
const SEED_MS_MAX = 10 * 60_000;
/** Of what a process says before it ends. */
const WORDS_MAX = 8_000;

export type SeedResult =
  | ({ readonly kind: "ran" } & SeedAnswer)
  /** The process ended, or had to be ended, without an answer. */
  | { readonly kind: "ended"; readonly signal: string | undefined; readonly words: string };

export interface SeedRunnerOptions {
  readonly command: string;
  readonly args: readonly string[];
  readonly cwd: string;
  readonly seedMsMax?: number;
}

export class SeedRunner {
  readonly #options: SeedRunnerOptions;
  #process: SeedProcess | undefined;

  constructor(options: SeedRunnerOptions) {
    this.#options = options;
  }

  async run(story: string, seed: number): Promise<SeedResult> {
    this.#process ??= new SeedProcess(this.#options);
    const result = await this.#process.ask(`${story} ${seed}`);
    if (result.kind === "ended") this.#process = undefined;
    return result;
  }

  /** Ends its process. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#process?.end();
    this.#process = undefined;
  }
}

class SeedProcess {
  readonly #child: ChildProcess;
  readonly #lines: Interface;
  readonly #seedMsMax: number;
  readonly #ended: Promise<SeedResult>;
  /** What it said that is no answer, and its errors. */
  #words = "";
  #onAnswer: ((answer: SeedResult) => void) | undefined;

  constructor({ command, args, cwd, seedMsMax }: SeedRunnerOptions) {
    this.#seedMsMax = seedMsMax ?? SEED_MS_MAX;
    this.#child = spawn(command, args, { cwd, stdio: ["pipe", "pipe", "pipe"] });
    this.#lines = createInterface({ input: this.#child.stdout! });
    this.#lines.on("line", (line) => this.#heard(line));
    this.#child.stderr!.setEncoding("utf8").on("data", (text: string) => this.#say(text));
    // Its end is told by "close"; a question to a process that is gone is no error of its own.
    this.#child.stdin!.on("error", () => undefined);
    this.#ended = new Promise((resolve) => {
      this.#child.on("error", (error) => this.#say(error.message));
      this.#child.on("close", (_, signal) => {
        resolve({ kind: "ended", signal: signal ?? undefined, words: this.#words });
      });
    });
  }

  async ask(question: string): Promise<SeedResult> {
    this.#words = "";
    const answered = new Promise<SeedResult>((resolve) => {
      this.#onAnswer = resolve;
    });
    const timer = setTimeout(() => {
      this.#say(`no answer within ${this.#seedMsMax / 1000} s`);
      this.#child.kill("SIGKILL");
    }, this.#seedMsMax);
    this.#child.stdin!.write(`${question}\n`);
    try {
      return await Promise.race([answered, this.#ended]);
    } finally {
      clearTimeout(timer);
    }
  }

  async end(): Promise<void> {
    this.#child.stdin!.end();
    await this.#ended;
  }

  #heard(line: string): void {
    if (line.startsWith('{"counts":')) this.#onAnswer?.({ kind: "ran", ...(JSON.parse(line) as SeedAnswer) });
    else this.#say(`${line}\n`);
  }

  #say(text: string): void {
    this.#words = (this.#words + text).slice(-WORDS_MAX);
  }
}
