import fc from "fast-check";
import { expect, test } from "vitest";
import { isMicError } from "../../src/core/base/errors.ts";
import { gotoPosition } from "../../src/core/workspace/commands/goto.ts";
import { findChanges } from "../../src/core/workspace/scan/changes.ts";
import { Workspace } from "../../src/core/workspace/workspace.ts";
import { nextTick } from "../support/land-in-index.ts";
import { expectSameStatus, startWatching, type Watching } from "../support/watching.ts";
import { applyEdit, step } from "../support/workspace-edits.ts";
import { at, type TestWorkspace, TestWorkspaces } from "../support/workspaces.ts";

/** Looking only where the watcher says finds what looking everywhere finds. */
async function expectSameLanding(workspace: TestWorkspace, watching: Watching): Promise<void> {
  const findChangedDirectories = async (_root: string, index: string): Promise<readonly string[]> => {
    const answer = await watching.ask("directories");
    if (answer.kind !== "directories") throw new Error(JSON.stringify(answer));
    expect(answer.index).toBe(index);
    return answer.directories;
  };
  const asking = Workspace.openRoot(workspace.dir, { ...workspace.ws.context, findChangedDirectories });
  const looking = Workspace.openRoot(workspace.dir, workspace.ws.context);
  const told = await findChanges(asking, undefined, { askWatcher: true });
  const found = await findChanges(looking);
  expect([...told.changes].map(({ op, path }) => `${op} ${path}`)).toEqual(
    [...found.changes].map(({ op, path }) => `${op} ${path}`),
  );
  expect([told.scan.skipped, told.scan.refused]).toEqual([found.scan.skipped, found.scan.refused]);
}

test("a watcher says what a scan says, whatever is edited, landed and gone back to", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.array(step, { minLength: 1, maxLength: 6 }), { minLength: 2, maxLength: 10 }),
      async (batches) => {
        await using spaces = new TestWorkspaces();
        const workspace = await spaces.init({
          a: "1",
          "d/a": "1",
          "d/e/b.o": "1",
          "d/e/f/c": "1",
          "x/y/d": "1",
        });
        await workspace.land("start");
        await using watching = await startWatching(workspace);
        for (const batch of batches) {
          for (const action of batch) {
            applyEdit(workspace.dir, action);
            if (action.do === "tick") await nextTick();
            else if (action.do === "land") await landOrGo(workspace, action.part);
          }
          await expectSameStatus(workspace, watching);
          await expectSameLanding(workspace, watching);
        }
      },
    ),
    { numRuns: Number(process.env["WATCH_RUNS"] ?? 30) },
  );
});

async function landOrGo(workspace: TestWorkspace, part: number): Promise<void> {
  const fresh = Workspace.openRoot(workspace.dir, workspace.ws.context);
  try {
    if (part === 3) await gotoPosition(fresh, at(1), { keep: true });
    else await workspace.land("more");
  } catch (error) {
    // Nothing to land, or a conflict with what was gone back from: the state is still one to compare.
    if (!isMicError(error)) throw error;
  }
}
