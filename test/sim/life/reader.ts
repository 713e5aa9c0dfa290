/** Somebody who only reads: old and new trees, contents, the log by path, sessions. Nothing read is ever taken back. */
import { concatBytes, equalBytes } from "../../../src/core/base/bytes.ts";
import { POSITION_ZERO, type Position } from "../../../src/core/base/ids.ts";
import type { TreePath } from "../../../src/core/base/path.ts";
import type { LocatedEntry } from "../../../src/core/forge/forge.ts";
import type { LifeProject } from "./project.ts";
import { lookAtSessions } from "./session-list.ts";
import { DAY_MS, type LifeAgent, type LifeWorld, SECOND_MS } from "./world.ts";

const READ_TIMEOUT_MS = 10 * 60 * SECOND_MS;
const PATHS = ["a", "b", "b/c", "e", "g/h", "src"] as TreePath[];

export class Reader {
  readonly name: string;
  readonly #world: LifeWorld;
  readonly #project: LifeProject;
  #seen: Position = POSITION_ZERO;

  constructor(name: string, world: LifeWorld, project: LifeProject) {
    this.name = name;
    this.#world = world;
    this.#project = project;
  }

  async live(): Promise<void> {
    while (!this.#world.isOver) {
      await this.#world.rest();
      const agent = this.#world.agent();
      const since = this.#world.since(agent);
      try {
        const isDone = await Promise.race([
          this.#read(agent).then(() => true),
          this.#world.clock.sleep(READ_TIMEOUT_MS + 4 * DAY_MS).then(() => false),
        ]);
        if (isDone) this.#world.stats.reads++;
      } catch (error) {
        if (!since.excuses(error)) throw error;
        this.#world.note(`${this.name} reads through ${agent.name}: ${error.code} (${error.message})`);
      }
    }
  }

  async #read(agent: LifeAgent): Promise<void> {
    const { random } = this.#world;
    const { forge } = agent;
    const { id } = this.#project;
    const head = await forge.getHead(id, { atLeast: this.#seen });
    if (head.position < this.#seen) throw new Error(`${this.name} went back to ${head.position}`);
    this.#seen = head.position;
    // Now and then far back, where everything was merged.
    const at = (random.below(2) === 0 ? head.position : random.below(head.position + 1)) as Position;
    switch (random.below(6)) {
      case 0:
        return await this.#readLog(agent, head.position);
      case 1:
        return await this.#readSession(agent);
      case 2:
        return await this.#findLanding(agent);
      case 3:
        return await lookAtSessions(this.name, this.#world, this.#project, agent);
      default:
        return await this.#readTree(agent, at);
    }
  }

  async #readTree({ forge }: LifeAgent, at: Position): Promise<void> {
    const { random, clock, contents } = this.#world;
    const { id } = this.#project;
    const files = new Map<TreePath, LocatedEntry>();
    for await (const page of forge.listEntries(id, at, undefined)) {
      for (const located of page) files.set(located.path, located);
    }
    this.#project.sawTree(this.name, at, files);
    const slowMs = random.below(4) === 0 ? random.below(4 * DAY_MS) : 0;
    for (const file of files.values()) {
      if (random.below(3) !== 0) continue;
      if (slowMs > 0) await clock.sleep(slowMs);
      const pieces: Uint8Array[] = [];
      for await (const piece of forge.readFile(id, file)) {
        pieces.push(piece);
        if (slowMs > 0) await clock.sleep(random.below(slowMs));
      }
      if (!equalBytes(concatBytes(pieces), contents.get(file.entry.id)!)) {
        throw new Error(`${this.name} read something else in ${file.path} at ${at}`);
      }
    }
  }

  async #readLog({ forge }: LifeAgent, head: Position): Promise<void> {
    const { random } = this.#world;
    const after = random.below(head + 1) as Position;
    const path = PATHS[random.below(PATHS.length)]!;
    const positions: Position[] = [];
    for await (const page of forge.listLandings(this.#project.id, { after, upTo: head, paths: [path] })) {
      for (const { position } of page) positions.push(position);
    }
    this.#project.logs.push({ by: this.name, after, upTo: head, path, positions });
  }

  async #readSession({ forge }: LifeAgent): Promise<void> {
    const { sessions, id } = this.#project;
    const session = sessions[this.#world.random.below(sessions.length || 1)];
    if (session === undefined) return;
    const { landedAt, state } = await forge.getSession(id, session.id);
    if ((state === "landed") !== (landedAt !== undefined)) {
      throw new Error(`${this.name} saw session ${session.id} ${state}, landed at ${landedAt}`);
    }
    this.#project.landedSessions.push({ by: this.name, session: session.id, landedAt, head: this.#seen });
  }

  /** What was acknowledged to anybody is found by everybody. */
  async #findLanding({ forge }: LifeAgent): Promise<void> {
    const { random } = this.#world;
    const authors = [...this.#project.authors, ...this.#project.workers];
    const { attempted } = authors[random.below(authors.length)]!;
    const asked = attempted[random.below(attempted.length || 1)];
    if (asked?.answer?.kind !== "landed") return;
    const { landingId, base } = asked.request;
    const { position, root } = asked.answer;
    const found = await forge.findLanding(this.#project.id, landingId, base.position);
    if (found?.position === position && found.root === root) return;
    throw new Error(`${this.name} finds ${landingId} at ${found?.position}, which landed at ${position}`);
  }
}
