import { describe, expect, it } from "vitest";
import { describeCauses, errorDocument, exitCodeOf, toMicError } from "../../src/cli/errors.ts";
import { findVerbIndex } from "../../src/cli/program.ts";
import { renderProgress } from "../../src/cli/progress.ts";
import { LandingGraph } from "../../src/cli/render/graph.ts";
import { wantsColor } from "../../src/cli/style.ts";
import { VERBS } from "../../src/cli/verbs.ts";
import type { CommandLineWorld } from "../../src/cli/world.ts";
import { MicError } from "../../src/core/base/errors.ts";

function drawn(landings: readonly (readonly [position: number, base: number])[]): string[] {
  const graph = new LandingGraph();
  return landings.flatMap(([position, base]) => {
    const row = graph.next(position, base);
    return [...row.before, `${row.node}  @${position}`, row.rest, ...row.after];
  });
}

describe("LandingGraph", () => {
  it("draws a line where each landing was made on the one before it", () => {
    expect(
      drawn([
        [3, 2],
        [2, 1],
        [1, 0],
      ]),
    ).toEqual(["o  @3", "|", "o  @2", "|", "o  @1", "|"]);
  });

  it("joins a landing made on an older base to that base", () => {
    expect(
      drawn([
        [4, 3],
        [3, 1],
        [2, 1],
        [1, 0],
      ]),
    ).toEqual(["o  @4", "|", "o  @3", "|", "|\\", "o |  @2", "| |", "|/", "o  @1", "|"]);
  });

  it("shares a lane between landings with the same base", () => {
    const lines = drawn([
      [5, 1],
      [4, 1],
      [3, 2],
      [2, 1],
      [1, 0],
    ]);
    expect(lines.filter((line) => line === "|\\")).toHaveLength(1);
    expect(lines.filter((line) => line === "|/")).toHaveLength(1);
  });

  it("closes a lane whose base was filtered out", () => {
    expect(
      drawn([
        [5, 3],
        [2, 1],
      ]).at(-1),
    ).toBe("|");
  });
});

describe("toMicError()", () => {
  const system = (code: string) => Object.assign(new Error(`${code}: failed`), { code, path: "/x" });

  it("keeps a MicError and explains the system's errors", () => {
    const error = new MicError("conflict", "clash");
    expect(toMicError(error)).toBe(error);
    expect(toMicError(system("ENOSPC"))).toMatchObject({
      code: "internal",
      message: "no space left on the device: /x",
    });
    expect(toMicError(system("ENOENT"))).toMatchObject({ code: "not-found" });
    expect(toMicError(system("SQLITE_FULL")).message).toContain("no space left");
    expect(toMicError("thrown text")).toMatchObject({ code: "internal", message: "thrown text" });
  });

  it("gives every code its exit code and its document", () => {
    const codes = (
      [
        "usage",
        "conflict",
        "forbidden",
        "unauthenticated",
        "unreachable",
        "outcome-unknown",
        "aborted",
        "dirty",
        "corrupt",
      ] as const
    ).map((code) => exitCodeOf(new MicError(code, "x")));
    expect(codes).toEqual([2, 3, 4, 4, 5, 5, 130, 1, 1]);
    const error = new MicError("conflict", "m", { hint: "h", data: { paths: ["a"], code: "x" } });
    expect(JSON.stringify(errorDocument(error))).toBe(
      '{"error":{"code":"conflict","message":"m","hint":"h","paths":["a"]}}',
    );
    expect(describeCauses(new Error("outer", { cause: new Error("inner") }))).toContain(
      "caused by: Error: inner",
    );
  });
});

describe("wantsColor()", () => {
  const world = (env: Record<string, string>) => ({ env }) as unknown as CommandLineWorld;
  const wants = (env: Record<string, string>, tty = false, preference?: string, disabled = false) =>
    wantsColor(world(env), tty, { disabled, preference });

  it("follows the terminal unless told otherwise, the strongest word first", () => {
    expect([wants({}), wants({}, true), wants({ TERM: "dumb" }, true)]).toEqual([false, true, false]);
    expect(wants({ NO_COLOR: "1" }, true)).toBe(false);
    expect(wants({ NO_COLOR: "" }, true)).toBe(true);
    expect(wants({ CLICOLOR_FORCE: "1" })).toBe(true);
    expect(wants({ CLICOLOR_FORCE: "1", NO_COLOR: "1" })).toBe(false);
    expect(wants({ MIC_COLOR: "always", NO_COLOR: "1" })).toBe(true);
    expect(wants({ MIC_COLOR: "always" }, true, "always", true)).toBe(false);
    expect([wants({}, false, "always"), wants({}, true, "never")]).toEqual([true, false]);
  });
});

describe("renderProgress()", () => {
  it("fits the terminal and counts in the unit of the task", () => {
    const step = { task: "packing", done: 500, total: 1000, unit: "files" };
    expect(renderProgress(step, 80)).toMatch(/^packing {6}\[#+-+\] {2}50 % {2}500 of 1,000 files$/);
    expect(renderProgress({ ...step, total: 0 }, 80)).toBe("packing      500 files");
    expect(renderProgress({ ...step, unit: "bytes", total: 2048 }, 80)).toContain("500 B of 2.0 KiB");
    for (const columns of [20, 40, 60, 80]) {
      expect(renderProgress(step, Math.max(columns, 45)).length).toBeLessThanOrEqual(Math.max(columns, 45));
    }
  });
});

describe("findVerbIndex()", () => {
  it("skips global options and their values", () => {
    expect(findVerbIndex(["status"])).toBe(0);
    expect(findVerbIndex(["-C", "land", "--json", "status"])).toBe(3);
    expect(findVerbIndex(["--server=x", "log"])).toBe(1);
    expect(findVerbIndex(["--json"])).toBe(-1);
    expect(findVerbIndex(["--", "status"])).toBe(-1);
  });

  it("names are unique over verbs and aliases", () => {
    const names = VERBS.flatMap((verb) => [verb.name, ...(verb.aliases ?? [])]);
    expect(new Set(names).size).toBe(names.length);
  });
});
