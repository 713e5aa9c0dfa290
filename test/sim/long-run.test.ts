import { describe, expect, test } from "vitest";
import { type SeedResult, SeedRunner } from "../../scripts/sim/seed-runner.ts";
import { OPERATIONS, shortfalls } from "../../scripts/sim/table.ts";
import { FaultTable } from "../../src/core/store/fault-table.ts";
import { FAULT_KINDS, type FaultOperation, faultsOf } from "../../src/core/store/faults.ts";

/** Answers each line, but for those that say what else to do. */
const SCRIPT = `
require("node:readline").createInterface({ input: process.stdin }).on("line", (line) => {
  if (line.includes("dies")) { console.error("out of " + "memory"); process.exit(3); }
  if (line.includes("is killed")) process.kill(process.pid, "SIGKILL");
  if (line.includes("hangs")) return;
  console.log("some words");
  console.log(JSON.stringify({ counts: { pid: process.pid }, table: { calls: [], faults: [] } }));
});`;

function scripted(seedMsMax = 60_000): SeedRunner {
  return new SeedRunner({ command: process.execPath, args: ["-e", SCRIPT], cwd: "/", seedMsMax });
}

function pidOf(result: SeedResult): number | undefined {
  return result.kind === "ran" ? result.counts["pid"] : undefined;
}

describe("a long run's processes", () => {
  test("run one seed after the other in one of them", async () => {
    await using runner = scripted();
    const first = pidOf(await runner.run("life", 1));
    expect(first).toBeGreaterThan(0);
    expect(pidOf(await runner.run("life", 2))).toBe(first);
  });

  test("lose the one seed that ends them, say what they said, and go on with the next", async () => {
    await using runner = scripted();
    const first = pidOf(await runner.run("life", 1));
    const died = await runner.run("dies", 2);
    expect(died).toMatchObject({ kind: "ended", signal: undefined });
    expect(died).toHaveProperty("words", expect.stringContaining("out of memory"));
    const next = pidOf(await runner.run("life", 3));
    expect(next).toBeGreaterThan(0);
    expect(next).not.toBe(first);
    expect(await runner.run("is killed", 4)).toMatchObject({ kind: "ended", signal: "SIGKILL" });
    expect(pidOf(await runner.run("life", 5))).toBeGreaterThan(0);
  });

  test("are ended when a seed hangs", async () => {
    await using runner = scripted(50);
    expect(await runner.run("hangs", 1)).toMatchObject({ kind: "ended", signal: "SIGKILL" });
  });
});

describe("the table of a long run", () => {
  /** Everything that is done, with each fault that it can have, often. */
  function fullTable(without?: string): FaultTable {
    const table = new FaultTable();
    for (const what of OPERATIONS) {
      if (what === without) continue;
      table.called(what, 1_000_000);
      const actor = ["actor-paused", "actor-died-before", "actor-died-after"] as const;
      for (const kind of [...faultsOf(what.split(" ")[0] as FaultOperation), ...actor])
        table.saw(kind, what, 10_000);
    }
    table.saw("actor-too-late", "swap head", 100);
    table.saw("actor-clock-wrong", "clock", 100);
    return table;
  }

  test("is enough when everything was done and went wrong in every way", () => {
    expect(shortfalls(fullTable())).toEqual([]);
    expect(fullTable().kinds().size).toBe(FAULT_KINDS.length + 5);
  });

  test("falls short when something was never done, or is not known of", () => {
    expect(shortfalls(fullTable("delete rollup"))).toContain("delete rollup: never done");
    const table = fullTable();
    table.called("put other");
    expect(shortfalls(table)).toContain("put other: done, and not expected in scripts/sim/table.ts");
  });

  test("falls short of faults, of kinds, and in single cells", () => {
    const table = new FaultTable();
    table.saw("read-503", "read head", 99);
    const short = shortfalls(table);
    expect(short).toContain("99 faults, not 1000000");
    expect(short).toContain("1 kinds of fault, not 15");
    expect(short).toContain("read head: read-503: 99, not 100");
    expect(short).toContain("swap gc: swap-late: 0, not 100");
  });
});
