/** Compares everything that a directory and its `.mic` say with what the log and the edits make of it. */
import type { Position } from "../../../src/core/base/ids.ts";
import type { Transition } from "../../../src/core/codec/transition.ts";
import type { Workspace } from "../../../src/core/workspace/workspace.ts";
import { must } from "../auditor.ts";
import { type FileState, hasMarkers, sameState, tokensOf } from "./content.ts";
import { Desk } from "./desk.ts";
import { type Expected, isFree, moveBase } from "./expected.ts";

/** A directory as it was when nothing was half done. */
export interface Seen {
  readonly files: ReadonlyMap<string, FileState>;
  readonly base: Position;
  readonly conflicts: ReadonlySet<string>;
  /** Number of the newest operation. */
  readonly operation: number;
}

export abstract class CheckedDesk extends Desk {
  /** Landings that this workspace has taken for landed. */
  readonly adopted = new Map<string, Position>();
  readonly #landed = new Set<string>();
  protected seen: Seen = { files: new Map(), base: 0 as Position, conflicts: new Set(), operation: 0 };
  /** What was undone or repeated may have been, or not. */
  protected isUnsure = false;

  protected get knownConflicts(): Iterable<string> {
    return this.seen.conflicts;
  }

  protected async check(): Promise<void> {
    const ws = this.open(undefined);
    const { base } = ws.index;
    const placed = await this.truth.at(base.position);
    must(placed.root === base.root, `${this.name} claims another tree at ${base.position}`);
    const indexed = new Map([...ws.index.entries()].map(({ path, entry }) => [path as string, entry]));
    for (const path of new Set([...indexed.keys(), ...placed.entries.keys()])) {
      const [a, b] = [indexed.get(path), placed.entries.get(path)];
      must(
        a?.id === b?.id && a?.kind === b?.kind,
        `${this.name} takes ${path} at ${base.position} for another`,
      );
    }
    if (ws.loadTransition() !== undefined) {
      this.world.counts.resumed++;
      return;
    }
    const expected = await this.#expected(ws);
    const files = this.files;
    const conflicts = new Set<string>(ws.conflicts.map(({ path }) => path));
    if (expected !== undefined) this.#compare(expected, files, conflicts);
    for (const [path, { text }] of files) {
      must(!hasMarkers(text) || conflicts.has(path), `${this.name} has markers in ${path} and no conflict`);
    }
    this.#checkKept(ws, files);
    const operation = ws.loadOperations().operations.at(-1)?.number ?? 0;
    this.seen = { files, base: base.position, conflicts, operation };
  }

  /** By the operations that were done since; undefined where nothing can be said. */
  async #expected(ws: Workspace): Promise<Expected | undefined> {
    const { files, conflicts, operation } = this.seen;
    const expected: Expected = {
      files: new Map(files),
      conflicts: new Set(conflicts),
      marked: new Map(),
      free: new Set(this.edited),
    };
    const isUnsure = this.isUnsure;
    let at = this.seen.base;
    for (const done of ws.loadOperations().operations) {
      if (done.number <= operation) continue;
      must(
        isUnsure || done.from.position === at,
        `${this.name} was at ${at}: ${done.description} began elsewhere`,
      );
      at = done.to.position;
      await this.#follow(expected, done);
    }
    this.isUnsure = false;
    if (isUnsure) return undefined;
    must(at === ws.index.base.position, `${this.name} is at ${ws.index.base.position} and did not go there`);
    return expected;
  }

  async #follow(expected: Expected, { kind, from, to, steps }: Transition): Promise<void> {
    if (kind === "resolve") {
      for (const path of [...expected.conflicts]) expected.free.add(path);
      for (const { path } of steps) expected.free.add(path);
      return;
    }
    const before = await this.truth.at(from.position);
    const after = await this.truth.at(to.position);
    const landed = new Set<string>();
    if (kind === "land") {
      const { landingId, operations } = await this.truth.forge.getLanding(this.truth.project, to.position);
      this.adopted.set(landingId, to.position);
      for (const { path } of operations) landed.add(path);
      for (const { text } of after.files.values()) {
        for (const token of tokensOf(text)) this.#landed.add(token);
      }
    }
    for (const path of landed) {
      if (isFree(expected, path) || this.ahead.has(path)) continue;
      const isAsLanded = sameState(expected.files.get(path), after.files.get(path));
      must(isAsLanded, `${this.name} landed another ${path} than it has`);
    }
    moveBase(expected, { from: before.files, to: after.files, landed });
  }

  #compare(expected: Expected, files: ReadonlyMap<string, FileState>, conflicts: ReadonlySet<string>): void {
    for (const path of new Set([...expected.files.keys(), ...files.keys()])) {
      if (isFree(expected, path)) continue;
      const tokens = expected.marked.get(path);
      if (tokens === undefined) {
        const [wanted, found] = [expected.files.get(path), files.get(path)].map((state) => show(state));
        must(wanted === found, `${this.name} has ${path} as ${found}, not ${wanted}`);
        continue;
      }
      const text = files.get(path)?.text ?? "";
      const found = tokensOf(text);
      must(hasMarkers(text), `${this.name} has no markers in ${path}`);
      for (const token of tokens) must(found.includes(token), `${this.name} misses ${token} in ${path}`);
    }
    for (const path of new Set([...expected.conflicts, ...conflicts])) {
      if (isFree(expected, path)) continue;
      const [wanted, found] = [expected.conflicts.has(path), conflicts.has(path)];
      must(wanted === found, `${this.name} has ${found ? "a" : "no"} conflict in ${path}`);
    }
  }

  /** Nothing that was written and not landed is gone, unless it was taken out by hand. */
  #checkKept(ws: Workspace, files: ReadonlyMap<string, FileState>): void {
    const there = new Set<string>();
    for (const { text } of files.values()) for (const token of tokensOf(text)) there.add(token);
    for (const { ours } of ws.conflicts) {
      const text = ours === undefined ? undefined : textIn(ws, ours.entry.id);
      for (const token of tokensOf(text ?? "")) there.add(token);
    }
    for (const token of this.own) {
      must(
        there.has(token) || this.#landed.has(token),
        `${this.name} lost ${token}, which it had not landed`,
      );
    }
  }
}

export function textIn(ws: Workspace, id: Parameters<Workspace["objects"]["read"]>[0]): string | undefined {
  const object = ws.objects.read(id);
  return object && Buffer.from(object.content).toString();
}

function show(state: FileState | undefined): string {
  return state === undefined ? "nothing" : `${state.kind} ${tokensOf(state.text).join()}`;
}
