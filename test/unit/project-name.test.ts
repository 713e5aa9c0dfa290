import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { formatProjectName, parseProjectName, suggestNamePart } from "../../src/core/base/project-name.ts";

describe("parseProjectName()", () => {
  test.each(["a/b", "acme/web-app", "a1/b.c_d-e", "0/0", `${"o".repeat(64)}/${"p".repeat(100)}`])(
    "accepts %s",
    (name) => {
      expect(formatProjectName(parseProjectName(name))).toBe(name);
    },
  );

  test.each([
    ["project", "not org/project"],
    ["a/b/c", "three parts"],
    ["/b", "an empty organization"],
    ["a/", "an empty project"],
    ["a/-rf", "a leading dash"],
    ["-rf/a", "a leading dash in the organization"],
    ["a/.b", "a leading dot"],
    ["a/b..c", "two dots"],
    ["../b", "a parent directory"],
    ["a/b.", "a final dot"],
    ["A/b", "upper case"],
    ["a/b c", "a space"],
    ["a/ü", "a letter outside ASCII"],
    ["a/b\n", "a newline"],
    ["a/con", "a device"],
    ["a/nul.txt", "a device with an extension"],
    ["api/x", "an organization that the server keeps for itself"],
    [`${"o".repeat(65)}/p`, "a long organization"],
    [`o/${"p".repeat(101)}`, "a long project"],
  ])("refuses %j: %s", (name) => {
    expect(() => parseProjectName(name)).toThrow(expect.objectContaining({ code: "usage" }));
  });

  test("accepts whatever suggestNamePart() makes of any text", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 200 }), (text) => {
        const part = suggestNamePart(text);
        expect(parseProjectName(`local/${part}`).project).toBe(part);
      }),
    );
  });
});

test.each([
  ["My Project", "my-project"],
  ["Ünïcode", "unicode"],
  ["-rf", "rf"],
  ["..", "project"],
  ["nul", "project"],
  ["日本", "project"],
  ["a...b", "a.b"],
])("suggestNamePart(%j) is %j", (text, expected) => {
  expect(suggestNamePart(text)).toBe(expected);
});
