/** grpcurl, the usual gRPC client of the command line. */
import { spawnSync } from "node:child_process";
import { buildGoTool } from "./go-tools.ts";

/** Its path. Throws where there is no Go, or where its source cannot be fetched. */
export function buildGrpcurl(): string {
  return buildGoTool("grpcurl");
}

export interface GrpcReply {
  /** One for each message of the answer. */
  // biome-ignore lint/suspicious/noExplicitAny: messages of every shape
  readonly messages: readonly any[];
  /** `ABORTED`; `OK` for a call that succeeded. */
  readonly status: string;
  /** What it printed of a failed call, its typed details among it. */
  readonly error: string;
}

/** Calls a server of which it knows the address and the token, nothing else. */
export class Grpcurl {
  readonly #file: string;
  readonly #address: string;
  readonly #token: string;

  constructor(file: string, url: string, token: string) {
    this.#file = file;
    this.#address = new URL(url).host;
    this.#token = token;
  }

  /** `list`, `describe SYMBOL`. */
  words(...parameters: readonly string[]): string {
    const run = this.#run([this.#address, ...parameters]);
    if (run.status !== 0) throw new Error(`grpcurl ${parameters.join(" ")}: ${run.stderr}`);
    return run.stdout;
  }

  /** Several requests are a stream. */
  call(method: string, ...requests: readonly object[]): GrpcReply {
    const input = requests.map((request) => JSON.stringify(request)).join("\n");
    const run = this.#run(["-d", "@", this.#address, `mic.v1.${method}`], input);
    const messages = parseDocuments(run.stdout);
    const status = run.status === 0 ? "OK" : (/Code: (\w+)/.exec(run.stderr)?.[1] ?? run.stderr);
    return { messages, status: statusName(status), error: run.stderr };
  }

  #run(parameters: readonly string[], input = "") {
    const header = `authorization: Bearer ${this.#token}`;
    const flags = ["-plaintext", "-H", header, "-emit-defaults", "-max-time", "30"];
    return spawnSync(this.#file, [...flags, ...parameters], { input, encoding: "utf8" });
  }
}

/** `FailedPrecondition` → `FAILED_PRECONDITION`. */
function statusName(text: string): string {
  return text === "OK" ? text : text.replace(/(?<=[a-z])(?=[A-Z])/g, "_").toUpperCase();
}

/** Documents one after the other, as grpcurl prints a stream: each ends with a brace at the start of a line. */
// biome-ignore lint/suspicious/noExplicitAny: messages of every shape
function parseDocuments(text: string): any[] {
  return text
    .split(/(?<=^\})\s*$/m)
    .filter((part) => part.trim() !== "")
    .map((part) => JSON.parse(part));
}
