/**
 * How costs grow with the length of the log and the size of the tree.
 *
 *   npm run bench -- scale [--landings 1000,10000]
 */
import { parseArgs } from "node:util";
import { type BuildCosts, type ConflictCosts, measureConflicts } from "./scale/conflicts.ts";

const { values } = parseArgs({
  options: { landings: { type: "string", default: "1000,10000" } },
});

const KIB = 1024;
const MIB = 1024 * KIB;

function conflictRow(name: string, costs: ConflictCosts): string {
  return [
    name.padEnd(12),
    `${costs.rollups} + ${costs.tail}`.padStart(10),
    String(costs.coldRequests).padStart(9),
    `${(costs.coldBytes / KIB).toFixed(0)} KiB`.padStart(12),
    `${costs.warm.p50.toFixed(2)} ms`.padStart(10),
    `${costs.warm.p99.toFixed(2)} ms`.padStart(10),
    `${costs.otherPaths.p50.toFixed(2)} ms`.padStart(10),
    costs.otherPaths.requests.toFixed(1).padStart(9),
  ].join(" ");
}

const CONFLICTS_HEADER = `
conflict check of 100 paths, 10 of them changed since the base at position 0
landings     rollups+tail cold: requests     bytes   warm p50        p99  other paths   requests`;

function reportBuild({ level, seconds, peakBytes, front, parts, partBytes }: BuildCosts): void {
  const sizes = `front ${(front / KIB).toFixed(0)} KiB, ${parts} parts of ${(partBytes / MIB).toFixed(1)} MiB`;
  console.log(
    `rollup of level ${level} alone: ${seconds.toFixed(1)} s, peak ${(peakBytes / MIB).toFixed(0)} MiB, ${sizes}`,
  );
}

console.log(CONFLICTS_HEADER);
for (const landings of values.landings.split(",").map(Number)) {
  await measureConflicts(landings, {
    onCosts: (costs) => console.log(conflictRow(String(costs.landings), costs)),
    onBuilt: reportBuild,
  });
}
