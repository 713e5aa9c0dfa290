import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { systemClock, systemRandom } from "../../src/core/base/system.ts";
import { createAuthenticate } from "../../src/server/auth/authenticate.ts";
import { NOBODY } from "../../src/server/auth/principal.ts";
import { secretDigest } from "../../src/server/auth/token-secret.ts";
import { openAccounts } from "../support/open-accounts.ts";

const CHILD = join(import.meta.dirname, "../support/accounts-child.ts");

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "mic-token-"));
});
afterEach(() => rmSync(directory, { recursive: true }));

const open = (ownerToken?: string) =>
  openAccounts({
    dataDirectory: directory,
    clock: systemClock,
    random: systemRandom,
    ...(ownerToken === undefined ? {} : { ownerToken }),
  });
const file = (): string => join(directory, "auth", "owner-token");
const refused = expect.objectContaining({ code: "unauthenticated" });

describe("startOwner()", () => {
  test("makes an owner and its token once, and keeps only its hash, for the server's user alone", () => {
    let minted: string | undefined;
    {
      using first = open();
      minted = first.minted;
      expect(minted).toMatch(/^mic_[A-Za-z0-9_-]{43}$/);
      first.database.sql.pragma("wal_checkpoint(TRUNCATE)");
    }
    const stored = join(directory, "auth", "accounts.db");
    expect(readFileSync(stored).includes(minted!)).toBe(false);
    expect(readFileSync(stored).includes(secretDigest(minted!))).toBe(true);
    if (process.platform !== "win32") {
      expect(statSync(stored).mode & 0o777).toBe(0o600);
      expect(statSync(join(directory, "auth")).mode & 0o777).toBe(0o700);
    }
    using again = open();
    expect(again.minted).toBeUndefined();
    expect(again.accounts.authenticate(minted!)).toMatchObject({
      account: "owner",
      isSiteAdmin: true,
      scope: "admin",
    });
    expect(again.accounts.listUsers({ limit: 10 })).toHaveLength(1);
  });

  test("of four servers that start at once, one makes the owner and the others take it", async () => {
    const outputs = await Promise.all([1, 2, 3, 4].map(() => runChild("open", directory)));
    const minted = outputs.filter((each) => each !== "");
    expect(minted).toHaveLength(1);
    using opened = open();
    expect(opened.accounts.authenticate(minted[0]!).account).toBe("owner");
    expect(opened.accounts.listUsers({ limit: 10 })).toHaveLength(1);
  });

  test("takes a given token instead of the one that was made, and stores nothing of it", () => {
    let minted: string;
    {
      using first = open();
      minted = first.minted!;
    }
    const given = "chosen-by-somebody-else";
    {
      using second = open(given);
      expect(second.minted).toBeUndefined();
      expect(second.accounts.authenticate(given)).toMatchObject({ account: "owner", tokenId: undefined });
      expect(() => second.accounts.authenticate(minted)).toThrow(refused);
    }
    using third = open();
    expect(third.accounts.authenticate(minted).account).toBe("owner");
    expect(() => third.accounts.authenticate(given)).toThrow(refused);
  });

  test("makes the token at the first start without a given one", () => {
    {
      using first = open("chosen-by-somebody-else");
      expect(first.minted).toBeUndefined();
    }
    using second = open();
    expect(second.accounts.authenticate(second.minted!).account).toBe("owner");
  });

  test("a revoked owner token is not made again", () => {
    {
      using first = open();
      const { tokenId } = first.accounts.authenticate(first.minted!);
      first.accounts.revokeToken(tokenId!);
    }
    using second = open();
    expect(second.minted).toBeUndefined();
  });

  test("a token of a version without accounts goes on working, and can be revoked", () => {
    mkdirSync(join(directory, "auth"));
    const token = `mic_${"a".repeat(43)}`;
    writeFileSync(file(), `${secretDigest(token).toString("hex")}\n`);
    {
      using first = open();
      expect(first.minted).toBeUndefined();
      expect(first.accounts.authenticate(token).account).toBe("owner");
    }
    using second = open();
    const { tokenId } = second.accounts.authenticate(token);
    second.accounts.revokeToken(tokenId!);
    expect(() => second.accounts.authenticate(token)).toThrow(refused);
  });

  test.each(["short", "x".repeat(19), `${"x".repeat(30)} `, `${"x".repeat(30)}\n`, "ü".repeat(30)])(
    "%j is refused as a given token",
    (given) => expect(() => open(given)).toThrow(expect.objectContaining({ code: "usage" })),
  );

  test.each(["", "0".repeat(64), `${"0".repeat(63)}\n`, `${"g".repeat(64)}\n`])(
    "a file with %j of an older version is corrupt, and not replaced",
    (content) => {
      mkdirSync(join(directory, "auth"));
      writeFileSync(file(), content);
      expect(() => open()).toThrow(expect.objectContaining({ code: "corrupt" }));
      expect(readFileSync(file(), "latin1")).toBe(content);
    },
  );
});

describe("createAuthenticate()", () => {
  test.each([
    "",
    "Bearer",
    "Bearer ",
    "Basic abc",
    "token-of-twenty-characters",
    "Bearer token-of-twenty-character",
    "Bearer token-of-twenty-charactersx",
    "Bearer TOKEN-OF-TWENTY-CHARACTERS",
    "Bearer token-of-twenty-characters extra",
    `Bearer ${"x".repeat(1 << 20)}`,
  ])("%j is unauthenticated", (header) => {
    using opened = open("token-of-twenty-characters");
    expect(() => createAuthenticate(opened.accounts)(header)).toThrow(refused);
  });

  test("no header is nobody", () => {
    using opened = open();
    expect(createAuthenticate(opened.accounts)(undefined)).toBe(NOBODY);
  });

  test("the scheme's case and further spaces do not matter", () => {
    using opened = open("token-of-twenty-characters");
    const authenticate = createAuthenticate(opened.accounts);
    expect(authenticate("bearer   token-of-twenty-characters").account).toBe("owner");
  });
});

/** Its standard output, trimmed. */
function runChild(...args: readonly string[]): Promise<string> {
  const child = spawn(process.execPath, [CHILD, ...args], { stdio: ["ignore", "pipe", "inherit"] });
  return new Promise((resolve, reject) => {
    let output = "";
    child.stdout.on("data", (chunk: Buffer) => {
      output += chunk.toString();
    });
    child.on("error", reject);
    child.on("close", (code) => (code === 0 ? resolve(output.trim()) : reject(new Error(`exit ${code}`))));
  });
}
