import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { systemRandom } from "../../src/core/base/system.ts";
import { createAuthenticate, openOwnerToken } from "../../src/server/auth/owner-token.ts";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "mic-token-"));
});
afterEach(() => rmSync(directory, { recursive: true }));

const open = (given?: string) => openOwnerToken(directory, systemRandom, given);
const file = (): string => join(directory, "auth", "owner-token");

describe("openOwnerToken()", () => {
  test("makes a token once, and keeps only its hash, for its owner alone", () => {
    const { minted, digest } = open();
    expect(minted).toMatch(/^mic_[A-Za-z0-9_-]{43}$/);
    expect(readFileSync(file(), "latin1")).toBe(`${Buffer.from(digest).toString("hex")}\n`);
    if (process.platform !== "win32") {
      expect(statSync(file()).mode & 0o777).toBe(0o600);
      expect(statSync(join(directory, "auth")).mode & 0o777).toBe(0o700);
    }
    const again = open();
    expect(again.minted).toBeUndefined();
    expect(createAuthenticate(again.digest)(`Bearer ${minted}`)).toEqual({ account: "owner" });
  });

  test("of two servers that start at once, one makes the token and the other takes it", () => {
    let first: ReturnType<typeof open> | undefined;
    const second = openOwnerToken(directory, {
      bytes: (count) => {
        // The other one is done between this one's look and its write.
        first ??= open();
        return systemRandom.bytes(count);
      },
    });
    expect(first?.minted).toBeDefined();
    expect(second.minted).toBeUndefined();
    expect(second.digest).toEqual(first?.digest);
    expect(readdirSync(join(directory, "auth"))).toEqual(["owner-token"]);
  });

  test("takes a given token instead, and stores nothing", () => {
    const { minted } = open();
    const given = open("chosen-by-somebody-else");
    expect(given.minted).toBeUndefined();
    const authenticate = createAuthenticate(given.digest);
    expect(authenticate("Bearer chosen-by-somebody-else").account).toBe("owner");
    expect(() => authenticate(`Bearer ${minted}`)).toThrow(
      expect.objectContaining({ code: "unauthenticated" }),
    );
    expect(createAuthenticate(open().digest)(`Bearer ${minted}`).account).toBe("owner");
  });

  test.each(["short", "x".repeat(19), `${"x".repeat(30)} `, `${"x".repeat(30)}\n`, "ü".repeat(30)])(
    "%j is refused",
    (given) => expect(() => open(given)).toThrow(expect.objectContaining({ code: "usage" })),
  );

  test.each(["", "0".repeat(64), `${"0".repeat(63)}\n`, `${"g".repeat(64)}\n`])(
    "a file with %j is corrupt, and not replaced",
    (content) => {
      open();
      writeFileSync(file(), content);
      expect(() => open()).toThrow(expect.objectContaining({ code: "corrupt" }));
      expect(readFileSync(file(), "latin1")).toBe(content);
    },
  );
});

describe("createAuthenticate()", () => {
  test.each([
    undefined,
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
    const authenticate = createAuthenticate(open("token-of-twenty-characters").digest);
    expect(() => authenticate(header)).toThrow(expect.objectContaining({ code: "unauthenticated" }));
  });

  test("the scheme's case and further spaces do not matter", () => {
    const authenticate = createAuthenticate(open("token-of-twenty-characters").digest);
    expect(authenticate("bearer   token-of-twenty-characters").account).toBe("owner");
  });
});
