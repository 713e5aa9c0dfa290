/** A terminal for tests: one tmux server per test file, keys in, screens out. */
import { spawnSync } from "node:child_process";
import { setTimeout as delay } from "node:timers/promises";
import type { World } from "./support.ts";

const WAIT_MS = 15_000;
const POLL_MS = 50;

export const hasTmux: boolean = spawnSync("tmux", ["-V"]).status === 0;

export class Terminal implements Disposable {
  readonly #socket: string;

  /** Starts `command` (a shell command line) in a terminal of the given size. */
  constructor(world: World, dir: string, command: string, size: { columns: number; rows: number }) {
    this.#socket = world.path(`tmux-${Math.random().toString(36).slice(2)}`);
    const environment = Object.entries(world.env).flatMap(([name, value]) => ["-e", `${name}=${value}`]);
    this.#tmux([
      ...["-f", "/dev/null", "new-session", "-d", "-x", String(size.columns), "-y", String(size.rows)],
      ...["-c", world.path(dir), ...environment, `${command}; echo "exit code $?"; sleep 60`],
    ]);
  }

  #tmux(args: readonly string[]): string {
    const result = spawnSync("tmux", ["-S", this.#socket, ...args], { encoding: "utf8" });
    if (result.status !== 0) throw new Error(`tmux ${args.join(" ")}: ${result.stderr}`);
    return result.stdout;
  }

  /** Names as tmux knows them: `Tab`, `Enter`, `C-c`; anything else is typed. */
  press(...keys: string[]): void {
    this.#tmux(["send-keys", ...keys]);
  }

  screen(): string {
    return this.#tmux(["capture-pane", "-p"]);
  }

  /** The screen, once it contains `text`. */
  async waitFor(text: string | RegExp): Promise<string> {
    const end = Date.now() + WAIT_MS;
    for (;;) {
      const screen = this.screen();
      if (typeof text === "string" ? screen.includes(text) : text.test(screen)) return screen;
      if (Date.now() > end) throw new Error(`never saw ${text} on the screen:\n${screen}`);
      await delay(POLL_MS);
    }
  }

  [Symbol.dispose](): void {
    spawnSync("tmux", ["-S", this.#socket, "kill-server"]);
  }
}
