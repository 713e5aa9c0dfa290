import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  escapeBlock,
  escapeLine,
  formatBytes,
  plural,
  textWidth,
  toJsonText,
  truncate,
  wrap,
} from "../../src/cli/text.ts";

const DANGEROUS = /[^\P{Cc}\n\t]|[\u202a-\u202e\u2066-\u2069\u200e\u200f\u061c\u2028\u2029]/u;

describe("escapeLine()", () => {
  it("writes controls, bidirectional controls and lone surrogates as escape sequences", () => {
    expect(escapeLine("a\u001b[31m\r\n\t\u007f\u009b\u202e\ud800b")).toBe(
      "a\\x1b[31m\\r\\n\\t\\x7f\\x9b\\u202e\\ud800b",
    );
  });

  it("leaves every other text alone", () => {
    for (const text of ["plain", "ünïcödé", "日本語", "🙂 ok", "a\\x1b"]) expect(escapeLine(text)).toBe(text);
  });

  it("leaves nothing dangerous in any text", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        expect(escapeLine(text)).not.toMatch(/[\n\t]/);
        expect(escapeLine(text)).not.toMatch(DANGEROUS);
        expect(escapeBlock(text)).not.toMatch(DANGEROUS);
      }),
    );
  });
});

describe("toJsonText()", () => {
  it("parses back to the same value and holds nothing dangerous", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        expect(JSON.parse(toJsonText({ text }))).toEqual({ text });
        expect(toJsonText({ text })).not.toMatch(DANGEROUS);
      }),
    );
  });
});

describe("truncate() and textWidth()", () => {
  it("count cells, not code units", () => {
    expect(textWidth("日本")).toBe(4);
    expect(textWidth("e\u0301")).toBe(1);
    expect(truncate("日本語", 5)).toBe("日本…");
    expect(truncate("abc", 3)).toBe("abc");
    expect(truncate("abcd", 3)).toBe("ab…");
  });

  it("never pass the width", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme" }), fc.integer({ min: 1, max: 30 }), (text, width) => {
        expect(textWidth(truncate(text, width))).toBeLessThanOrEqual(width);
      }),
    );
  });
});

describe("wrap()", () => {
  it("breaks at spaces and keeps line breaks", () => {
    expect(wrap("aa bb cc\ndd", 5)).toEqual(["aa bb", "cc", "dd"]);
    expect(wrap("unbreakable", 5)).toEqual(["unbreakable"]);
  });
});

describe("plural() and formatBytes()", () => {
  it("read as English", () => {
    expect(plural(1, "file")).toBe("1 file");
    expect(plural(1234, "file")).toBe("1,234 files");
    expect([formatBytes(0), formatBytes(1023), formatBytes(1536), formatBytes(5 << 20)]).toEqual([
      "0 B",
      "1023 B",
      "1.5 KiB",
      "5.0 MiB",
    ]);
  });
});
