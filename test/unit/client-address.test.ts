import { describe, expect, test } from "vitest";
import { AddressSet, parseRange, plainAddress } from "../../src/server/network/addresses.ts";
import { addressBlock, findPeer } from "../../src/server/network/client-address.ts";

const TRUSTED = new AddressSet(["10.0.0.0/8", "fd00::/8"]);

function peer(remote: string | undefined, headers: Record<string, string> = {}, trusted?: AddressSet) {
  return findPeer(remote, false, (name) => headers[name], trusted ?? TRUSTED);
}

describe("findPeer() takes a proxy's word", () => {
  test.each([
    ["no proxy", "203.0.113.7", {}, "203.0.113.7"],
    ["one proxy", "10.0.0.1", { "x-forwarded-for": "203.0.113.7" }, "203.0.113.7"],
    ["two proxies", "10.0.0.1", { "x-forwarded-for": "203.0.113.7, 10.0.0.2" }, "203.0.113.7"],
    ["a proxy that knows nothing more", "10.0.0.1", {}, "10.0.0.1"],
    ["all of them trusted", "10.0.0.1", { "x-forwarded-for": "10.0.0.3, 10.0.0.2" }, "10.0.0.3"],
    ["with a port", "10.0.0.1", { "x-forwarded-for": "203.0.113.7:1234" }, "203.0.113.7"],
    ["IPv6", "fd00::1", { "x-forwarded-for": "2001:db8::7" }, "2001:db8::7"],
    ["IPv6 with a port", "10.0.0.1", { "x-forwarded-for": "[2001:db8::7]:80" }, "2001:db8::7"],
    ["a mapped address", "::ffff:10.0.0.1", { "x-forwarded-for": "203.0.113.7" }, "203.0.113.7"],
    ["RFC 7239", "10.0.0.1", { forwarded: 'for="[2001:db8::7]:80";proto=https' }, "2001:db8::7"],
    ["RFC 7239, two hops", "10.0.0.1", { forwarded: "for=203.0.113.7;by=x, For=10.0.0.2" }, "203.0.113.7"],
  ])("%s", (_what, remote, headers, expected) => {
    expect(peer(remote, headers as never).address).toBe(expected);
  });
});

describe("findPeer() does not believe", () => {
  test.each([
    ["a stranger's header", "203.0.113.7", { "x-forwarded-for": "1.1.1.1" }, "203.0.113.7"],
    ["a stranger's RFC 7239", "203.0.113.7", { forwarded: "for=1.1.1.1" }, "203.0.113.7"],
    [
      "what the caller wrote before the proxy's entry",
      "10.0.0.1",
      { "x-forwarded-for": "1.1.1.1, 10.9.9.9, 203.0.113.7" },
      "203.0.113.7",
    ],
    [
      "a caller that writes the header that its proxy does not set",
      "10.0.0.1",
      { "x-forwarded-for": "203.0.113.7", forwarded: "for=1.1.1.1" },
      "10.0.0.1",
    ],
    ["text that is no address", "10.0.0.1", { "x-forwarded-for": "unknown" }, "10.0.0.1"],
    ["obfuscated names", "10.0.0.1", { forwarded: "for=_hidden" }, "10.0.0.1"],
    ["what is beyond them", "10.0.0.1", { "x-forwarded-for": "1.1.1.1, nonsense, 10.0.0.2" }, "10.0.0.2"],
    ["an empty header", "10.0.0.1", { "x-forwarded-for": "" }, "10.0.0.1"],
    ["a quoted comma", "10.0.0.1", { forwarded: 'for="1.1.1.1, 10.0.0.2"' }, "10.0.0.1"],
  ])("%s", (_what, remote, headers, expected) => {
    expect(peer(remote, headers as never).address).toBe(expected);
  });

  test("anybody where no proxy is trusted", () => {
    const headers = { "x-forwarded-for": "1.1.1.1", "x-forwarded-proto": "https" };
    expect(findPeer("127.0.0.1", false, (name) => headers[name as never], undefined)).toEqual({
      address: "127.0.0.1",
      isSecure: false,
    });
  });

  test("a header with more entries than there can be proxies", () => {
    const headers = { "x-forwarded-for": `1.1.1.1${", 10.0.0.2".repeat(2_000)}` };
    expect(peer("10.0.0.1", headers).address).toBe("10.0.0.2");
  });

  test("a connection that is gone", () => {
    expect(peer(undefined, { "x-forwarded-for": "1.1.1.1" }).address).toBe("unknown");
  });
});

test("a connection is secure where a trusted proxy says so, and only then", () => {
  const headers = { "x-forwarded-for": "203.0.113.7", "x-forwarded-proto": "https" };
  expect(peer("10.0.0.1", headers).isSecure).toBe(true);
  expect(peer("10.0.0.1", { "x-forwarded-proto": "https" })).toEqual({ address: "10.0.0.1", isSecure: true });
  expect(peer("203.0.113.9", headers).isSecure).toBe(false);
  expect(peer("10.0.0.1", { forwarded: "for=203.0.113.7;proto=https" }).isSecure).toBe(true);
  const spoofed = { "x-forwarded-for": "1.1.1.1, 203.0.113.7", "x-forwarded-proto": "https, http" };
  expect(peer("10.0.0.1", spoofed).isSecure).toBe(false);
});

test("an IPv6 caller is its /64, an IPv4 caller its address", () => {
  for (const [address, block] of [
    ["203.0.113.7", "203.0.113.7"],
    ["2001:db8::1", "2001:db8:0:0::/64"],
    ["2001:0db8:0000:0000:ffff::1", "2001:db8:0:0::/64"],
    ["2001:DB8:1:2:3:4:5:6", "2001:db8:1:2::/64"],
    ["::1", "0:0:0:0::/64"],
    ["fe80::1:2:3:4", "fe80:0:0:0::/64"],
    ["1:2:3:4:5:6:1.2.3.4", "1:2:3:4::/64"],
    ["unknown", "unknown"],
  ]) {
    expect([address, addressBlock(address!)]).toEqual([address, block]);
  }
});

test("addresses and ranges are read strictly", () => {
  for (const text of [
    "",
    "10.0.0.0/33",
    "::/129",
    "10.0.0/8",
    "example.com",
    "10.0.0.0/",
    "10.0.0.1/-1",
    "010.0.0.1",
  ]) {
    expect([text, parseRange(text)]).toEqual([text, undefined]);
  }
  expect(parseRange("10.0.0.0/8")).toEqual({ address: "10.0.0.0", bits: 8, family: "ipv4" });
  expect(plainAddress("0:0:0:0:0:ffff:7f00:1")).toBe("127.0.0.1");
  expect(plainAddress("::ffff:127.0.0.1")).toBe("127.0.0.1");
  expect(plainAddress("::1")).toBe("::1");
  expect(plainAddress("fe80::1%eth0")).toBe("fe80::1");
});
