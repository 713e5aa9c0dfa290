import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { storeCredential } from "../../src/cli/credentials.ts";
import { tokenForServer } from "../../src/cli/server-token.ts";
import { systemClock } from "../../src/core/base/system.ts";

let home: string;
let warnings: string[];
beforeEach(() => {
  home = mkdtempSync(path.join(tmpdir(), "mic-server-token-"));
  warnings = [];
});
afterEach(() => rmSync(home, { recursive: true }));

const world = (token?: string) => ({
  cwd: () => home,
  env: { MIC_HOME: home, ...(token === undefined ? {} : { MIC_TOKEN: token }) },
  platform: process.platform,
});

async function find(origin: string, given?: string, meant?: string) {
  const found = await tokenForServer(origin, {
    world: world(given),
    meant: async () => meant,
    rest: () => Promise.reject(new Error("nothing is to be renewed here")),
    clock: systemClock,
    timeoutMs: 1000,
    warn: (message) => warnings.push(message),
  });
  return found === undefined ? undefined : [found.source, await found.token.current()];
}

describe("MIC_TOKEN", () => {
  it("wins over the sign-in at the server that it is for, and nowhere else", async () => {
    storeCredential(world(), { origin: "https://x", token: "stored" });
    storeCredential(world(), { origin: "https://y", token: "other" });
    expect(await find("https://x", "given", "https://x")).toEqual(["MIC_TOKEN", "given"]);
    expect(await find("https://y", "given", "https://x")).toEqual(["login", "other"]);
    expect(await find("https://x", "", undefined)).toEqual(["login", "stored"]);
    expect(await find("https://x")).toEqual(["login", "stored"]);
  });

  it("is not sent to another server, and that is said", async () => {
    for (const other of ["https://evil", "http://x", "https://x:8443", "https://x.evil"]) {
      expect([other, await find(other, "given", "https://x")]).toEqual([other, undefined]);
    }
    expect(warnings).toHaveLength(4);
    expect(warnings[0]).toBe("MIC_TOKEN is for https://x, and is not sent to https://evil");
  });

  it("is refused where nothing says which server it is for", async () => {
    await expect(find("https://anywhere", "given")).rejects.toMatchObject({
      code: "usage",
      hint: "if it is for https://anywhere, set MIC_SERVER=https://anywhere too; else unset it",
    });
    storeCredential(world(), { origin: "https://x", token: "stored" });
    expect(await find("https://x", "given")).toEqual(["login", "stored"]);
  });

  it.each(["a b", "a\nb", "a\r\nx: y", "ü", "x".repeat(5000)])("%j cannot be sent", async (token) => {
    await expect(find("https://x", token, "https://x")).rejects.toMatchObject({ code: "usage" });
  });
});
