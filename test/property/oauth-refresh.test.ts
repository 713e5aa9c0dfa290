/** Refresh tokens under lost answers and theft: see docs/adr/0123-refresh-until-confirmed.md. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { systemRandom } from "../../src/core/base/system.ts";
import { AuthDatabase } from "../../src/server/auth/database/auth-database.ts";
import { type TokenPair, TokenPairs } from "../../src/server/auth/oauth/token-pairs.ts";
import { SqliteAccounts } from "../../src/server/auth/sqlite-accounts.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

const clock = new VirtualClock();
let directory: string;
let database: AuthDatabase;
let accounts: SqliteAccounts;
let pairs: TokenPairs;
let user: string;
let families = 0;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), "mic-refresh-"));
  database = new AuthDatabase({ file: join(directory, "accounts.db") });
  // What is tested outlives no power cut.
  database.sql.pragma("synchronous = OFF");
  accounts = new SqliteAccounts({ database, clock, random: systemRandom });
  pairs = new TokenPairs({ database, clock, random: systemRandom });
  user = (await accounts.createUser({ name: "alice" })).id;
});
afterAll(() => {
  accounts[Symbol.dispose]();
  database[Symbol.dispose]();
  rmSync(directory, { recursive: true });
});

const signIn = (): TokenPair => {
  const family = (families++).toString(16).padStart(32, "0");
  return database.write((sql) =>
    pairs.insert(sql, { user, client: "mic-cli", name: "mic", scope: "write", family }),
  );
};
const refresh = ({ refresh }: TokenPair): TokenPair | undefined => {
  const refreshed = pairs.refresh(refresh, "mic-cli", (granted) => granted);
  return refreshed.kind === "refreshed" ? refreshed.pair : undefined;
};
const works = ({ access }: TokenPair): boolean => {
  try {
    accounts.authenticate(access);
    return true;
  } catch {
    return false;
  }
};

describe("refreshing", () => {
  test("never locks out a client whose answers are lost or who is killed before a call", () => {
    const steps = fc.array(fc.constantFrom("lost", "kept", "kept-and-used", "used"), { maxLength: 12 });
    fc.assert(
      fc.property(steps, (all) => {
        let held = signIn();
        for (const step of all) {
          if (step === "used") {
            expect(works(held)).toBe(true);
            continue;
          }
          const next = refresh(held);
          expect(next).toBeDefined();
          if (step === "lost") continue;
          held = next!;
          if (step === "kept-and-used") expect(works(held)).toBe(true);
        }
        expect(refresh(held)).toBeDefined();
      }),
      { numRuns: 60 },
    );
  });

  test("never leaves two holders of one token with tokens that work, once each has refreshed", () => {
    const steps = fc.array(
      fc.record({ who: fc.constantFrom(0, 1), does: fc.constantFrom("refresh", "use") }),
      { minLength: 2, maxLength: 16 },
    );
    fc.assert(
      fc.property(steps, (all) => {
        const copied = signIn();
        const held = [copied, copied];
        for (const { who, does } of all) {
          if (does === "use") works(held[who]!);
          else held[who] = refresh(held[who]!) ?? held[who]!;
          if (held[0] !== copied && held[1] !== copied) {
            // The same question again changes nothing that was not known.
            expect([works(held[0]!), works(held[1]!)]).not.toEqual([true, true]);
          }
        }
      }),
      { numRuns: 60 },
    );
  });
});
