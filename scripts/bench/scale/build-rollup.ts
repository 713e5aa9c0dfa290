/** `bun build-rollup.ts DIRECTORY LEVEL FIRST`: builds and attaches one rollup in a process of its own, for its memory. */
import type { Position } from "../../../src/core/base/ids.ts";
import { systemClock } from "../../../src/core/base/system.ts";
import { buildRollup } from "../../../src/core/forge/rollup/build.ts";
import { openLocalStore } from "../../../src/core/store/local-store.ts";
import { openProject } from "./conflicts.ts";

const [directory, level, first] = process.argv.slice(2);
await using store = await openLocalStore(directory!, { clock: systemClock, create: false });
const project = openProject(store);
const built = await buildRollup(
  { store },
  await project.snapshot(),
  Number(level),
  Number(first) as Position,
);
const outcome = await project.attach(built.change);
if (outcome !== "applied") throw new Error(`the rollup is ${outcome}`);
