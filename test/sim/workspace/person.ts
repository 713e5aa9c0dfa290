/**
 * Somebody with a workspace: edits files, lands, syncs, resolves and undoes, with commands that are killed and a forge
 * that fails.
 */
import { lstatSync, renameSync, utimesSync } from "node:fs";
import { join } from "node:path";
import { utf8 } from "../../../src/core/base/bytes.ts";
import { isMicError, type MicError } from "../../../src/core/base/errors.ts";
import { parseTreePath } from "../../../src/core/base/path.ts";
import type { Forge } from "../../../src/core/forge/forge.ts";
import { landWorkspace } from "../../../src/core/workspace/commands/land.ts";
import { redo, undo } from "../../../src/core/workspace/commands/ops.ts";
import { resolveConflicts } from "../../../src/core/workspace/commands/resolve.ts";
import { workspaceStatus } from "../../../src/core/workspace/commands/status.ts";
import { syncWorkspace } from "../../../src/core/workspace/commands/sync.ts";
import type { Workspace } from "../../../src/core/workspace/workspace.ts";
import { SeededRandom } from "../../support/seeded-random.ts";
import { must } from "../auditor.ts";
import { HOUR_MS, openForge, SECOND_MS } from "../life/world.ts";
import { retrying } from "../retrying-store.ts";
import { CheckedDesk, type Seen, textIn } from "./checked-desk.ts";
import { areInTheWay, sameState, textOf, tokensOf } from "./content.ts";
import { PATHS, type Places } from "./desk.ts";
import { Line, type NetworkFault } from "./process.ts";

/** `bucket`: each command is its own agent. `server`: commands ask one of the world's. */
export type Reach = "bucket" | "server";
const ADDRESS: Readonly<Record<Reach, string>> = { bucket: "s3://bucket", server: "https://forge.test" };
const CALL_TIMEOUT_MS = 90 * SECOND_MS;
/** A landing that was sent longer ago is not on its way any more. */
const ON_ITS_WAY_MS = HOUR_MS;
/** Requests of which one is a process's last. */
const REQUESTS_MAX = 40;

/** What an honest command may end with in this world. */
const EXPECTED: ReadonlySet<string> = new Set([
  "unreachable",
  "outcome-unknown",
  "corrupt",
  "conflict",
  "nothing-to-land",
  "dirty",
  // The store's clock, or an agent's, may be wrong.
  "out-of-range",
]);

type End = "done" | "died" | MicError;

export class Person extends CheckedDesk {
  readonly #reach: Reach;
  #moves = 0;
  #goals = 0;
  /** When the landing that is pending was last sent. */
  #sentAtMs = 0;

  constructor(name: string, reach: Reach, places: Places) {
    super(name, ADDRESS[reach], places);
    this.#reach = reach;
  }

  async live(commands: number): Promise<void> {
    const { random } = this.world;
    for (let i = 0; i < commands; i++) {
      await this.world.rest();
      for (let edits = random.below(4); edits > 0; edits--) this.edit();
      await this.#act();
    }
  }

  async #act(): Promise<unknown> {
    const { random } = this.world;
    const conflicts = [...this.seen.conflicts];
    if (conflicts.length > 0 && random.below(3) !== 0) {
      return await this.#resolve(
        random.below(2) === 0 ? conflicts : [conflicts[random.below(conflicts.length)]!],
      );
    }
    switch (random.below(10)) {
      case 0:
      case 1:
      case 2:
        return await this.#sync();
      case 3:
        return await this.#land({ paths: [PATHS[random.below(PATHS.length)]!] });
      case 4:
      case 5:
        return await this.#land({ syncAttempts: 2 });
      default:
        return await this.#land({});
    }
  }

  /** Without faults: everything is landed and synced. */
  async settle(): Promise<void> {
    for (let round = 0; ; round++) {
      must(round < 20, `${this.name} does not come to an end`);
      await this.#command("syncs", (ws) => syncWorkspace(ws));
      if (this.seen.conflicts.size > 0) await this.#resolve([...this.seen.conflicts]);
      const end = await this.#land({});
      if (isMicError(end, "nothing-to-land")) return;
    }
  }

  /** At the end of everything: the directory is the head, and nothing is left over. */
  async finish(): Promise<void> {
    must((await this.#command("syncs", (ws) => syncWorkspace(ws))) === "done", `${this.name} cannot sync`);
    const { position } = await this.truth.forge.getHead(this.truth.project);
    const { files } = await this.truth.at(position);
    const status = await workspaceStatus(this.open(undefined));
    must(status.position === position, `${this.name} is at ${status.position}, not at the head`);
    must(status.pending === null && status.unfinished === null, `${this.name} has something left to do`);
    must(status.conflicts.length === 0 && status.changes.length === 0, `${this.name} is not clean`);
    const disk = this.files;
    for (const path of new Set([...disk.keys(), ...files.keys()])) {
      must(
        sameState(disk.get(path), files.get(path)),
        `${this.name} ends with another ${path} than the head`,
      );
    }
  }

  // What it does

  async #sync(): Promise<void> {
    const { random } = this.world;
    const before = this.seen;
    const held = this.files;
    const isHalfDone = this.open(undefined).loadTransition() !== undefined;
    const end = await this.#command("syncs", (ws) => syncWorkspace(ws));
    if (end !== "done" || this.seen.operation === before.operation || random.below(4) !== 0) return;
    if (isHalfDone || this.edited.size > 0 || this.seen.operation !== before.operation + 1) return;
    // A landing that was pending is none that could be undone.
    const newest = this.open(undefined).loadOperations().operations.at(-1);
    if (newest?.kind !== "sync" || newest.from.position !== before.base) return;
    await this.#undo({ ...before, files: held });
  }

  /** Back to what was there before the last operation, and perhaps forth again. */
  async #undo(before: Seen): Promise<void> {
    const after = this.seen;
    this.isUnsure = true;
    const undone = await this.#command("undoes", (ws) => undo(ws));
    if (undone !== "done" || this.edited.size > 0) return;
    this.#mustBe(before, "undo");
    if (this.world.random.below(2) === 0) return;
    this.isUnsure = true;
    const redone = await this.#command("redoes", (ws) => redo(ws));
    if (redone !== "done" || this.edited.size > 0) return;
    this.#mustBe(after, "redo");
  }

  #mustBe(seen: Seen, what: string): void {
    must(this.seen.base === seen.base, `${this.name}: ${what} leads to ${this.seen.base}, not ${seen.base}`);
    const now = this.seen;
    for (const path of new Set([...now.files.keys(), ...seen.files.keys()])) {
      must(
        sameState(now.files.get(path), seen.files.get(path)),
        `${this.name}: ${what} leaves another ${path}`,
      );
    }
    must(
      [...now.conflicts].join() === [...seen.conflicts].join(),
      `${this.name}: ${what} leaves other conflicts`,
    );
  }

  async #land(options: { readonly paths?: readonly string[]; readonly syncAttempts?: number }): Promise<End> {
    const { paths, ...rest } = options;
    const goal = `${this.name} ${++this.#goals}`;
    const which = paths === undefined ? {} : { paths: paths.map(parseTreePath) };
    const what = `lands ${goal}${paths === undefined ? "" : ` at ${paths}`}`;
    return await this.#command(what, (ws) => landWorkspace(ws, { goal, ...which, ...rest }));
  }

  async #resolve(paths: readonly string[]): Promise<void> {
    const { random } = this.world;
    const ws = this.open(undefined);
    const { files } = await this.truth.at(this.seen.base);
    const disk = this.files;
    for (const { path, ours } of ws.conflicts) {
      if (!paths.includes(path)) continue;
      const texts = [ours === undefined ? undefined : textIn(ws, ours.entry.id)];
      for (const side of [disk, files]) {
        for (const [other, { text }] of side)
          if (other === path || areInTheWay(other, path)) texts.push(text);
      }
      for (const text of texts) for (const token of tokensOf(text ?? "")) this.drop(token);
    }
    const canJoin = ws.conflicts.every(({ path, kind }) => !paths.includes(path) || kind === "content");
    const strategy = (["ours", "theirs", "union"] as const)[random.below(canJoin ? 3 : 2)]!;
    if (strategy === "union") {
      // A file of its own, with one token for each slot: nobody can count on them before it is done.
      const tokens = this.newTokens();
      for (const token of tokens) this.own.delete(token);
      const [path] = paths;
      const by = { bytes: utf8(textOf(tokens)) };
      const end = await this.#command(`writes ${path}`, (space) =>
        resolveConflicts(space, [parseTreePath(path!)], by),
      );
      if (end === "done" && !this.edited.has(path!)) for (const token of tokens) this.own.add(token);
    } else {
      await this.#command(`resolves ${paths} with ${strategy}`, (space) =>
        resolveConflicts(space, paths.map(parseTreePath), strategy),
      );
    }
    // A landing that was settled first may have brought newer versions.
    const settled = await this.truth.at(this.open(undefined).index.base.position);
    for (const path of paths) {
      for (const token of tokensOf(settled.files.get(path)?.text ?? "")) this.dropped.add(token);
    }
  }

  // Commands

  /** Runs a command to its end or its death, and looks at what it leaves. */
  async #command(what: string, run: (ws: Workspace) => Promise<unknown>): Promise<End> {
    const before = this.open(undefined);
    if (before.loadPending() === undefined) this.ahead.clear();
    if (before.loadTransition() === undefined) {
      this.edited.clear();
      this.seen = { ...this.seen, files: this.files };
    }
    const { counts } = this.world;
    counts.commands++;
    const sentMs = this.#agePending();
    const { line, died, mayMiss } = this.#start();
    const running = run(this.open(line.forge)).then(
      () => "done" as const,
      (error: unknown) => error,
    );
    const end = await Promise.race([running, died]);
    if (end === "died") {
      counts.deaths++;
      // Nothing that the dead still does can reach what it leaves.
      const left = join(this.root, `${this.name}-${++this.#moves}`);
      renameSync(this.dir, left);
      this.dir = left;
      line.bury();
      await running;
    }
    this.#notePending(sentMs);
    const said =
      end === "done" || end === "died" ? end : `${(end as MicError).code} (${(end as Error).message})`;
    this.world.note(`${this.name} ${what}: ${said}`);
    // An interrupted one was finished first.
    const isResolved = /^(?:resolves|writes) /.test(what);
    // Part of a change may be no tree.
    const isPartial = / at \S+$/.test(what) && isMicError(end, "usage");
    if (end !== "done" && end !== "died" && !isPartial) this.#mustBeExpected(end, isResolved || mayMiss());
    await this.check();
    return end as End;
  }

  /** The file system's clock is no virtual one: the file that tells when a landing was sent is made as old as it is. */
  #agePending(): number | undefined {
    const path = join(this.dir, ".mic/pending");
    if (lstatSync(path, { throwIfNoEntry: false }) === undefined) return undefined;
    const isOld = this.world.clock.nowMs() - this.#sentAtMs >= ON_ITS_WAY_MS;
    const seconds = Math.floor(Date.now() / 1000) - (isOld ? 2 : 0.5) * (ON_ITS_WAY_MS / 1000);
    utimesSync(path, seconds, seconds);
    return seconds * 1000;
  }

  /** Whether the command sent it, again or for the first time. */
  #notePending(wasMs: number | undefined): void {
    const stats = lstatSync(join(this.dir, ".mic/pending"), { throwIfNoEntry: false });
    if (stats !== undefined && Math.abs(stats.mtimeMs - (wasMs ?? 0)) > 1) {
      this.#sentAtMs = this.world.clock.nowMs();
    }
  }

  #mustBeExpected(error: unknown, mayMiss: boolean): void {
    if (isMicError(error) && (EXPECTED.has(error.code) || (mayMiss && error.code === "not-found"))) return;
    throw error;
  }

  #start(): { line: Line; died: Promise<"died">; mayMiss: () => boolean } {
    const world = this.world;
    const { random, clock, isCalm } = world;
    let kill: () => void = () => undefined;
    const died = new Promise<"died">((resolve) => {
      kill = () => {
        line.die();
        resolve("died");
      };
    });
    let forge: Forge;
    let mayMiss: () => boolean;
    if (this.#reach === "bucket") {
      const store = world.faults.actor();
      const over = random.below(3) === 0 ? store : retrying(store, clock);
      forge = openForge(over, clock, new SeededRandom(random.next()), this.name);
      mayMiss = () => store.pauses > 0;
      const moment = random.below(2) === 0 ? "before" : "after";
      if (!isCalm && random.below(3) === 0) void store.crashAt(random.below(REQUESTS_MAX), moment).then(kill);
    } else {
      const agent = world.agent();
      const { pauses } = agent;
      forge = agent.forge;
      mayMiss = () => agent.pauses > pauses;
    }
    let left = !isCalm && random.below(6) === 0 ? random.below(12) : -1;
    const line = new Line(forge, {
      clock,
      onRequest: () => {
        if (left-- === 0) kill();
        else if (!isCalm && random.below(10) === 0) this.edit(true);
      },
      ...(this.#reach === "server" && !isCalm
        ? { timeoutMs: CALL_TIMEOUT_MS, drawFault: () => drawNetworkFault(random) }
        : {}),
    });
    return { line, died, mayMiss };
  }
}

function drawNetworkFault(random: SeededRandom): NetworkFault | undefined {
  const drawn = random.below(60);
  if (drawn === 0) return "request-lost";
  if (drawn === 1) return "answer-lost";
  return drawn === 2 ? random.below(20 * 60 * SECOND_MS) : undefined;
}
