import {
  chmodSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import fc from "fast-check";
import { expect, test } from "vitest";
import { hashObject } from "../../src/core/base/hash.ts";
import { comparePaths } from "../../src/core/base/path.ts";
import { isPathIgnored } from "../../src/core/workspace/ignore.ts";
import { WorkspaceIndex } from "../../src/core/workspace/index.ts";
import { scanWorkspace } from "../../src/core/workspace/scan.ts";
import { landInIndex, nextTick } from "../support/land-in-index.ts";
import { temporaryWorkspace } from "../support/temporary-workspace.ts";

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

const dir = fc.constantFrom("", "d", "d/e", "d/e/f", "x", "x/y", "out");
const file = fc.constantFrom("a", "b.o", "c", "d", "e");
const path = fc.tuple(dir, file).map(([parent, name]) => (parent === "" ? name : `${parent}/${name}`));
const rules = fc.constantFrom(
  "*.o\n",
  "out/\n",
  "!b.o\n",
  "e\n",
  "",
  "/d/e\n",
  "x/*\n!x/y\n",
  ".gitignore\n",
);

type Step =
  | { readonly do: "write"; readonly path: string; readonly text: string }
  | { readonly do: "disguise"; readonly path: string }
  | { readonly do: "remove" | "mkdir" | "executable" | "touch"; readonly path: string }
  | { readonly do: "link"; readonly path: string; readonly target: string }
  | { readonly do: "rename"; readonly path: string; readonly to: string }
  | { readonly do: "ignore"; readonly dir: string; readonly name: string; readonly text: string }
  | { readonly do: "land"; readonly part: number }
  | { readonly do: "tick" | "scan" };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ do: fc.constant("write" as const), path, text: fc.constantFrom("1", "2", "33") }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("disguise" as const), path }) },
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constantFrom("remove" as const, "mkdir" as const, "executable" as const, "touch" as const),
      path,
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant("link" as const),
      path,
      target: fc.constantFrom("a", "d", "../x"),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("rename" as const), path, to: path }) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant("ignore" as const),
      dir,
      name: fc.constantFrom(".gitignore", ".micignore"),
      text: rules,
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constant("land" as const), part: fc.integer({ min: 1, max: 3 }) }),
  },
  { weight: 4, arbitrary: fc.record({ do: fc.constantFrom("tick" as const, "scan" as const) }) },
);

/** Undefined when nothing is there, also when a parent is no directory; links are not followed. */
function statsOf(path: string) {
  try {
    return lstatSync(path, { throwIfNoEntry: false });
  } catch {
    return undefined;
  }
}

function apply(root: string, action: Step): void {
  if (!("path" in action) && action.do !== "ignore") return;
  const target = join(root, action.do === "ignore" ? join(action.dir, action.name) : action.path);
  const clear = (full: string): void => {
    // A file or link in the place of a directory makes room, from the top down.
    const parts = full.slice(root.length + 1).split("/");
    for (let depth = 1; depth < parts.length; depth++) {
      const parent = join(root, ...parts.slice(0, depth));
      if (statsOf(parent)?.isDirectory() === false) rmSync(parent);
    }
    mkdirSync(dirname(full), { recursive: true });
  };
  switch (action.do) {
    case "write":
    case "ignore":
      clear(target);
      if (statsOf(target)?.isFile() !== true) {
        rmSync(target, { recursive: true, force: true });
      }
      writeFileSync(target, action.text);
      return;
    case "disguise": {
      // Other content of the same size, the time set back: only ctime or the inode tell.
      const stats = statsOf(target);
      if (stats?.isFile() !== true) return;
      writeFileSync(
        target,
        readFileSync(target).map((byte) => byte ^ 1),
      );
      utimesSync(target, stats.atime, stats.mtime);
      return;
    }
    case "remove":
      if (statsOf(target) !== undefined) rmSync(target, { recursive: true });
      return;
    case "mkdir":
      clear(target);
      if (statsOf(target) === undefined) mkdirSync(target);
      return;
    case "executable":
      if (statsOf(target)?.isFile()) chmodSync(target, 0o755);
      return;
    case "touch":
      if (statsOf(target)?.isFile()) writeFileSync(target, readFileSync(target));
      return;
    case "link":
      clear(target);
      rmSync(target, { recursive: true, force: true });
      symlinkSync(action.target, target);
      return;
    case "rename": {
      const to = join(root, action.to);
      if (statsOf(target) === undefined || `${to}/`.startsWith(`${target}/`)) return;
      if (`${target}/`.startsWith(`${to}/`)) return;
      clear(to);
      if (statsOf(target) === undefined) return;
      rmSync(to, { recursive: true, force: true });
      renameSync(target, to);
      return;
    }
  }
}

test("scanWorkspace() finds what reading everything finds, whatever happened and was landed before", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 40 }), async (steps) => {
      using ws = temporaryWorkspace();
      const { root } = ws;
      for (const action of [...steps, { do: "scan" } as const]) {
        if (action.do === "tick") await nextTick();
        if (action.do !== "scan" && action.do !== "land") {
          apply(root, action);
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
