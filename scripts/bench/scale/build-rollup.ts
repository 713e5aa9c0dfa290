/**
 * `bun build-rollup.ts DIRECTORY LEVEL FIRST`: builds and attaches one rollup in a process of its own, and prints its
 * time and its peak of memory.
 */
import { readFileSync } from "node:fs";
import type { Position } from "../../../src/core/base/ids.ts";
import { systemClock } from "../../../src/core/base/system.ts";
import { buildRollup } from "../../../src/core/forge/rollup/build.ts";
import { openLocalStore } from "../../../src/core/store/local-store.ts";
import { openProject } from "./synthetic-log.ts";

const [directory, level, first] = process.argv.slice(2);
await using store = await openLocalStore(directory!, { clock: systemClock, create: false });
const project = openProject(store);
const began = performance.now();
const built = await buildRollup(
  { store },
  await project.snapshot(),
  Number(level),
  Number(first) as Position,
);
const outcome = await project.attach(built.change);
if (outcome !== "applied") throw new Error(`the rollup is ${outcome}`);
const ms = performance.now() - began;
// What a parent is told of its child's peak counts the parent's own memory at the time of the fork.
const peakKib = Number(/VmHWM:\s+(\d+)/.exec(readFileSync("/proc/self/status", "utf8"))![1]);
console.log(JSON.stringify({ ms, peakBytes: peakKib * 1024 }));
