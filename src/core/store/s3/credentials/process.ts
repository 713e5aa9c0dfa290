/**
 * `credential_process` of a profile: a program that prints credentials as JSON. It is started as it is written, without
 * a shell: `$`, `;`, `|` mean nothing.
 */
import { spawn } from "node:child_process";
import type { Clock } from "../../../base/clock.ts";
import type { Credentials } from "../credentials-types.ts";
import type { Environment } from "../environment.ts";
import { parseObject } from "./request.ts";
import { brokenSource, checkDocument } from "./source.ts";

/** A program may open a browser for a person to sign in; it may not take for ever. */
const TIMEOUT_MS = 60_000;
const OUTPUT_BYTES_MAX = 64 << 10;

export async function runCredentialProcess(
  commandLine: string,
  options: {
    readonly env: Environment;
    readonly clock: Clock;
    /** For messages: `profile "work"`. */
    readonly name: string;
    readonly timeoutMs?: number;
  },
): Promise<Credentials> {
  const { env, clock, name, timeoutMs = TIMEOUT_MS } = options;
  const from = `the credential_process of ${name}`;
  const [program, ...args] = splitCommandLine(commandLine, from);
  const { code, stdout, stderr } = await run(program!, args, { env, clock, from, timeoutMs });
  if (code !== 0) {
    throw brokenSource(
      `${from} ended with ${code}${stderr === "" ? "" : `: ${stderr}`}`,
      `run it by hand: ${program}`,
    );
  }
  const document = parseObject(stdout);
  if (document === undefined)
    throw brokenSource(`${from} did not print a JSON object`, `run it by hand: ${program}`);
  if (document["Version"] !== 1) {
    throw brokenSource(
      `${from} printed Version ${JSON.stringify(document["Version"])}`,
      "it must print Version 1",
    );
  }
  return checkDocument(
    {
      accessKeyId: document["AccessKeyId"],
      secretAccessKey: document["SecretAccessKey"],
      sessionToken: document["SessionToken"],
      expiration: document["Expiration"],
    },
    from,
  );
}

/** Words between blanks; quotes keep blanks, a backslash inside of double quotes keeps `"` and `\`. */
export function splitCommandLine(text: string, from: string): string[] {
  const words: string[] = [];
  let word: string | undefined;
  let quote: string | undefined;
  for (let i = 0; i < text.length; i++) {
    const character = text[i]!;
    if (quote !== undefined) {
      if (character === quote) quote = undefined;
      else if (quote === '"' && character === "\\" && (text[i + 1] === '"' || text[i + 1] === "\\"))
        word += text[++i]!;
      else word += character;
    } else if (character === '"' || character === "'") {
      quote = character;
      word ??= "";
    } else if (character === " " || character === "\t") {
      if (word !== undefined) words.push(word);
      word = undefined;
    } else word = (word ?? "") + character;
  }
  if (quote !== undefined) throw brokenSource(`${from} has an open quote`, "close it");
  if (word !== undefined) words.push(word);
  if (words.length === 0) throw brokenSource(`${from} is empty`, "name a program, or remove the line");
  return words;
}

async function run(
  program: string,
  args: readonly string[],
  options: {
    readonly env: Environment;
    readonly clock: Clock;
    readonly from: string;
    readonly timeoutMs: number;
  },
): Promise<{ readonly code: number | string; readonly stdout: string; readonly stderr: string }> {
  const { env, clock, from, timeoutMs } = options;
  const child = spawn(program, args, {
    env: { ...env },
    stdio: ["ignore", "pipe", "pipe"],
    windowsHide: true,
  });
  const finished = new AbortController();
  let problem: string | undefined;
  const stop = (why: string): void => {
    problem ??= why;
    child.kill("SIGKILL");
    // Whoever it started may hold its output open.
    child.stdout.destroy();
    child.stderr.destroy();
  };
  const expiry = clock.sleep(timeoutMs, finished.signal).then(
    () => stop(`did not end within ${timeoutMs} ms`),
    () => undefined,
  );
  const collect = (stream: NodeJS.ReadableStream): (() => string) => {
    const parts: Buffer[] = [];
    let length = 0;
    stream.on("data", (part: Buffer) => {
      length += part.length;
      if (length > OUTPUT_BYTES_MAX) stop("printed too much");
      else parts.push(part);
    });
    return () => Buffer.concat(parts).toString("utf8");
  };
  const stdout = collect(child.stdout);
  const stderr = collect(child.stderr);
  try {
    const code = await new Promise<number | string>((resolve, reject) => {
      child.once("error", reject);
      child.once("close", (exitCode, signal) => resolve(exitCode ?? signal ?? "nothing"));
    });
    if (problem !== undefined) throw brokenSource(`${from} ${problem}`, `run it by hand: ${program}`);
    return { code, stdout: stdout(), stderr: stderr().trim().slice(0, 500) };
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "unauthenticated") throw error;
    throw brokenSource(
      `${from} cannot be started (${code}): ${program}`,
      "write the whole path of the program",
      error,
    );
  } finally {
    finished.abort();
    await expiry;
  }
}
