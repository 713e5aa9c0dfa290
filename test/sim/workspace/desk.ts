/** A directory with a workspace, and the hands that edit its files. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { MicError } from "../../../src/core/base/errors.ts";
import type { Forge, ProjectInfo } from "../../../src/core/forge/forge.ts";
import { newSettings } from "../../../src/core/workspace/commands/new-settings.ts";
import type { WorkspaceContext } from "../../../src/core/workspace/context.ts";
import { WorkspaceIndex } from "../../../src/core/workspace/index/workspace-index.ts";
import { Workspace, writeSettings } from "../../../src/core/workspace/workspace.ts";
import { areInTheWay, type FileState, hasMarkers, SLOTS, textOf, tokensOf } from "./content.ts";
import { readDisk, removeFromDisk, writeToDisk } from "./disk.ts";
import type { Truth, WorkspaceWorld } from "./world.ts";

export const PATHS: readonly string[] = ["a", "b", "d", "d/x", "d/y", "e/f", "e/f/g", "e/h", "m", "n"];

export interface Places {
  readonly world: WorkspaceWorld;
  readonly truth: Truth;
  readonly project: ProjectInfo;
  /** Of all directories. */
  readonly root: string;
}

export abstract class Desk {
  readonly name: string;
  protected readonly world: WorkspaceWorld;
  protected readonly truth: Truth;
  protected readonly root: string;
  protected dir: string;
  #tokens = 0;
  /** Tokens that have to be somewhere still. */
  protected readonly own = new Set<string>();
  /** What it took out of a file, or may have by what it chose. */
  readonly dropped = new Set<string>();
  /** Edited while a command was at work, or while one was half done. */
  protected readonly edited = new Set<string>();
  /** Edited after a landing was packed whose outcome is not known yet. */
  protected readonly ahead = new Set<string>();

  constructor(name: string, address: string, { world, truth, project, root }: Places) {
    this.name = name;
    this.world = world;
    this.truth = truth;
    this.root = root;
    this.dir = join(root, `${name}-0`);
    mkdirSync(join(this.dir, ".mic"), { recursive: true });
    WorkspaceIndex.empty().save(this.dir, { sync: true });
    writeSettings(this.dir, newSettings(this.dir, address, project));
  }

  /** Paths that were in conflict when somebody last looked. */
  protected abstract get knownConflicts(): Iterable<string>;

  get files(): ReadonlyMap<string, FileState> {
    return readDisk(this.dir);
  }

  protected open(forge: Forge | undefined): Workspace {
    const { clock, random } = this.world;
    const context: WorkspaceContext = {
      clock,
      random,
      openForge: async () => {
        if (forge === undefined) throw new MicError("unreachable", "there is no network");
        return forge;
      },
      author: this.name,
      agent: "",
      warn: (message) => this.world.note(`${this.name}: ${message}`),
    };
    return Workspace.openRoot(this.dir, context);
  }

  protected newTokens(): string[] {
    return Array.from({ length: SLOTS }, () => this.newToken());
  }

  protected newToken(): string {
    const token = `${this.name}.${++this.#tokens}`;
    this.own.add(token);
    return token;
  }

  protected drop(token: string): void {
    this.own.delete(token);
    this.dropped.add(token);
  }

  protected edit(isMeanwhile = this.open(undefined).loadTransition() !== undefined): void {
    const { random } = this.world;
    const disk = this.files;
    // Mostly what is there: somebody who writes while a command is at work is at it.
    const known = isMeanwhile && random.below(4) !== 0 ? [...disk.keys()] : PATHS;
    const path = known[random.below(known.length)] ?? PATHS[0]!;
    const blockers = [...disk.keys()].filter((other) => areInTheWay(other, path));
    const touched = [path, ...blockers];
    const inConflict = [...this.knownConflicts, ...this.open(undefined).conflicts.map((each) => each.path)];
    const isOff = touched.some((each) =>
      inConflict.some((other) => other === each || areInTheWay(other, each)),
    );
    if (isOff || touched.some((each) => hasMarkers(disk.get(each)?.text ?? ""))) return;
    const now = disk.get(path);
    if (now === undefined && blockers.length > 0 && random.below(3) !== 0) return;
    const isPending = isMeanwhile || this.open(undefined).loadPending() !== undefined;
    for (const each of touched) {
      if (isMeanwhile) this.edited.add(each);
      if (isPending) this.ahead.add(each);
    }
    for (const blocker of blockers) this.remove(blocker, disk.get(blocker)!);
    if (now === undefined) {
      const kind = random.below(4) === 0 ? "executable" : "file";
      writeToDisk(this.dir, path, { kind, text: textOf(this.newTokens()) });
      return;
    }
    const drawn = random.below(6);
    if (drawn === 0) this.remove(path, now);
    else if (drawn === 1) {
      writeToDisk(this.dir, path, { ...now, kind: now.kind === "file" ? "executable" : "file" });
    } else {
      const tokens = tokensOf(now.text);
      const slot = random.below(SLOTS);
      this.drop(tokens[slot]!);
      tokens[slot] = this.newToken();
      writeToDisk(this.dir, path, { ...now, text: textOf(tokens) });
    }
  }

  protected remove(path: string, { text }: FileState): void {
    for (const token of tokensOf(text)) this.drop(token);
    removeFromDisk(this.dir, path);
  }
}
