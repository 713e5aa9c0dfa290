import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  checkToken,
  credentialsDirectory,
  findToken,
  listCredentials,
  removeCredential,
  storeCredential,
} from "../../src/cli/credentials.ts";
import type { CommandLineWorld } from "../../src/cli/world.ts";

let home: string;
beforeEach(() => {
  home = mkdtempSync(path.join(tmpdir(), "mic-credentials-"));
});
afterEach(() => rmSync(home, { recursive: true }));

const world = (env: Readonly<Record<string, string>> = {}): CommandLineWorld => ({
  cwd: () => home,
  env: { MIC_HOME: home, ...env },
  platform: process.platform,
  stdinIsTty: false,
  stdoutIsTty: false,
  stderrIsTty: false,
  columns: () => 80,
  readStdin: async () => new Uint8Array(),
  signal: new AbortController().signal,
});
const tokenFor = (origin: string, env?: Readonly<Record<string, string>>, meant?: string) =>
  findToken(world(env), origin, meant)?.token;

describe("a stored token", () => {
  it("is for its exact origin only", () => {
    storeCredential(world(), { origin: "https://good.com", token: "secret" });
    expect(tokenFor("https://good.com")).toBe("secret");
    for (const other of [
      "http://good.com",
      "http://good.com:443",
      "https://good.com:8443",
      "https://good.com.evil",
      "https://evil.good.com",
      "https://good.com.",
      "https://xn--good-1qa.com",
    ]) {
      expect([other, tokenFor(other)]).toEqual([other, undefined]);
    }
  });

  it("stays in a file that nobody else can read, one for each server", () => {
    storeCredential(world(), { origin: "https://good.com", token: "a" });
    storeCredential(world(), { origin: "http://127.0.0.1:7420", token: "b" });
    storeCredential(world(), { origin: "http://[::1]:7420", token: "c" });
    const directory = credentialsDirectory(world());
    const names = readdirSync(directory).sort();
    expect(names).toEqual(["___1__7420.json", "127.0.0.1_7420.json", "good.com_443.json"].sort());
    if (process.platform !== "win32") {
      expect(statSync(directory).mode & 0o777).toBe(0o700);
      for (const name of names) expect(statSync(path.join(directory, name)).mode & 0o777).toBe(0o600);
    }
    expect(listCredentials(world())).toEqual([
      "http://127.0.0.1:7420",
      "http://[::1]:7420",
      "https://good.com",
    ]);
  });

  it("is replaced by the next one, and gone after its removal", () => {
    for (const token of ["first", "second"]) storeCredential(world(), { origin: "https://x", token });
    expect(tokenFor("https://x")).toBe("second");
    expect(removeCredential(world(), "http://x:443")).toBe(false);
    expect(removeCredential(world(), "https://x")).toBe(true);
    expect(removeCredential(world(), "https://x")).toBe(false);
    expect(tokenFor("https://x")).toBeUndefined();
    expect(listCredentials(world())).toEqual([]);
  });

  it.each(["", "{}", "[]", "null", "x", '{"origin":"https://x"}', '{"origin":"https://X/","token":"t"}'])(
    "in a file that holds %j is refused",
    (text) => {
      storeCredential(world(), { origin: "https://x", token: "t" });
      writeFileSync(path.join(credentialsDirectory(world()), "x_443.json"), text);
      expect(() => tokenFor("https://x")).toThrow(expect.objectContaining({ code: "usage" }));
    },
  );
});

describe("MIC_TOKEN", () => {
  it("wins over what is stored", () => {
    storeCredential(world(), { origin: "https://x", token: "stored" });
    expect(findToken(world({ MIC_TOKEN: "given" }), "https://x", undefined)).toEqual({
      token: "given",
      source: "MIC_TOKEN",
    });
    expect(findToken(world({ MIC_TOKEN: "" }), "https://x", undefined)).toEqual({
      token: "stored",
      source: "login",
    });
  });

  it("goes to the server that MIC_SERVER means, alone", () => {
    const env = { MIC_TOKEN: "given" };
    expect(tokenFor("https://x", env, "https://x")).toBe("given");
    expect(tokenFor("https://evil", env, "https://x")).toBeUndefined();
    expect(tokenFor("http://x", env, "https://x")).toBeUndefined();
    expect(tokenFor("https://anywhere", env)).toBe("given");
  });

  it.each(["a b", "a\nb", "a\r\nx: y", "ü", "x".repeat(5000)])("%j cannot be sent", (token) => {
    expect(() => tokenFor("https://x", { MIC_TOKEN: token })).toThrow(
      expect.objectContaining({ code: "usage" }),
    );
    expect(() => checkToken(token, "--token")).toThrow(expect.objectContaining({ code: "usage" }));
  });
});
