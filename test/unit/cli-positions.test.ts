import { describe, expect, it } from "vitest";
import { parsePosition, resolvePosition, tryParsePosition, tryParseRange } from "../../src/cli/positions.ts";
import { toPosition } from "../../src/core/base/ids.ts";

const latest = toPosition(12);
const at = (text: string): number => resolvePosition(parsePosition(text), latest);

describe("parsePosition()", () => {
  it.each([
    ["@7", 7],
    ["7", 7],
    ["@latest", 12],
    ["latest", 12],
    ["@position:7", 7],
    ["@7~2", 5],
    ["@latest~", 11],
    ["latest~3", 9],
    ["@0", 0],
  ])("%s is position %i", (text, position) => {
    expect(at(text)).toBe(position);
  });

  it.each(["@", "@x", "@-1", "@1.5", "@position:", "x", "", "7~x", "--1"])(
    "%j is refused as usage",
    (text) => {
      expect(() => parsePosition(text)).toThrow(expect.objectContaining({ code: "usage" }));
    },
  );

  it.each(["@13", "@latest~13", "@3~4", "99999999999999999999"])("%s is out of range", (text) => {
    expect(() => at(text)).toThrow(expect.objectContaining({ code: "out-of-range" }));
  });

  it("says what there is when a position is out of range", () => {
    expect(() => at("@13")).toThrow(expect.objectContaining({ hint: "the newest position is @12" }));
    // The newest need not be known for that.
    const unknown = toPosition(Number.MAX_SAFE_INTEGER);
    expect(() => resolvePosition(parsePosition("@1~5"), unknown)).toThrow(
      expect.objectContaining({ hint: "the first position is @0", data: {} }),
    );
  });

  it("takes what cannot be a position for something else, except after @", () => {
    expect(tryParsePosition("src/7")).toBeUndefined();
    expect(() => tryParsePosition("@src")).toThrow(expect.objectContaining({ code: "usage" }));
  });
});

describe("tryParseRange()", () => {
  it("reads both ends, and open ones", () => {
    expect(tryParseRange("3..@7~1")).toEqual({ after: { anchor: 3, back: 0 }, upTo: { anchor: 7, back: 1 } });
    expect(tryParseRange("@3..")).toEqual({ after: { anchor: 3, back: 0 }, upTo: undefined });
    expect(tryParseRange("..latest")).toEqual({ after: undefined, upTo: { anchor: "latest", back: 0 } });
  });

  it("leaves paths alone", () => {
    for (const path of ["../x", "a..b", "..", "x", "1..b"]) expect(tryParseRange(path)).toBeUndefined();
  });
});
