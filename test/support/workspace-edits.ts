/** Random edits of a workspace: what people, programs and version control do to files and ignore rules. */
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import fc from "fast-check";

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

export type Step =
  | { readonly do: "write"; readonly path: string; readonly text: string }
  | { readonly do: "disguise"; readonly path: string }
  | { readonly do: "remove" | "mkdir" | "executable" | "touch"; readonly path: string }
  | { readonly do: "link"; readonly path: string; readonly target: string }
  | { readonly do: "rename"; readonly path: string; readonly to: string }
  | { readonly do: "ignore"; readonly dir: string; readonly name: string; readonly text: string }
  | { readonly do: "land"; readonly part: number }
  | { readonly do: "tick" | "scan" };

export const step: fc.Arbitrary<Step> = fc.oneof(
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

/** Does nothing for steps that are no edits, or have nothing to work on. */
export function applyEdit(root: string, action: Step): void {
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
