import path from "node:path";
import { describe, expect, it } from "vitest";
import { BUILD_TARGETS, findTarget, hostTarget } from "../../scripts/build-targets.ts";
import { readPin } from "../../scripts/fetch-package.ts";

const ROOT = path.resolve(import.meta.dirname, "../..");

describe("build targets", () => {
  it("are linux (glibc and musl), macOS and Windows on x64 and arm64", () => {
    expect(BUILD_TARGETS.map((target) => target.name)).toEqual([
      "linux-x64",
      "linux-arm64",
      "linux-x64-musl",
      "linux-arm64-musl",
      "darwin-x64",
      "darwin-arm64",
      "windows-x64",
      "windows-arm64",
    ]);
  });

  it.each(BUILD_TARGETS)("every package of $name is pinned with its hash", (target) => {
    for (const name of [target.runtimePackage, target.hashPackage, "better-sqlite3"]) {
      expect(readPin(name, ROOT)).toEqual({
        version: expect.stringMatching(/^\d+\.\d+\.\d+$/),
        integrity: expect.stringMatching(/^sha512-/),
      });
    }
  });

  it("are found by name and by machine", () => {
    expect(hostTarget("win32", "arm64", false)).toBe(findTarget("windows-arm64"));
    expect(hostTarget("linux", "x64", true).bunTarget).toBe("bun-linux-x64-musl");
    expect(hostTarget("darwin", "arm64", false).runtimePackage).toBe("@oven/bun-darwin-aarch64");
    expect(() => findTarget("plan9-x64")).toThrow(/known: linux-x64/);
  });
});
