import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  checkToken,
  credentialLockPath,
  credentialsDirectory,
  listCredentials,
  readCredential,
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
const tokenFor = (origin: string) => readCredential(world(), origin)?.token;

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

describe("a sign-in", () => {
  const signIn = {
    origin: "https://x",
    token: "mic_1",
    refreshToken: "micr_1",
    expiresAt: "2026-11-21T07:00:00.000Z",
    scope: "write",
    account: { name: "ada", email: "ada@example.org" },
  };

  it("is kept with what renews it and whose it is", () => {
    storeCredential(world(), signIn);
    expect(readCredential(world(), "https://x")).toEqual(signIn);
    expect(readCredential(world(), "http://x")).toBeUndefined();
  });

  it("has a lock that is no credential", () => {
    storeCredential(world(), signIn);
    writeFileSync(credentialLockPath(world(), "https://x"), "");
    expect(path.dirname(credentialLockPath(world(), "https://x"))).toBe(credentialsDirectory(world()));
    expect(listCredentials(world())).toEqual(["https://x"]);
  });

  it.each([
    ["a refresh token that cannot be sent", { refreshToken: "a\nb" }],
    ["a refresh token that is no text", { refreshToken: 1 }],
    ["a token that cannot be sent", { token: "a b" }],
  ])("with %s is refused", (_, change) => {
    storeCredential(world(), signIn);
    const file = path.join(credentialsDirectory(world()), "x_443.json");
    writeFileSync(file, JSON.stringify({ ...signIn, ...change }));
    expect(() => tokenFor("https://x")).toThrow(expect.objectContaining({ code: "usage" }));
  });
});

it.each(["", "a b", "a\nb", "a\r\nx: y", "ü", "x".repeat(5000)])("%j is no token", (token) => {
  expect(() => checkToken(token, "--token")).toThrow(expect.objectContaining({ code: "usage" }));
});
