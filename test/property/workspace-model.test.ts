/**
 * Several workspaces of one project edit, land, sync, go to and fro, restore and undo at random. After every
 * step: the index of each holds exactly the project's tree at its base; a workspace shows no change at a path
 * that its user did not touch; an undone operation leaves the files that were there before it.
 */
import { expect, test } from "vitest";
import { isMicError } from "../../src/core/base/errors.ts";
import { parseTreePath } from "../../src/core/base/path.ts";
import { gotoPosition } from "../../src/core/workspace/commands/goto.ts";
import { redo, undo } from "../../src/core/workspace/commands/ops.ts";
import { resolveConflicts } from "../../src/core/workspace/commands/resolve.ts";
import { restorePaths } from "../../src/core/workspace/commands/restore.ts";
import { syncWorkspace } from "../../src/core/workspace/commands/sync.ts";
import { Workspace } from "../../src/core/workspace/workspace.ts";
import { SeededRandom } from "../support/seeded-random.ts";
import { at, type FileContent, type TestWorkspace, TestWorkspaces } from "../support/workspaces.ts";

const SEEDS = Number(process.env["MIC_MODEL_SEEDS"] ?? 10);
const STEPS = 28;
const NAMES = ["a", "b", "d", "d/x", "d/y", "d/e/z", "m", "m/n", "link", "tool"];
/** What a refused command may say; anything else is a bug. */
const REFUSALS = ["conflict", "dirty", "nothing-to-land", "landed", "not-found"];

class Actor {
  readonly space: TestWorkspace;
  /** Paths that the user may see as changed. */
  touched = new Set<string>();

  constructor(space: TestWorkspace) {
    this.space = space;
  }

  /** With state read anew, as another process would. */
  get ws(): Workspace {
    return Workspace.openRoot(this.space.dir, this.space.ws.context);
  }
}

test.each(Array.from({ length: SEEDS }, (_, i) => i + 1))(
  "random work of three people, seed %i",
  async (seed) => {
    await using spaces = new TestWorkspaces();
    const random = new SeededRandom(seed);
    const below = (count: number): number => random.below(count);
    const pick = <T>(items: readonly T[]): T => items[below(items.length)]!;
    const first = await spaces.init({ a: lines(below), "d/x": lines(below), tool: { run: "1\n" } });
    await first.land("first");
    const actors = [first, await spaces.clone(first), await spaces.clone(first)].map(
      (space) => new Actor(space),
    );
    const trail: string[] = [];
    try {
      for (let step = 0; step < STEPS; step++) {
        const actor = pick(actors);
        const name = await act(actor, below, pick, trail, `${actors.indexOf(actor)}`);
        trail.push(name);
        await check(actor);
      }
      // In the end everybody agrees.
      for (let round = 0; round < 2; round++) {
        for (const actor of actors) {
          trail.push(`settle ${actors.indexOf(actor)}`);
          await gotoPosition(actor.ws, actor.ws.index.base.position, { discard: true });
          await syncWorkspace(actor.ws);
        }
      }
      const files = filesOf(actors[0]!.space);
      for (const actor of actors) {
        expect(filesOf(actor.space)).toEqual(files);
        expect(await actor.space.changes()).toEqual([]);
      }
      expect(filesOf(await spaces.clone(first))).toEqual(files);
    } catch (error) {
      throw new Error(
        `seed ${seed} after ${trail.join("; ")}: ${error instanceof Error ? error.stack : error}`,
        { cause: error },
      );
    }
  },
);

/** Directories that a user emptied are nobody's business. */
function filesOf(space: TestWorkspace): Record<string, string> {
  return Object.fromEntries(Object.entries(space.files()).filter(([name]) => !name.endsWith("/")));
}

function lines(below: (count: number) => number): string {
  return Array.from({ length: 6 }, (_, i) => `${i} ${below(3)}\n`).join("");
}

async function act(
  actor: Actor,
  below: (count: number) => number,
  pick: <T>(items: readonly T[]) => T,
  trail: string[],
  who: string,
): Promise<string> {
  const { space, ws } = actor;
  const name = pick(NAMES);
  const head = ws.latestKnown;
  switch (below(13)) {
    case 0:
    case 1:
    case 2: {
      const content: FileContent =
        name === "link" && below(2) === 0
          ? { link: pick(NAMES) }
          : below(5) === 0
            ? { run: lines(below) }
            : lines(below);
      try {
        space.remove(...(below(2) === 0 ? [name] : []));
      } catch {
        return `${who} no ${name}`;
      }
      try {
        space.write({ [name]: content });
      } catch {
        // A file where a directory would have to be, or the reverse.
        return `${who} cannot write ${name}`;
      } finally {
        touch(actor, name);
      }
      return `${who} edit ${name}`;
    }
    case 3:
      touch(actor, name);
      try {
        space.remove(name);
      } catch {
        return `${who} nothing at ${name}`;
      }
      return `${who} remove ${name}`;
    case 4:
    case 5:
      return attempt(`${who} land`, async () => {
        const options = below(3) === 0 ? { paths: [parseTreePath(name)] } : {};
        await new Actor(space).space.land(`step ${trail.length}`, options);
        if (Object.keys(options).length === 0)
          actor.touched = new Set(actor.ws.conflicts.map(({ path }) => path));
      });
    case 6:
    case 7:
      return undoable(actor, `${who} sync`, below(3) === 0, async () => {
        await syncWorkspace(ws);
      });
    case 8:
      return undoable(actor, `${who} goto`, below(3) === 0, async () => {
        await gotoPosition(ws, at(below(head + 1)));
      });
    case 9:
      return undoable(actor, `${who} goto --keep`, below(2) === 0, async () => {
        await gotoPosition(ws, at(below(head + 1)), { keep: true });
      });
    case 10:
      return undoable(actor, `${who} goto --discard`, below(2) === 0, async () => {
        await gotoPosition(ws, at(below(head + 1)), { discard: true });
      });
    case 11:
      return undoable(actor, `${who} restore`, below(2) === 0, async () => {
        touch(actor, name);
        await restorePaths(ws, [parseTreePath(name)], { from: at(below(head + 1)) });
      });
    default:
      return undoable(actor, `${who} resolve`, false, async () => {
        await resolveConflicts(ws, "all", pick(["ours", "theirs"] as const));
      });
  }
}

/** What is below a path changes with it, and the file that would have to stand where its directory is. */
function touch(actor: Actor, name: string): void {
  for (const known of NAMES) {
    if (known === name || known.startsWith(`${name}/`) || name.startsWith(`${known}/`))
      actor.touched.add(known);
  }
}

async function attempt(name: string, body: () => Promise<void>): Promise<string> {
  try {
    await body();
    return name;
  } catch (error) {
    if (!isMicError(error) || !REFUSALS.includes(error.code)) throw error;
    return `${name} (${error.code})`;
  }
}

/** Runs an operation; with `back`, undoes it, checks that nothing is left of it, and repeats it. */
async function undoable(
  actor: Actor,
  name: string,
  back: boolean,
  body: () => Promise<void>,
): Promise<string> {
  return attempt(name, async () => {
    const before = filesOf(actor.space);
    const position = actor.ws.index.base.position;
    const conflicts = actor.ws.conflicts;
    const operations = actor.ws.loadOperations().inEffect;
    try {
      await body();
    } catch (error) {
      expect(filesOf(actor.space)).toEqual(before);
      expect(actor.ws.index.base.position).toBe(position);
      throw error;
    }
    const after = filesOf(actor.space);
    if (!back || actor.ws.loadOperations().inEffect === operations) return;
    await undo(actor.ws);
    expect(filesOf(actor.space)).toEqual(before);
    expect(actor.ws.index.base.position).toBe(position);
    expect(actor.ws.conflicts).toEqual(conflicts);
    await check(actor);
    await redo(actor.ws);
    expect(filesOf(actor.space)).toEqual(after);
  });
}

async function check(actor: Actor): Promise<void> {
  const { ws } = actor;
  const forge = await ws.forge();
  const { base } = ws.index;
  const tree: string[] = [];
  for await (const page of forge.listEntries(ws.settings.project, base.position, undefined)) {
    for (const { path, entry } of page) tree.push(`${path} ${entry.kind} ${entry.id}`);
  }
  expect([...ws.index.entries()].map(({ path, entry }) => `${path} ${entry.kind} ${entry.id}`)).toEqual(tree);
  expect((await forge.getPosition(ws.settings.project, base.position)).root).toBe(base.root);
  for (const change of await actor.space.changes()) {
    expect(actor.touched).toContain(change.split(" ")[1]);
  }
  expect(ws.loadTransition()).toBeUndefined();
  expect(ws.loadPending()).toBeUndefined();
}
