/** Renewing a sign-in against the server's own OAuth endpoints. */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { readCredential, removeCredential } from "../../src/cli/credentials.ts";
import { SignedInToken } from "../../src/cli/oauth/signed-in-token.ts";
import { type IssuedTokens, refreshTokens } from "../../src/cli/oauth/token-endpoint.ts";
import { systemClock } from "../../src/core/base/system.ts";
import { AuthServer } from "../support/auth-server.ts";
import { Home, keep, restOf, signIn } from "../support/signed-in.ts";

const HOUR_MS = 3_600_000;
const YEAR_MS = 365 * 24 * HOUR_MS;
let server: AuthServer;
let home: Home;
let first: IssuedTokens;
let warnings: string[];
/** Of the machine that is signed in. */
let localMs: number;

beforeEach(async () => {
  server = await AuthServer.start();
  home = new Home();
  first = await signIn(server);
  warnings = [];
  localMs = Date.UTC(2026, 5, 1);
});
afterEach(async () => {
  await server[Symbol.asyncDispose]();
  home[Symbol.dispose]();
});

/** One command: it reads what is stored when it starts. */
function command(origin = server.url): SignedInToken {
  return new SignedInToken({
    world: home.world,
    credential: readCredential(home.world, server.url)!,
    rest: async () => restOf(origin, 1000),
    clock: { nowMs: () => localMs, sleep: systemClock.sleep.bind(systemClock) },
    timeoutMs: 10_000,
    warn: (message) => warnings.push(message),
  });
}

const issuedPairs = (): number => server.audit.filter(({ action }) => action.startsWith("token.")).length;
const worksAtServer = (token: string): string => server.accounts.authenticate(token).account;
const stored = () => readCredential(home.world, server.url)!;

describe("a token", () => {
  test("with more than five minutes left is used as it is", async () => {
    keep(home, server.url, first, localMs + 301_000);
    const before = issuedPairs();
    expect(await command().current()).toBe(first.token);
    expect(issuedPairs()).toBe(before);
  });

  test("with less is renewed first, and the new pair is stored before it is used", async () => {
    keep(home, server.url, first, localMs + 299_000);
    const token = await command().current();
    expect(token).not.toBe(first.token);
    expect(stored()).toMatchObject({ token, account: { name: "alice" }, scope: "write" });
    expect(stored().refreshToken).not.toBe(first.refreshToken);
    expect(Date.parse(stored().expiresAt!)).toBe(localMs + HOUR_MS);
    expect(worksAtServer(token)).toBe("alice");
  });

  test("is renewed once by twenty commands at the same time", async () => {
    keep(home, server.url, first, localMs + 60_000);
    const before = issuedPairs();
    const tokens = await Promise.all(Array.from({ length: 20 }, () => command().current()));
    expect(new Set(tokens).size).toBe(1);
    expect(issuedPairs() - before).toBe(1);
    expect(worksAtServer(tokens[0]!)).toBe("alice");
  });

  test("is renewed once for many calls of one command that are refused", async () => {
    keep(home, server.url, first, localMs + HOUR_MS);
    const before = issuedPairs();
    const one = command();
    const successors = await Promise.all(Array.from({ length: 10 }, () => one.replace(first.token)));
    expect(new Set(successors).size).toBe(1);
    expect(successors[0]).toBe(stored().token);
    expect(issuedPairs() - before).toBe(1);
    // A call that was under way with the old one.
    expect(await one.replace(first.token)).toBe(stored().token);
    expect(issuedPairs() - before).toBe(1);
  });

  test("that another command renewed meanwhile is taken from the file", async () => {
    keep(home, server.url, first, localMs + HOUR_MS);
    const [one, other] = [command(), command()];
    const token = await one.replace(first.token);
    const before = issuedPairs();
    expect(await other.replace(first.token)).toBe(token);
    expect(issuedPairs()).toBe(before);
  });
});

describe("a command that was killed", () => {
  test("after the server answered, and before it stored the pair, leaves a sign-in that works", async () => {
    keep(home, server.url, first, localMs + 60_000);
    for (let kill = 0; kill < 3; kill++) {
      await refreshTokens(restOf(server.url), first.refreshToken!, undefined);
    }
    const token = await command().current();
    expect(worksAtServer(token)).toBe("alice");
    localMs += HOUR_MS;
    expect(worksAtServer(await command().current())).toBe("alice");
  });

  test("after it stored the pair, and before it used it, leaves a sign-in that works", async () => {
    keep(home, server.url, first, localMs + 60_000);
    await command().current();
    localMs += 2 * HOUR_MS;
    expect(worksAtServer(await command().current())).toBe("alice");
  });
});

describe("a clock that is wrong", () => {
  test("by a year ahead costs nothing but a renewal", async () => {
    keep(home, server.url, first, localMs + HOUR_MS);
    localMs += YEAR_MS;
    expect(worksAtServer(await command().current())).toBe("alice");
    const before = issuedPairs();
    await command().current();
    expect(issuedPairs()).toBe(before);
  });

  test("by a year behind costs a refused call", async () => {
    keep(home, server.url, first, localMs + HOUR_MS);
    localMs -= YEAR_MS;
    await server.pass(2 * HOUR_MS);
    const one = command();
    expect(await one.current()).toBe(first.token);
    expect(() => worksAtServer(first.token)).toThrow(expect.objectContaining({ code: "unauthenticated" }));
    expect(worksAtServer((await one.replace(first.token))!)).toBe("alice");
  });
});

describe("a renewal that fails", () => {
  const nobody = "http://127.0.0.1:9";

  test("leaves a token in use that still works, and says so once", async () => {
    keep(home, server.url, first, localMs + 60_000);
    const one = command(nobody);
    expect(await one.current()).toBe(first.token);
    expect(await one.current()).toBe(first.token);
    expect(warnings).toEqual([expect.stringMatching(/^the sign-in could not be renewed: nothing listens/)]);
    expect(stored().refreshToken).toBe(first.refreshToken);
  });

  test("of a token that has expired is the command's failure", async () => {
    keep(home, server.url, first, localMs - 1);
    await expect(command(nobody).current()).rejects.toMatchObject({ code: "unreachable" });
  });

  test("because the sign-in has ended says what to do", async () => {
    keep(home, server.url, first, localMs - 1);
    await server.post("/oauth/revoke", { token: first.refreshToken!, client_id: "mic-cli" });
    await expect(command().current()).rejects.toMatchObject({
      code: "unauthenticated",
      hint: `run: mic auth login --server ${server.url}`,
    });
  });

  test("because somebody signed out does not sign in again", async () => {
    keep(home, server.url, first, localMs - 1);
    const one = command();
    removeCredential(home.world, server.url);
    await expect(one.current()).rejects.toMatchObject({ code: "unauthenticated" });
    expect(readCredential(home.world, server.url)).toBeUndefined();
  });

  test("is given up by an interrupt", async () => {
    keep(home, server.url, first, localMs + 60_000);
    await expect(command().current(AbortSignal.abort())).rejects.toMatchObject({ code: "aborted" });
  });
});
