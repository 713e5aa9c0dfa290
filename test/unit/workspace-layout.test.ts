import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { readFileIfExistsSync, writeFileAtomic } from "../../src/core/workspace/disk/atomic-file.ts";
import { findWorkspaceRoot } from "../../src/core/workspace/layout.ts";
import { temporaryWorkspace } from "../support/temporary-workspace.ts";

describe("findWorkspaceRoot()", () => {
  test("walks up to the nearest directory with .mic", async () => {
    using ws = temporaryWorkspace();
    ws.makeDirectory("a/b/c");
    ws.write("f/.mic", "a file is none");
    expect(await findWorkspaceRoot(ws.path("a/b/c"))).toBe(ws.root);
    expect(await findWorkspaceRoot(ws.path("f"))).toBe(ws.root);
    ws.makeDirectory("a/b/.mic");
    expect(await findWorkspaceRoot(ws.path("a/b/c"))).toBe(ws.path("a/b"));
    expect(await findWorkspaceRoot(ws.path("not/there"))).toBe(ws.root);
  });

  test("says when there is none", async () => {
    await expect(findWorkspaceRoot("/proc/self")).rejects.toMatchObject({ code: "not-a-workspace" });
  });
});

describe("writeFileAtomic()", () => {
  test("replaces a file and leaves nothing beside it", () => {
    using ws = temporaryWorkspace();
    for (const sync of [false, true]) {
      writeFileAtomic(ws.path("f"), Buffer.from(`sync ${sync}`), { sync });
      expect(readFileSync(ws.path("f"), "utf8")).toBe(`sync ${sync}`);
    }
    writeFileAtomic(ws.path("f"), [Buffer.from("a"), Buffer.alloc(0), Buffer.from("b")]);
    expect(readFileSync(ws.path("f"), "utf8")).toBe("ab");
    expect(readdirSync(ws.root).sort()).toEqual([".mic", "f"]);
  });

  test("leaves the old file when it fails", () => {
    using ws = temporaryWorkspace();
    ws.makeDirectory("d/inside");
    expect(() => writeFileAtomic(ws.path("d"), Buffer.from("x"))).toThrow();
    expect(readdirSync(ws.root).sort()).toEqual([".mic", "d"]);
  });
});

test("readFileIfExistsSync() answers undefined for what is not there, also below a file", () => {
  using ws = temporaryWorkspace();
  ws.write("f", "x");
  for (const name of ["missing", "f/below"]) {
    expect(readFileIfExistsSync(ws.path(name))).toBeUndefined();
  }
  expect(Buffer.from(readFileIfExistsSync(ws.path("f"))!).toString()).toBe("x");
});
