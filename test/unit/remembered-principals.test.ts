import { describe, expect, test } from "vitest";
import { RememberedPrincipals, type Standing } from "../../src/server/auth/remembered-principals.ts";
import { secretDigest } from "../../src/server/auth/token-secret.ts";

const PRINCIPALS_MAX = 20_000;
const standing = (account: string): Standing => ({
  account,
  userId: account,
  isSiteAdmin: false,
  scope: "read",
  onlyProject: undefined,
  tokenId: account,
  expiresAtMs: Number.POSITIVE_INFINITY,
});

describe("RememberedPrincipals", () => {
  test("holds a bounded number, and lets those go first whom nobody waits for", () => {
    const principals = new RememberedPrincipals(() => standing("a"));
    const get = (i: number) => principals.get(secretDigest(`token-${i}`), 0)!;
    const waited = get(0);
    const { ended } = waited;
    const second = get(1);
    for (let i = 2; i < PRINCIPALS_MAX + 10; i++) get(i);
    expect(principals.size).toBe(PRINCIPALS_MAX);
    expect(get(0)).toBe(waited);
    expect(ended.aborted).toBe(false);
    // It is over: whoever still holds it asks for its end in vain no longer.
    expect(second.ended.aborted).toBe(true);
    expect(get(1)).not.toBe(second);
  });

  test("where everybody is waited for, the oldest one's calls are sent to call again", () => {
    const principals = new RememberedPrincipals(() => standing("a"));
    const signals = Array.from({ length: PRINCIPALS_MAX + 1 }, (_, i) => {
      return principals.get(secretDigest(`token-${i}`), 0)!.ended;
    });
    expect(signals.filter(({ aborted }) => aborted)).toEqual([signals[0]]);
  });

  test("asks about each again, and ends what is another", () => {
    const known = new Map(
      [secretDigest("a"), secretDigest("b")].map((each, i) => [each.toString("hex"), `u${i}`]),
    );
    const principals = new RememberedPrincipals((digest) => {
      const account = known.get(Buffer.from(digest).toString("hex"));
      return account === undefined ? undefined : standing(account);
    });
    const [a, b] = [principals.get(secretDigest("a"), 0)!, principals.get(secretDigest("b"), 0)!];
    expect(principals.get(secretDigest("c"), 0)).toBeUndefined();
    known.set(secretDigest("b").toString("hex"), "somebody else");
    principals.revalidate(0);
    expect([a.ended.aborted, b.ended.aborted]).toEqual([false, true]);
    expect(principals.get(secretDigest("b"), 0)?.account).toBe("somebody else");
  });
});
