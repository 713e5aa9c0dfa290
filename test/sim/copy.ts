/** A copy of the core and the simulator in which some lines are different. */
import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../../", import.meta.url));

export interface Patch {
  /** Relative to the repository. */
  readonly file: string;
  /** Stands in the file exactly once. */
  readonly from: string;
  readonly to: string;
}

/** Throws when a line is not there, or not alone. */
export function copySimulator(directory: string, patches: readonly Patch[]): void {
  mkdirSync(directory, { recursive: true });
  for (const part of ["src/core", "test/sim", "test/support"]) {
    cpSync(join(root, part), join(directory, part), { recursive: true });
  }
  symlinkSync(join(root, "node_modules"), join(directory, "node_modules"));
  for (const { file, from, to } of patches) {
    const path = join(directory, file);
    const pieces = readFileSync(path, "utf8").split(from);
    if (pieces.length !== 2) throw new Error(`${file} has ${pieces.length - 1} times this line: ${from}`);
    writeFileSync(path, pieces.join(to));
  }
}
