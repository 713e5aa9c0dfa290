/** The directory of a simulated workspace, as its user sees it. */
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { FileState } from "./content.ts";

/** In memory where the system has such a directory: a run makes thousands of files. */
export function temporaryRoot(): string {
  return lstatSync("/dev/shm", { throwIfNoEntry: false })?.isDirectory() === true ? "/dev/shm" : tmpdir();
}

export function readDisk(root: string): Map<string, FileState> {
  const files = new Map<string, FileState>();
  const walk = (dir: string): void => {
    for (const name of readdirSync(join(root, dir)).sort()) {
      const path = dir === "" ? name : `${dir}/${name}`;
      if (path === ".mic") continue;
      const absolute = join(root, path);
      const stats = lstatSync(absolute);
      if (stats.isDirectory()) walk(path);
      else {
        const kind = (stats.mode & 0o100) === 0 ? "file" : "executable";
        files.set(path, { kind, text: readFileSync(absolute, "utf8") });
      }
    }
  };
  walk("");
  return files;
}

export function writeToDisk(root: string, path: string, { kind, text }: FileState): void {
  const absolute = join(root, path);
  mkdirSync(dirname(absolute), { recursive: true });
  writeFileSync(absolute, text);
  chmodSync(absolute, kind === "executable" ? 0o755 : 0o644);
}

/** With directories that are empty then. */
export function removeFromDisk(root: string, path: string): void {
  rmSync(join(root, path));
  for (let dir = dirname(path); dir !== "."; dir = dirname(dir)) {
    if (readdirSync(join(root, dir)).length > 0) return;
    rmdirSync(join(root, dir));
  }
}
