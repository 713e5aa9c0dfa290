import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import type { AddressContext } from "../../src/cli/address.ts";
import { resolveTarget } from "../../src/cli/target-address.ts";

const cwd = mkdtempSync(path.join(tmpdir(), "mic-target-"));
afterAll(() => rmSync(cwd, { recursive: true }));
mkdirSync(path.join(cwd, "work/.mic"), { recursive: true });
mkdirSync(path.join(cwd, "empty"));
mkdirSync(path.join(cwd, "begun/large/writing"), { recursive: true });
mkdirSync(path.join(cwd, "forge"));
mkdirSync(path.join(cwd, "full"));
writeFileSync(path.join(cwd, "full/file"), "");
const at = (name: string): string => path.join(cwd, name);

const context: AddressContext = {
  cwd,
  server: "./forge",
  alias: (name) => (name === "home" ? at("forge") : undefined),
  isForgeDirectory: async (directory) => directory === at("forge"),
  readWorkspace: async (directory) => ({ forge: path.join(directory, ".mic/forge"), project: "local/work" }),
};

describe("resolveTarget()", () => {
  it.each([
    ["./forge", { forge: at("forge"), project: undefined, isNew: false }],
    ["home", { forge: at("forge"), project: undefined, isNew: false }],
    ["./forge/ada/notes", { forge: at("forge"), project: "ada/notes", isNew: false }],
    ["ada/notes", { forge: at("forge"), project: "ada/notes", isNew: false }],
    ["./work", { forge: at("work/.mic/forge"), project: undefined, isNew: false }],
    ["./work/ada/notes", { forge: at("work/.mic/forge"), project: "ada/notes", isNew: false }],
    ["https://Forge.example.org", { forge: "https://forge.example.org", project: undefined, isNew: false }],
    ["http://[::1]:7420/ada/notes/", { forge: "http://[::1]:7420", project: "ada/notes", isNew: false }],
    ["s3://bucket", { forge: "s3://bucket", project: undefined, isNew: false }],
    ["s3://bucket/team/", { forge: "s3://bucket/team", project: undefined, isNew: false }],
    ["s3://bucket/ada/notes", { forge: "s3://bucket", project: "ada/notes", isNew: false }],
    ["s3://bucket/team/ada/notes", { forge: "s3://bucket/team", project: "ada/notes", isNew: false }],
    ["./empty/ada/notes", { forge: at("empty"), project: "ada/notes", isNew: true }],
    ["./missing/ada/notes", { forge: at("missing"), project: "ada/notes", isNew: true }],
  ])("%s, which names a project or a forge", async (text, expected) => {
    expect(await resolveTarget(text, context, { namesForge: false })).toEqual(expected);
  });

  it.each([
    ["./missing", { forge: at("missing"), project: undefined, isNew: true }],
    ["./missing/deep/down", { forge: at("missing/deep/down"), project: undefined, isNew: true }],
    ["./empty", { forge: at("empty"), project: undefined, isNew: true }],
    ["s3://bucket/team/forge", { forge: "s3://bucket/team/forge", project: undefined, isNew: false }],
    ["./begun", { forge: at("begun"), project: undefined, isNew: true }],
  ])("%s, which names a forge to be made", async (text, expected) => {
    expect(await resolveTarget(text, context, { namesForge: true })).toEqual(expected);
  });

  it.each([
    ["./full", true],
    ["./full/ada/notes", false],
    ["./missing", false],
    ["./empty", false],
    ["nowhere", false],
    ["https://forge.example.org/notes", false],
    ["https://good@evil/ada/notes", false],
    ["-rf/x", false],
  ])("%s is refused as usage", async (text, namesForge) => {
    await expect(resolveTarget(text, context, { namesForge })).rejects.toMatchObject({ code: "usage" });
  });
});
