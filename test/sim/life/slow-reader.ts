/**
 * Somebody who began to read days ago, with a process of his own that has read nothing before, and has not finished:
 * what the head of that day named was merged, and collected, since. Everything comes all the same.
 */
import { concatBytes, equalBytes } from "../../../src/core/base/bytes.ts";
import { hashObject } from "../../../src/core/base/hash.ts";
import { type ObjectId, POSITION_ZERO, type Position } from "../../../src/core/base/ids.ts";
import type { LocatedEntry } from "../../../src/core/forge/forge.ts";
import { openVerifiedFrame, sliceObject } from "../../../src/core/objects/read-frame.ts";
import { objectOf } from "./content.ts";
import type { LifeProject } from "./project.ts";
import { DAY_MS, LifeAgent, type LifeWorld } from "./world.ts";

/** Longer than it takes until what is replaced today may be deleted. */
const NAP_MS_MAX = 8 * DAY_MS;
/** Of what is done between two naps, which faults and stops make longer. */
const TIMEOUT_MS = 3 * NAP_MS_MAX;

export class SlowReader {
  readonly name: string;
  readonly #world: LifeWorld;
  readonly #project: LifeProject;

  constructor(name: string, world: LifeWorld, project: LifeProject) {
    this.name = name;
    this.#world = world;
    this.#project = project;
  }

  async live(): Promise<void> {
    const world = this.#world;
    while (!world.isOver) {
      await world.rest();
      const agent = new LifeAgent(this.name, world);
      const since = world.since(agent);
      try {
        const reads = world.random.below(3) === 0 ? this.#readLog(agent) : this.#clone(agent);
        const isDone = await Promise.race([
          reads.then(() => true),
          world.sleepUntilEnd(TIMEOUT_MS).then(() => false),
        ]);
        if (isDone) world.stats.reads++;
      } catch (error) {
        if (!since.excuses(error)) throw error;
        world.note(`${this.name} reads through ${agent.name}: ${error.code} (${error.message})`);
      }
    }
  }

  /** Sleeps now and then; once for very long. */
  #napper(): () => Promise<void> {
    const { random } = this.#world;
    let left = 1 + random.below(3);
    return async () => {
      if (left === 0 || random.below(2) === 0) return;
      left--;
      await this.#world.sleepUntilEnd(random.below(NAP_MS_MAX));
    };
  }

  async #clone({ forge }: LifeAgent): Promise<void> {
    const nap = this.#napper();
    const { id } = this.#project;
    const head = await forge.getHead(id);
    const files = new Map<string, LocatedEntry>();
    const wanted = new Set<ObjectId>();
    for await (const item of forge.fetch(id, { from: POSITION_ZERO, to: head.position })) {
      if (item.kind === "changes") {
        for (const { path, after } of item.changes) {
          if (after === undefined) throw new Error(`${this.name}: a clone deletes ${path}`);
          files.set(path, { path, ...after });
          wanted.add(objectOf(after.entry));
        }
      } else if (item.kind === "frame") {
        const raw = openVerifiedFrame(item.frame);
        for (const object of item.frame.objects) {
          const { content } = sliceObject(raw, object);
          if (hashObject(content) !== object.id)
            throw new Error(`${this.name} was sent another ${object.id}`);
          wanted.delete(object.id);
        }
      }
      await nap();
    }
    if (wanted.size > 0) throw new Error(`${this.name}: ${wanted.size} objects of a clone did not come`);
    for (const file of files.values()) {
      if (file.entry.chunks === undefined) continue;
      const pieces: Uint8Array[] = [];
      for await (const piece of forge.readFile(id, file)) {
        pieces.push(piece);
        await nap();
      }
      if (equalBytes(concatBytes(pieces), this.#world.contents.get(file.entry.id)!)) continue;
      throw new Error(`${this.name} was sent something else as ${file.path} at ${head.position}`);
    }
  }

  async #readLog({ forge }: LifeAgent): Promise<void> {
    const nap = this.#napper();
    const head = await forge.getHead(this.#project.id);
    let expected = head.position;
    for await (const page of forge.listLandings(this.#project.id, {
      after: POSITION_ZERO,
      upTo: head.position,
    })) {
      for (const { position } of page) {
        if (position !== expected)
          throw new Error(`${this.name} was told of ${position}, not of ${expected}`);
        expected = (position - 1) as Position;
      }
      await nap();
    }
    if (expected !== 0) throw new Error(`${this.name} was told of nothing before ${expected + 1}`);
  }
}
