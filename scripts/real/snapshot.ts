/** What stands in a directory, byte for byte, so that two directories can be compared. */
import { createHash } from "node:crypto";
import { lstatSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";

/** Path → `file|executable sha256` or `symlink target`. Directories are not recorded, as in a project's tree. */
export type Snapshot = ReadonlyMap<string, string>;

/** `isExcluded` names exactly what the ignore rules keep out of a landing; `.mic` is always left out. */
export function takeSnapshot(root: string, isExcluded: (path: string) => boolean): Snapshot {
  const found = new Map<string, string>();
  const walk = (directory: string): void => {
    for (const name of readdirSync(join(root, directory))) {
      const path = directory === "" ? name : `${directory}/${name}`;
      if (path === ".mic" || isExcluded(path)) continue;
      const absolute = join(root, path);
      const stat = lstatSync(absolute);
      if (stat.isDirectory()) walk(path);
      else if (stat.isSymbolicLink()) found.set(path, `symlink ${readlinkSync(absolute)}`);
      else {
        const kind = (stat.mode & 0o100) === 0 ? "file" : "executable";
        found.set(path, `${kind} ${createHash("sha256").update(readFileSync(absolute)).digest("hex")}`);
      }
    }
  };
  walk("");
  return found;
}

/** Every difference as a line; empty when the two are equal. */
export function compareSnapshots(expected: Snapshot, actual: Snapshot): string[] {
  const differences: string[] = [];
  for (const [path, what] of expected) {
    const found = actual.get(path);
    if (found === undefined) differences.push(`missing ${path} (${what})`);
    else if (found !== what) differences.push(`${path}: expected ${what}, found ${found}`);
  }
  for (const [path, what] of actual) {
    if (!expected.has(path)) differences.push(`unexpected ${path} (${what})`);
  }
  return differences;
}
