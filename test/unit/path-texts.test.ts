import { expect, test } from "vitest";
import type { TreePath } from "../../src/core/base/path.ts";
import { PathTexts } from "../../src/core/workspace/clone/path-texts.ts";

test.each([0, 1, 255, 256, 257, 1024, 1025, 5000])("%i paths come back as they were added", (count) => {
  const paths = Array.from(
    { length: count },
    (_, i) => `d${i % 7}/ünï-${"x".repeat(i % 50)}/😀${i}` as TreePath,
  );
  const texts = new PathTexts();
  for (const path of paths) texts.add(path);
  expect(texts.length).toBe(count);
  expect([...texts]).toEqual(paths);
  for (let i = count - 1; i >= 0; i--) expect(texts.at(i)).toBe(paths[i]);
});
