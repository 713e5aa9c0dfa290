import { describe, expect, it } from "vitest";
import { isPrivateOrigin, isServerUrl, parseServerUrl } from "../../src/cli/server-url.ts";

describe("parseServerUrl()", () => {
  it.each([
    ["https://forge.example.org/ada/notes", "https://forge.example.org", "ada/notes"],
    ["HTTPS://Forge.Example.ORG", "https://forge.example.org", ""],
    ["https://forge.example.org:443/", "https://forge.example.org", ""],
    ["http://forge.example.org:80/a/b/", "http://forge.example.org", "a/b"],
    ["http://forge.example.org:443/a/b", "http://forge.example.org:443", "a/b"],
    ["http://[::1]:7420/a/b", "http://[::1]:7420", "a/b"],
    ["http://0x7f.1:7420/a/b", "http://127.0.0.1:7420", "a/b"],
    ["https://büro.example/ada/n%C3%B6tes", "https://xn--bro-hoa.example", "ada/nötes"],
    ["https://good.com.evil/a/b", "https://good.com.evil", "a/b"],
  ])("%s is origin %s and path %j", (text, origin, path) => {
    expect(parseServerUrl(text)).toEqual({ origin, path });
  });

  it.each([
    "https://good@evil/a/b",
    "https://good:password@evil/a/b",
    "https://@evil/a/b",
    "https://good%40evil/a/b",
    "https://good%2ecom/a/b",
    "https://good.com\\@evil/a/b",
    "https://good\n.evil/a/b",
    "https://good\t.evil/a/b",
    " https://good/a/b",
    "https://good/a b",
    "https://good/a/b?token=x",
    "https://good/a/b#x",
    "https://good/%ff",
    "https://:80/a/b",
    "https://good:99999/a/b",
    "https://",
    "https:///evil/a/b",
    "https:////good@evil/a/b",
    "https:///\\evil/a/b",
    "https:good",
    "ftp://good/a/b",
    "good.com",
  ])("%j is refused", (text) => {
    expect(() => parseServerUrl(text)).toThrow(expect.objectContaining({ code: "usage" }));
  });

  it("names the host that is really reached when a user stands before it", () => {
    expect(() => parseServerUrl("https://forge.example.org@evil.example/a/b")).toThrow(/"evil\.example"/);
  });

  it("says which origins keep a token to themselves", () => {
    for (const origin of [
      "https://x",
      "http://localhost:1",
      "http://127.0.0.1",
      "http://127.9.9.9:1",
      "http://[::1]:1",
    ]) {
      expect([origin, isPrivateOrigin(origin)]).toEqual([origin, true]);
    }
    for (const origin of ["http://x", "http://10.0.0.1", "http://localhost.evil", "http://127.0.0.1.evil"]) {
      expect([origin, isPrivateOrigin(origin)]).toEqual([origin, false]);
    }
    expect(["http://x", "HTTPS://x", "s3://x", "/x", "x"].map(isServerUrl)).toEqual([
      true,
      true,
      false,
      false,
      false,
    ]);
  });
});
