/**
 * The world of `life` for people with workspaces: its store, faults, weather and agents, and what the project really
 * holds, read past all of them.
 */
import type { ObjectId, Position, ProjectId } from "../../../src/core/base/ids.ts";
import type { PositionRef } from "../../../src/core/forge/forge.ts";
import type { ForgeService } from "../../../src/core/forge/service.ts";
import { SeededRandom } from "../../support/seeded-random.ts";
import { LifeWorld, openForge } from "../life/world.ts";
import type { Tree } from "./content.ts";

export class WorkspaceWorld extends LifeWorld {
  /** Everybody has done what there was to do. */
  isDone = false;
  readonly counts = { commands: 0, deaths: 0, resumed: 0 };

  override get isOver(): boolean {
    return this.isDone || super.isOver;
  }
}

export interface Entry {
  readonly kind: string;
  readonly id: ObjectId;
}

/** What a position holds. */
export interface Placed extends PositionRef {
  readonly entries: ReadonlyMap<string, Entry>;
  readonly files: Tree;
}

/** The project as it is, for those who check. */
export class Truth {
  readonly forge: ForgeService;
  readonly project: ProjectId;
  readonly #positions = new Map<number, Promise<Placed>>();
  readonly #texts = new Map<ObjectId, string>();

  constructor(world: WorkspaceWorld, project: ProjectId) {
    this.forge = openForge(world.store, world.clock, new SeededRandom(world.seed), "truth");
    this.project = project;
  }

  at(position: Position): Promise<Placed> {
    let placed = this.#positions.get(position);
    if (placed === undefined) {
      placed = this.#read(position);
      this.#positions.set(position, placed);
    }
    return placed;
  }

  async #read(position: Position): Promise<Placed> {
    const { root } = await this.forge.getPosition(this.project, position);
    const entries = new Map<string, Entry>();
    const files = new Map<string, { kind: "file" | "executable"; text: string }>();
    for await (const page of this.forge.listEntries(this.project, position, undefined)) {
      for (const { path, entry, hint } of page) {
        entries.set(path, { kind: entry.kind, id: entry.id });
        let text = this.#texts.get(entry.id);
        if (text === undefined) {
          const parts: Uint8Array[] = [];
          for await (const part of this.forge.readFile(this.project, { entry, hint })) parts.push(part);
          text = Buffer.concat(parts).toString();
          this.#texts.set(entry.id, text);
        }
        files.set(path, { kind: entry.kind === "executable" ? "executable" : "file", text });
      }
    }
    return { position, root, entries, files };
  }
}
