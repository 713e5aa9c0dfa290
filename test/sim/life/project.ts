/** One project of a simulated world: who works on it, and what was seen of it. */
import type { Position, ProjectId, SessionId } from "../../../src/core/base/ids.ts";
import type { TreePath } from "../../../src/core/base/path.ts";
import type { TreeEntry } from "../../../src/core/codec/tree-entry.ts";
import type { Author } from "./author.ts";
import type { SessionWorker, WorkedSession } from "./session-worker.ts";
import { digestOfTree } from "./tree-digest.ts";

/** A tree as somebody saw it at a position. */
export interface SeenTree {
  readonly by: string;
  readonly position: Position;
  readonly digest: string;
}

/** Landings in (after, upTo] that somebody was told to have touched a path or what is below it. */
export interface SeenLog {
  readonly by: string;
  readonly after: Position;
  readonly upTo: Position;
  readonly path: TreePath;
  readonly positions: readonly Position[];
}

/** Where a session was said to have landed, when the head was at `head`. */
export interface SeenSession {
  readonly by: string;
  readonly session: SessionId;
  readonly landedAt: Position | undefined;
  readonly head: Position;
}

export class LifeProject {
  readonly id: ProjectId;
  readonly name: string;
  readonly trees: SeenTree[] = [];
  readonly logs: SeenLog[] = [];
  readonly landedSessions: SeenSession[] = [];
  readonly sessions: WorkedSession[] = [];
  readonly authors: Author[] = [];
  readonly workers: SessionWorker[] = [];

  constructor(id: ProjectId, name: string) {
    this.id = id;
    this.name = name;
  }

  sawTree(by: string, position: Position, files: ReadonlyMap<TreePath, { readonly entry: TreeEntry }>): void {
    this.trees.push({ by, position, digest: digestOfTree(files) });
  }
}
