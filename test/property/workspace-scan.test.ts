import { lstatSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { expect, test } from "vitest";
import { hashObject } from "../../src/core/base/hash.ts";
import { comparePaths } from "../../src/core/base/path.ts";
import { WorkspaceIndex } from "../../src/core/workspace/index/workspace-index.ts";
import { isPathIgnored } from "../../src/core/workspace/scan/ignore.ts";
import { scanWorkspace } from "../../src/core/workspace/scan/scan.ts";
import { landInIndex, nextTick } from "../support/land-in-index.ts";
import { temporaryWorkspace } from "../support/temporary-workspace.ts";
import { applyEdit, step } from "../support/workspace-edits.ts";

/** Every change, found the slow way: by reading everything. */
function scanSlowly(root: string, index: WorkspaceIndex): string[] {
  const found = new Map<string, string>();
  const walk = (dir: string): void => {
    for (const name of readdirSync(join(root, dir))) {
      if (name === ".mic") continue;
      const path = dir === "" ? name : `${dir}/${name}`;
      const stats = lstatSync(join(root, path));
      if (stats.isDirectory()) {
        walk(path);
      } else {
        const tracked = index.find(path) !== undefined;
        if (!tracked && isPathIgnored(root, path, false)) continue;
        const link = stats.isSymbolicLink();
        const kind = link ? "symlink" : (stats.mode & 0o100) === 0 ? "file" : "executable";
        const content = link ? readlinkSync(join(root, path), "buffer") : readFileSync(join(root, path));
        found.set(path, `${kind} ${hashObject(content)}`);
      }
    }
  };
  walk("");
  const changes: string[] = [];
  for (const [path, now] of found) {
    const before = index.find(path)?.entry;
    if (before === undefined) {
      changes.push(`add ${path}`);
      continue;
    }
    const [kind, id] = now.split(" ");
    if ((kind === "symlink") !== (before.kind === "symlink")) changes.push(`type ${path}`);
    else if (id !== before.id) changes.push(`modify ${path}`);
    else if (kind !== before.kind) changes.push(`mode ${path}`);
  }
  for (const { path } of index.entries()) if (!found.has(path)) changes.push(`delete ${path}`);
  return changes.sort((a, b) => comparePaths(a.slice(a.indexOf(" ")), b.slice(b.indexOf(" "))));
}

test("scanWorkspace() finds what reading everything finds, whatever happened and was landed before", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 40 }), async (steps) => {
      using ws = temporaryWorkspace();
      const { root } = ws;
      for (const action of [...steps, { do: "scan" } as const]) {
        if (action.do === "tick") await nextTick();
        if (action.do !== "scan" && action.do !== "land") {
          applyEdit(root, action);
          continue;
        }
        const index = WorkspaceIndex.load(root);
        const scan = await scanWorkspace({ root, index });
        expect(scan.changes.map(({ op, path }) => `${op} ${path}`)).toEqual(scanSlowly(root, index));
        expect(scan.refused).toEqual([]);
        if (action.do === "scan") continue;
        // Deletes stay in, since a file may stand where a directory was.
        const part = action.do === "land" ? action.part : 1;
        let number = 0;
        const changes = scan.changes.filter(({ op }) => op !== "add" || number++ % part === 0);
        await landInIndex(root, scan, changes);
      }
    }),
    { numRuns: Number(process.env["MIC_TEST_RUNS"] ?? 80) },
  );
});
