import { describe, expect, test } from "vitest";
import type { ProjectId } from "../../src/core/base/ids.ts";
import { checkMinting, type WantedToken } from "../../src/server/auth/minting.ts";
import { NOBODY, type Principal, type Scope } from "../../src/server/auth/principal.ts";

const P1 = "1".repeat(32) as ProjectId;
const P2 = "2".repeat(32) as ProjectId;
const SCOPES = ["read", "write", "admin"] as const;
const forbidden = expect.objectContaining({ code: "forbidden" });

const principal = (scope: Scope, onlyProject?: ProjectId): Principal => ({
  ...NOBODY,
  account: "ada",
  userId: "a".repeat(32),
  scope,
  onlyProject,
});
const wanted = (more: Partial<WantedToken> = {}): WantedToken => ({
  scope: "read",
  onlyProject: undefined,
  expiresAtMs: undefined,
  ...more,
});

describe("checkMinting()", () => {
  test("a scope makes itself and what is less", () => {
    for (const [i, own] of SCOPES.entries()) {
      for (const [j, scope] of SCOPES.entries()) {
        const check = () => checkMinting(principal(own), undefined, wanted({ scope }));
        if (j <= i) expect(check).not.toThrow();
        else expect(check).toThrow(forbidden);
      }
    }
  });

  test("a token for one project makes one for it, that ends with it at the latest", () => {
    const own = principal("admin", P1);
    const good = { onlyProject: P1, expiresAtMs: 1000 };
    expect(() => checkMinting(own, 1000, wanted(good))).not.toThrow();
    expect(() => checkMinting(own, undefined, wanted({ onlyProject: P1 }))).not.toThrow();
    for (const bad of [
      { onlyProject: undefined },
      { onlyProject: P2 },
      { expiresAtMs: 1001 },
      { expiresAtMs: undefined },
    ]) {
      expect(() => checkMinting(own, 1000, wanted({ ...good, ...bad }))).toThrow(forbidden);
    }
  });

  test("one for all projects makes those that outlive it, as after signing in", () => {
    expect(() => checkMinting(principal("admin"), 1000, wanted({ onlyProject: P2 }))).not.toThrow();
  });
});
