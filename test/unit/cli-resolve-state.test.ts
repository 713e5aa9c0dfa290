import { describe, expect, it } from "vitest";
import { interpretKey } from "../../src/cli/tui/resolve-keys.ts";
import { layOutHunk, textLines } from "../../src/cli/tui/resolve-layout.ts";
import { toModel } from "../../src/cli/tui/resolve-model.ts";
import {
  type Action,
  isDone,
  type ResolveState,
  readyFiles,
  reduce,
  renderFile,
  startResolving,
  type TextConflict,
  unsavedChoices,
} from "../../src/cli/tui/resolve-state.ts";
import { utf8 } from "../../src/core/base/bytes.ts";
import { mergeText } from "../../src/core/merge/merge3.ts";
import type { Conflict } from "../../src/core/workspace/results.ts";

const base = utf8("1\n2\n3\n4\n5\n6\n7\n8\n9\n");
const ours = utf8("1\ntwo ours\n3\n4\n5\n6\n7\neight ours\n9\n");
const theirs = utf8("1\ntwo theirs\n3\n4\n5\n6\n7\neight theirs\n9\n");
const merged = mergeText(base, ours, theirs, { labels: { ours: "w", theirs: "@5" }, style: "merge" }).bytes;

const entry = { kind: "file", size: 3, id: "0".repeat(64) };
const conflictAt = (path: string, kind: Conflict["kind"]): Conflict =>
  ({
    path,
    kind,
    base: { entry, hint: 0 },
    ours: { entry, hint: 0 },
    theirs: undefined,
    written: undefined,
  }) as unknown as Conflict;

const text = toModel(conflictAt("a.txt", "content"), { base, ours, theirs, current: merged }) as TextConflict;
const whole = toModel(conflictAt("b.bin", "deleted-by-them"), {
  base,
  ours,
  theirs: undefined,
  current: ours,
});

const play = (state: ResolveState, ...actions: Action[]): ResolveState => actions.reduce(reduce, state);
const take = (choice: "ours" | "theirs" | "base" | "union"): Action => ({ kind: "choose", choice });
const place = ({ file, hunk }: ResolveState) => [file, hunk];

describe("toModel()", () => {
  it("finds the hunks and their base in the marked file", () => {
    expect(
      text.hunks.map((hunk) => [hunk.ours, hunk.base, hunk.theirs].map((bytes) => textLines(bytes!))),
    ).toEqual([
      [["two ours"], ["2"], ["two theirs"]],
      [["eight ours"], ["8"], ["eight theirs"]],
    ]);
  });

  it("keeps edits made around the markers", () => {
    const edited = utf8(Buffer.from(merged).toString().replace("\n5\n", "\n5 edited\n"));
    const model = toModel(conflictAt("a.txt", "content"), {
      base,
      ours,
      theirs,
      current: edited,
    }) as TextConflict;
    const state = play(startResolving([model]), take("ours"), take("theirs"));
    expect(Buffer.from(renderFile(state.files[0]!)).toString()).toBe(
      "1\ntwo ours\n3\n4\n5 edited\n6\n7\neight theirs\n9\n",
    );
  });

  it("merges again when the markers were edited away", () => {
    const model = toModel(conflictAt("a.txt", "content"), { base, ours, theirs, current: utf8("gone\n") });
    expect(model).toMatchObject({ kind: "text", hunks: { length: 2 } });
  });

  it("describes what has no lines to merge", () => {
    expect(whole).toMatchObject({
      kind: "whole",
      reason: "deleted-by-them",
      ours: "file, 3 B",
      theirs: "deleted, or nothing there",
    });
  });
});

describe("reduce()", () => {
  const start = startResolving([text, whole]);

  it("moves to the next hunk without a choice, over all files", () => {
    const one = play(start, take("ours"));
    expect(place(one)).toEqual([0, 1]);
    const two = play(one, take("union"));
    expect(place(two)).toEqual([1, 0]);
    const all = play(two, take("theirs"));
    expect(all.message).toContain("s saves");
    expect(readyFiles(all)).toHaveLength(2);
    expect(unsavedChoices(all)).toBe(3);
  });

  it("renders each kind of choice, and leaves markers where there is none", () => {
    const done = play(start, take("base"), { kind: "choose", choice: { bytes: utf8("by hand\n") } });
    expect(Buffer.from(renderFile(done.files[0]!)).toString()).toBe("1\n2\n3\n4\n5\n6\n7\nby hand\n9\n");
    const half = play(start, take("union"));
    expect(Buffer.from(renderFile(half.files[0]!)).toString()).toContain("two ours\ntwo theirs\n");
    expect(Buffer.from(renderFile(half.files[0]!)).toString()).toContain("<<<<<<< w\neight ours");
    expect(readyFiles(half)).toEqual([]);
  });

  it("takes only a side where a file is taken whole", () => {
    const at = play(start, { kind: "next-file" });
    expect(place(at)).toEqual([1, 0]);
    for (const choice of ["base", "union"] as const) {
      expect(play(at, take(choice))).toMatchObject({
        files: at.files,
        message: expect.stringContaining("only o"),
      });
    }
    expect(play(at, take("ours")).files[1]!.choices).toEqual(["ours"]);
  });

  it("undoes choices one by one, back to where they were made", () => {
    const chosen = play(start, take("ours"), take("theirs"));
    const once = play(chosen, { kind: "undo" });
    expect(place(once)).toEqual([0, 1]);
    expect(once.files[0]!.choices).toEqual(["ours", undefined]);
    const twice = play(once, { kind: "undo" }, { kind: "undo" });
    expect(twice.files).toEqual(start.files);
    expect(twice.message).toBe("nothing to undo");
  });

  it("a second choice replaces the first, and undo brings the first back", () => {
    const changed = play(start, take("ours"), { kind: "previous" }, take("theirs"));
    expect(changed.files[0]!.choices[0]).toBe("theirs");
    expect(play(changed, { kind: "undo" }).files[0]!.choices[0]).toBe("ours");
  });

  it("steps around in a ring", () => {
    expect(place(play(start, { kind: "previous" }))).toEqual([1, 0]);
    expect(place(play(start, { kind: "next" }, { kind: "next" }, { kind: "next" }))).toEqual([0, 0]);
    expect(place(play(start, { kind: "previous-file" }))).toEqual([0, 0]);
  });

  it("saved files stay as they are", () => {
    const saved = play(start, take("ours"), take("ours"), { kind: "saved", paths: ["a.txt"] });
    expect(place(saved)).toEqual([1, 0]);
    expect(isDone(saved)).toBe(false);
    const back = play(saved, { kind: "previous-file" }, take("theirs"));
    expect(back.files[0]!.choices).toEqual(["ours", "ours"]);
    expect(back.message).toContain("saved already");
    expect(play(saved, { kind: "undo" }).files[0]!.choices).toEqual(["ours", "ours"]);
    expect(isDone(play(saved, take("ours"), { kind: "saved", paths: ["b.bin"] }))).toBe(true);
    expect(play(start, { kind: "saved", paths: [] }).message).toContain("no file has all its hunks");
  });

  it("refuses the base where it is not known", () => {
    const model = { ...text, hunks: text.hunks.map((hunk) => ({ ...hunk, base: undefined })) };
    expect(play(startResolving([model]), take("base"))).toMatchObject({
      hunk: 0,
      message: expect.stringContaining("base of this hunk is not known"),
    });
  });
});

describe("interpretKey()", () => {
  const state = startResolving([text]);
  it("asks before quitting, and any other key stays", () => {
    expect(interpretKey(state, { input: "q" })).toEqual({ kind: "quit" });
    const asked = reduce(state, { kind: "quit" });
    expect(interpretKey(asked, { input: "y" })).toBe("leave");
    expect(interpretKey(asked, { input: "s" })).toBe("save");
    expect(interpretKey(asked, { input: "o" })).toEqual({ kind: "back" });
  });

  it("knows its keys and ignores others", () => {
    expect(interpretKey(state, { input: "o" })).toEqual({ kind: "choose", choice: "ours" });
    expect(interpretKey(state, { input: "e" })).toBe("edit");
    expect(interpretKey(state, { input: "", tab: true, shift: true })).toEqual({ kind: "previous-file" });
    expect(interpretKey(state, { input: "x" })).toBeUndefined();
    expect(interpretKey(state, { input: " " })).toEqual({ kind: "scroll", lines: 10 });
    expect(reduce(reduce(state, { kind: "scroll", lines: 10 }), { kind: "scroll", lines: -25 }).scroll).toBe(
      0,
    );
  });
});

describe("layOutHunk()", () => {
  const lines = (columns: number) =>
    layOutHunk(text, 0, columns).map((line) => line.cells.map((cell) => cell.text).join(" │ "));

  it("stacks the versions on a narrow screen, with context", () => {
    expect(lines(60)).toEqual([
      "  1",
      `── ours (workspace) ${"─".repeat(40)}`,
      "< two ours",
      `── base ${"─".repeat(52)}`,
      "| 2",
      `── theirs (project) ${"─".repeat(40)}`,
      "> two theirs",
      "─".repeat(60),
      "  3",
      "  4",
      "  5",
    ]);
  });

  it("puts them side by side on a wide one, never wider than the screen", () => {
    expect(lines(100)[2]).toMatch(/^two ours +│ two theirs +$/);
    for (const columns of [40, 80, 99, 100, 101, 140]) {
      for (const line of lines(columns)) expect(line.length).toBeLessThanOrEqual(columns);
    }
  });

  it("escapes what would move the cursor, and says where there is nothing to read", () => {
    expect(textLines(utf8("a\u001b[2Jb\r\n\tc\n"))).toEqual(["a\\x1b[2Jb", "    c"]);
    expect(textLines(new Uint8Array(0))).toEqual(["(nothing)"]);
    expect(textLines(new Uint8Array([0, 1]))).toEqual(["(binary)"]);
  });
});
