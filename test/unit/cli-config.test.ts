import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { cacheDirectory } from "../../src/cli/bucket-cache.ts";
import { configPath, homeDirectory, loadConfig, storeConfigValue } from "../../src/cli/config.ts";
import { listCredentials, readCredential, storeCredential } from "../../src/cli/credentials.ts";
import { checkAgent, resolveAuthor } from "../../src/cli/identity.ts";
import { Invocation } from "../../src/cli/invocation.ts";
import type { CommandLineWorld } from "../../src/cli/world.ts";

const dir = mkdtempSync(path.join(tmpdir(), "mic-config-"));
afterAll(() => rmSync(dir, { recursive: true }));

function world(platform: NodeJS.Platform, env: Record<string, string>): CommandLineWorld {
  return {
    cwd: () => "/work",
    env,
    platform,
    stdinIsTty: false,
    stdoutIsTty: false,
    stderrIsTty: false,
    columns: () => 80,
    readStdin: async () => new Uint8Array(0),
    signal: new AbortController().signal,
  };
}

describe("configPath()", () => {
  it.each([
    ["linux", { MIC_HOME: "/m", HOME: "/h" }, "/m/config.json"],
    ["linux", { MIC_HOME: "rel", HOME: "/h" }, "/work/rel/config.json"],
    ["linux", { XDG_CONFIG_HOME: "/x", HOME: "/h" }, "/x/mic/config.json"],
    ["linux", { XDG_CONFIG_HOME: "relative", HOME: "/h" }, "/h/.config/mic/config.json"],
    ["linux", { HOME: "/h" }, "/h/.config/mic/config.json"],
    ["darwin", { HOME: "/h" }, "/h/Library/Application Support/mic/config.json"],
  ] as const)("on %s with %j is %s", (platform, env, expected) => {
    expect(configPath(world(platform, env))).toBe(expected);
  });

  it.each([
    ["linux", {}],
    ["linux", { HOME: "" }],
    ["linux", { HOME: "h", XDG_CONFIG_HOME: "x", XDG_CACHE_HOME: "c" }],
    ["darwin", { HOME: "h" }],
    ["win32", { USERPROFILE: "h", APPDATA: "a", LOCALAPPDATA: "l" }],
  ] as const)(
    "on %s with %j there is none: what lies in the current directory is a stranger's",
    (platform, env) => {
      const homeless = world(platform, env);
      expect(homeDirectory(homeless)).toBeUndefined();
      expect(cacheDirectory(homeless)).toBeUndefined();
      expect(Invocation.loadConfig(homeless)).toEqual({});
      expect(readCredential(homeless, "https://forge.example")).toBeUndefined();
      expect(listCredentials(homeless)).toEqual([]);
      const refused = expect.objectContaining({ code: "usage", hint: expect.stringContaining("MIC_HOME") });
      expect(() => configPath(homeless)).toThrow(refused);
      expect(() => storeCredential(homeless, { origin: "https://forge.example", token: "t" })).toThrow(
        refused,
      );
    },
  );
});

describe("storeConfigValue()", () => {
  const file = path.join(dir, "deep", "config.json");

  it("sets and removes keys, sorted, and leaves no temporary file", () => {
    storeConfigValue(file, "user.name", "Ada");
    storeConfigValue(file, "server.work", "/srv");
    expect(loadConfig(file)).toEqual({ "server.work": "/srv", "user.name": "Ada" });
    storeConfigValue(file, "user.name", undefined);
    expect(readFileSync(file, "utf8")).toBe('{\n  "server.work": "/srv"\n}\n');
    expect(readdirSync(path.dirname(file))).toEqual(["config.json"]);
  });

  it.each([
    ["nonsense", "x"],
    ["__proto__", "x"],
    ["server.", "x"],
    ["ui.color", "purple"],
    ["user.name", "a\nb"],
    ["user.email", "a <b>"],
  ])("refuses %s = %j as usage", (key, value) => {
    expect(() => storeConfigValue(file, key, value)).toThrow(expect.objectContaining({ code: "usage" }));
  });
});

describe("loadConfig()", () => {
  it("is empty without a file and names a damaged one", () => {
    expect(loadConfig(path.join(dir, "none.json"))).toEqual({});
    for (const text of ["{", "[]", "null", '{"a":1}']) {
      writeFileSync(path.join(dir, "bad.json"), text);
      expect(() => loadConfig(path.join(dir, "bad.json"))).toThrow(/bad\.json/);
    }
  });
});

describe("resolveAuthor()", () => {
  it("prefers MIC_AUTHOR, then the configuration, then user@host", () => {
    const config = { "user.name": "Ada", "user.email": "ada@example.org" };
    expect(resolveAuthor({ MIC_AUTHOR: " Grace " }, config)).toBe("Grace");
    expect(resolveAuthor({ MIC_AUTHOR: "" }, config)).toBe("Ada <ada@example.org>");
    expect(resolveAuthor({}, { "user.email": "ada@example.org" })).toBe("ada@example.org");
    expect(resolveAuthor({}, {})).toMatch(/^[^@\s]+@\S+$/);
    expect(resolveAuthor({}, {})).not.toMatch(/^unknown@/);
    expect(resolveAuthor({ USER: "grace" }, {})).toMatch(/^grace@/);
  });

  it("refuses names with control characters or of absurd length", () => {
    expect(() => resolveAuthor({ MIC_AUTHOR: "a\u001bb" }, {})).toThrow(
      expect.objectContaining({ code: "usage" }),
    );
    expect(() => checkAgent("x".repeat(300))).toThrow(expect.objectContaining({ code: "usage" }));
  });
});
