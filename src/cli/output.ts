/**
 * Where answers and remarks go: answers to stdout (or a pager), everything else to stderr. Writing is
 * synchronous and buffered, so that order holds and nothing is lost at exit.
 */
import type { MicError } from "../core/base/errors.ts";
import { BrokenPipe, describeCauses, errorDocument } from "./errors.ts";
import { type Pager, startPager } from "./pager.ts";
import { ProgressBar } from "./progress.ts";
import { makeStyle, type Style } from "./style.ts";
import { escapeBlock, escapeLine, toJsonText } from "./text.ts";
import { type CommandLineWorld, writeFully } from "./world.ts";

export interface OutputOptions {
  readonly json: boolean;
  readonly quiet: boolean;
  readonly verbose: boolean;
  readonly colorOut: boolean;
  readonly colorErr: boolean;
  /** Command line of the pager; empty for none. */
  readonly pager: string;
}

const FLUSH_BYTES = 32 << 10;
const COLUMNS_MAX = 120;

export class Output {
  readonly json: boolean;
  readonly verbose: boolean;
  readonly quiet: boolean;
  /** For stdout. */
  readonly style: Style;
  /** For stderr. */
  readonly errStyle: Style;
  readonly progress: ProgressBar;
  readonly isTerminal: boolean;
  readonly #world: CommandLineWorld;
  readonly #pagerCommand: string;
  #buffer: string[] = [];
  #buffered = 0;
  #pager: Pager | undefined;

  constructor(world: CommandLineWorld, options: OutputOptions) {
    this.#world = world;
    this.json = options.json;
    this.quiet = options.quiet;
    this.verbose = options.verbose;
    this.style = makeStyle(options.colorOut);
    this.errStyle = makeStyle(options.colorErr);
    this.isTerminal = world.stdoutIsTty;
    this.#pagerCommand = options.pager;
    this.progress = new ProgressBar({
      enabled: world.stderrIsTty && !options.quiet,
      columns: () => world.columns(),
      write: (text) => writeErr(text),
    });
  }

  /** Cells to lay text out in. A pipe gets the width of a plain terminal. */
  get columns(): number {
    return this.isTerminal ? Math.max(40, Math.min(COLUMNS_MAX, this.#world.columns())) : 80;
  }

  write(text: string): void {
    this.progress.clear();
    this.#buffer.push(text);
    this.#buffered += text.length;
    if (this.#buffered >= FLUSH_BYTES) this.flush();
  }

  line(text = ""): void {
    this.write(`${text}\n`);
  }

  /** Bytes as they are, after what was written before. */
  bytes(bytes: Uint8Array): void {
    this.flush();
    if (this.#pager !== undefined) this.#pager.write(bytes);
    else writeOut(bytes);
  }

  /** One JSON document on a line of its own. */
  document(value: unknown): void {
    this.write(`${toJsonText(value)}\n`);
  }

  /** The answer of a command: a JSON document with `--json`, else text (without its last line break). */
  answer(value: unknown, text: () => string): void {
    if (this.json) this.document(value);
    else {
      const rendered = text();
      if (rendered !== "") this.line(rendered);
    }
  }

  /** A remark for people, already escaped; silent with `--quiet`. */
  note(text: string): void {
    if (this.quiet) return;
    this.progress.clear();
    this.flush();
    writeErr(`${text}\n`);
  }

  /** What a person has to act on for the command to go on: on stderr whatever the options, already escaped. */
  tell(text: string): void {
    this.progress.clear();
    this.flush();
    writeErr(`${text}\n`);
  }

  hint(text: string): void {
    this.note(this.errStyle.dim(`hint: ${text}`));
  }

  warn(text: string): void {
    this.note(`${this.errStyle.yellow("warning:")} ${escapeLine(text)}`);
  }

  /** Only with `--verbose`. */
  detail(text: string): void {
    if (this.verbose) this.note(this.errStyle.dim(escapeBlock(text)));
  }

  error(error: MicError): void {
    this.progress.clear();
    if (this.json) {
      this.document(errorDocument(error));
    } else {
      const paths = listPaths(error);
      const lines = [`${this.errStyle.red("error:")} ${escapeBlock(error.message)}`];
      for (const path of paths) lines.push(`  ${escapeLine(path)}`);
      if (error.hint !== undefined) lines.push(this.errStyle.dim(`hint: ${escapeBlock(error.hint)}`));
      this.flush();
      writeErr(`${lines.join("\n")}\n`);
    }
    if (this.verbose || error.code === "internal") this.detail(describeCauses(error));
  }

  /** From here on the answer goes through a pager, when a person is looking at it. */
  page(): void {
    if (this.json || !this.isTerminal || !this.#world.stdinIsTty || this.#pagerCommand === "") return;
    this.#pager ??= startPager(this.#pagerCommand, this.#world.env);
  }

  flush(): void {
    if (this.#buffered === 0) return;
    const text = this.#buffer.join("");
    this.#buffer = [];
    this.#buffered = 0;
    if (this.#pager !== undefined) this.#pager.write(text);
    else writeOut(text);
  }

  /** Lets a pager catch up; call between parts of a long answer. */
  async settle(): Promise<void> {
    if (this.#pager !== undefined) {
      this.flush();
      await this.#pager.drained();
    }
  }

  /** Writes what is left and waits for the pager to be closed. */
  async finish(): Promise<void> {
    this.progress.clear();
    this.flush();
    await this.#pager?.close();
    this.#pager = undefined;
  }
}

const PATHS_SHOWN_MAX = 20;

/** The paths of an error document, when the message does not already name the only one. */
function listPaths(error: MicError): string[] {
  const paths = error.data["paths"];
  if (!Array.isArray(paths)) return [];
  const strings = paths.filter((path): path is string => typeof path === "string");
  if (strings.length === 1 && error.message.includes(strings[0]!)) return [];
  if (strings.length <= PATHS_SHOWN_MAX) return strings;
  return [...strings.slice(0, PATHS_SHOWN_MAX), `… and ${strings.length - PATHS_SHOWN_MAX} more`];
}

function writeOut(data: string | Uint8Array): void {
  try {
    writeFully(1, data);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "EPIPE" || code === "EBADF") throw new BrokenPipe("stdout is closed");
    throw error;
  }
}

function writeErr(text: string): void {
  try {
    writeFully(2, text);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // Nobody reads the remarks; the command goes on.
    if (code !== "EPIPE" && code !== "EBADF" && code !== "EIO") throw error;
  }
}
