import { expect, test } from "vitest";
import { MicError } from "../../src/core/base/errors.ts";
import { NOBODY, type Principal } from "../../src/server/auth/principal.ts";
import { allMethods } from "../../src/server/methods/all-methods.ts";
import { readNetworkSettings } from "../../src/server/network/network-options.ts";
import { BYTE_PRICE, PRICED_NAMES, priceOfMethod, priceOfRoute } from "../../src/server/network/prices.ts";
import { type AttemptKind, createRateLimits } from "../../src/server/network/rate-limits.ts";
import { TokenBuckets } from "../../src/server/network/token-buckets.ts";
import { ROUTES } from "../../src/server/rest/routes.ts";

const user = (userId: string): Principal => ({ ...NOBODY, account: "ada", userId });
const from = (address: string) => () => address;

function limited(run: () => void): MicError | undefined {
  try {
    run();
    return undefined;
  } catch (error) {
    expect(error).toBeInstanceOf(MicError);
    expect(error).toMatchObject({ code: "rate-limited", kind: "retry" });
    return error as MicError;
  }
}

/** Calls until one is refused. */
function callsUntilRefused(charge: () => void, most: number): number {
  for (let calls = 0; calls < most; calls++) if (limited(charge) !== undefined) return calls;
  return most;
}

test("take() gives until the bucket is empty, says how long to wait, and is right about it", () => {
  const buckets = new TokenBuckets({ burst: 10, perSecond: 2 }, 100);
  for (let i = 0; i < 10; i++) expect(buckets.take("a", 1, 0)).toBe(0);
  expect(buckets.take("a", 1, 0)).toBe(500);
  expect(buckets.take("a", 1, 499)).toBe(1);
  expect(buckets.take("a", 1, 500)).toBe(0);
  expect(buckets.take("b", 10, 500)).toBe(0);
  // Nothing holds more than a full bucket, and nothing dearer than one is never to be had.
  expect(buckets.rest("a", 1e9)).toBe(10);
  expect(buckets.take("a", 1_000, 1e9)).toBe(0);
  expect(buckets.rest("a", 1e9)).toBe(0);
});

test("take() never gives more for a clock that goes back", () => {
  const buckets = new TokenBuckets({ burst: 2, perSecond: 1 }, 100);
  expect(buckets.take("a", 2, 10_000)).toBe(0);
  expect(buckets.take("a", 1, 0)).toBeGreaterThan(0);
  expect(buckets.take("a", 1, 500)).toBeGreaterThan(0);
  expect(buckets.take("a", 1, 10_000)).toBe(1_000);
});

test("spend() may leave a debt, but no larger than a burst", () => {
  const buckets = new TokenBuckets({ burst: 10, perSecond: 1 }, 100);
  buckets.spend("a", 1e9, 0);
  expect(buckets.rest("a", 0)).toBe(-10);
  expect(buckets.take("a", 1, 0)).toBe(11_000);
});

test("buckets are bounded in number: those not touched for longest go first", () => {
  const buckets = new TokenBuckets({ burst: 10, perSecond: 0.001 }, 1_000);
  buckets.take("kept", 10, 0);
  for (let i = 0; i < 100_000; i++) {
    buckets.take(`k${i}`, 1, i * 20);
    if (i % 100 === 0) buckets.take("kept", 1, i * 20);
  }
  expect(buckets.size).toBe(1_000);
  expect(buckets.rest("kept", 0)).toBeLessThan(10);
});

test("an address without a token that walks every page is stopped within 600 of them", () => {
  const limits = createRateLimits(readNetworkSettings({}, {}).rates, () => 0);
  const walk = () => limits.charge(NOBODY, from("203.0.113.7"), priceOfRoute("listTree"));
  expect(callsUntilRefused(walk, 10_000)).toBe(600);
  const error = limited(walk)!;
  expect(error.data["retryAfterMs"]).toBe(100);
  // Nobody else is.
  limits.charge(NOBODY, from("203.0.113.8"), 5);
  limits.charge(user("u1"), from("203.0.113.7"), 5);
});

test("one IPv6 network is one caller, however many addresses it takes", () => {
  const limits = createRateLimits({ anonymous: 1, signedIn: 1 }, () => 0);
  let next = 0;
  const call = () => limits.charge(NOBODY, from(`2001:db8:1:2::${(next++).toString(16)}`), 1);
  expect(callsUntilRefused(call, 1_000)).toBe(60);
  limits.charge(NOBODY, from("2001:db8:1:3::1"), 1);
});

test("one user is one caller, wherever the calls come from", () => {
  const limits = createRateLimits({ anonymous: 1, signedIn: 10 }, () => 0);
  let next = 0;
  const call = () => limits.charge(user("u1"), from(`203.0.113.${next++ % 256}`), 50);
  expect(callsUntilRefused(call, 1_000)).toBe(12);
  limits.charge(user("u2"), from("203.0.113.1"), 50);
});

test("a signed-in scraper is stopped within 1,200 answers that walk history, and then gets 20 a second", () => {
  let now = 0;
  const limits = createRateLimits(readNetworkSettings({}, {}).rates, () => now);
  const blame = () => limits.charge(user("u1"), from("203.0.113.7"), priceOfRoute("blame"));
  expect(callsUntilRefused(blame, 10_000)).toBe(1_200);
  now += 1_000;
  expect(callsUntilRefused(blame, 10_000)).toBe(20);
});

test("64 clients of one user that land without a pause are never limited", () => {
  let now = 0;
  const limits = createRateLimits(readNetworkSettings({}, {}).rates, () => now);
  const prices = ["StartSession", "RecordOperation", "Land"].map((name) => {
    return priceOfMethod({ service: "mic.v1.SessionService", name });
  });
  const head = priceOfMethod({ service: "mic.v1.ContentService", name: "GetHead" });
  // Ten minutes, 1,500 landings a second with three calls beside each.
  for (let second = 0; second < 600; second++) {
    for (let i = 0; i < 1_500; i++) {
      for (const price of [...prices, head]) limits.charge(user("u1"), from("203.0.113.7"), price);
    }
    now += 1_000;
  }
});

test("a clone without a token is never limited: a TiB at 10 Gbit/s", () => {
  let now = 0;
  const limits = createRateLimits(readNetworkSettings({}, {}).rates, () => now);
  const read = priceOfMethod({ service: "mic.v1.ContentService", name: "ReadObjects" });
  const address = from("203.0.113.7");
  limits.charge(NOBODY, address, priceOfMethod({ service: "mic.v1.ContentService", name: "ListEntries" }));
  // A call for 64 MiB each.
  const bytes = 64 << 20;
  const callMs = (bytes * 8) / 1e7;
  for (let sent = 0; sent < 2 ** 40; sent += bytes) {
    limits.charge(NOBODY, address, read);
    now += callMs;
    limits.spend(NOBODY, address, bytes * BYTE_PRICE);
  }
});

test("standing() tells those who have used more than half", () => {
  const limits = createRateLimits({ anonymous: 1, signedIn: 1 }, () => 0);
  const address = from("203.0.113.7");
  limits.charge(NOBODY, address, 29);
  expect(limits.standing(NOBODY, address)).toBeUndefined();
  limits.charge(NOBODY, address, 2);
  expect(limits.standing(NOBODY, address)).toEqual({
    limit: 60,
    windowSeconds: 60,
    remaining: 29,
    resetSeconds: 31,
  });
});

test("limits that are off charge nothing, and still count attempts", () => {
  const limits = createRateLimits(undefined, () => 0);
  for (let i = 0; i < 10_000; i++) limits.charge(NOBODY, from("203.0.113.7"), 1e6);
  expect(callsUntilRefused(() => limits.attempt("register", "203.0.113.7"), 1_000)).toBe(10);
});

test.each([
  ["device", 20, 3_000],
  ["register", 10, 60_000],
  ["token", 100, 200],
  ["password", 10, 10_000],
] as [AttemptKind, number, number][])("attempts of the kind %s: %d at once", (kind, burst, everyMs) => {
  let now = 0;
  const refused: string[] = [];
  const limits = createRateLimits(
    undefined,
    () => now,
    (what) => refused.push(what),
  );
  const attempt = () => limits.attempt(kind, "203.0.113.7");
  expect(callsUntilRefused(attempt, 1_000)).toBe(burst);
  limits.attempt(kind, "203.0.113.8");
  now += everyMs;
  expect(callsUntilRefused(attempt, 1_000)).toBe(1);
  expect(refused).toEqual([kind, kind]);
});

test("every price is one of a method or route that there is", () => {
  const methods = new Set(allMethods().map(({ name }) => name));
  const routes = new Set(ROUTES.map(({ id }) => id));
  expect(PRICED_NAMES.methods.filter((name) => !methods.has(name))).toEqual([]);
  expect(PRICED_NAMES.routes.filter((id) => !routes.has(id))).toEqual([]);
});

test("the same over REST and gRPC costs the same", () => {
  const of = (name: string) => priceOfMethod({ service: "mic.v1.ContentService", name });
  expect(priceOfRoute("getHead")).toBe(of("GetHead"));
  expect(priceOfRoute("diff")).toBe(of("Diff"));
  expect(priceOfRoute("blame")).toBe(of("Blame"));
  expect(priceOfRoute("listTree")).toBe(of("GetTree"));
  expect(priceOfRoute("listLandings")).toBe(of("ListLandings"));
});

test("settings of the network are read strictly", () => {
  const read = (flags: Parameters<typeof readNetworkSettings>[0], env = {}) =>
    readNetworkSettings(flags, env);
  expect(read({ rateLimit: "off" }).rates).toBeUndefined();
  expect(read({ rateLimit: "5" }).rates).toEqual({ anonymous: 5, signedIn: 1_000 });
  expect(read({ rateLimit: "5,7" }).rates).toEqual({ anonymous: 5, signedIn: 7 });
  expect(read({}, { MIC_RATE_LIMIT: "off" }).rates).toBeUndefined();
  expect(read({ rateLimit: "9" }, { MIC_RATE_LIMIT: "off" }).rates?.anonymous).toBe(9);
  expect(read({ trustedProxy: "10.0.0.0/8, ::1" }).trustedProxies).toEqual(["10.0.0.0/8", "::1"]);
  expect(read({}, { MIC_ALLOWED_HOSTS: "a.example,b" }).allowedHosts).toEqual(["a.example", "b"]);
  for (const flags of [
    { rateLimit: "" },
    { rateLimit: "0" },
    { rateLimit: "-1" },
    { rateLimit: "1,2,3" },
    { rateLimit: "fast" },
    { trustedProxy: "proxy.example" },
    { trustedProxy: "10.0.0.0/8,," },
    { allowedHost: "https://a.example" },
    { allowedHost: "*" },
    { corsOrigin: "app.example" },
    { corsOrigin: "https://app.example/" },
    { corsOrigin: "null" },
    { allowOutbound: "http://a" },
  ]) {
    expect(() => read(flags)).toThrow(expect.objectContaining({ code: "usage" }));
  }
});
