/** What is loaded when: a command that does not need a bucket pays nothing for it, and opening one pays little. */
import { readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { expect, test } from "vitest";

const ROOT = resolve(import.meta.dirname, "../..");
/** `import` and `export … from`, not of types, not `import()`. */
const STATIC = /^(?:import|export)\s(?!type\b)(?:[^'"]*?\sfrom\s)?["']([^"']+)["']/gm;

/** Every module that is loaded with `entry`: paths below the root, and names of packages. */
function loadedWith(entry: string): Set<string> {
  const found = new Set<string>();
  const visit = (file: string): void => {
    if (found.has(file)) return;
    found.add(file);
    for (const [, name] of readFileSync(resolve(ROOT, file), "utf8").matchAll(STATIC)) {
      if (name!.startsWith(".")) visit(resolve("/", dirname(file), name!).slice(1));
      else found.add(name!);
    }
  };
  visit(entry);
  return found;
}

test("opening a store on a bucket loads neither the signer nor a transport", () => {
  const loaded = loadedWith("src/core/store/s3/s3-store.ts");
  expect(loaded).toContain("src/core/store/s3/client.ts");
  expect([...loaded].filter((name) => !name.startsWith("src/"))).toEqual([]);
  expect([...loaded].filter((name) => /\/(?:sign|transport-\w+|delete)\.ts$/.test(name))).toEqual([]);
});

test("the transport of commands loads nothing", () => {
  const loaded = loadedWith("src/core/store/s3/transport-fetch.ts");
  expect([...loaded].filter((name) => !name.startsWith("src/"))).toEqual([]);
});

test("`mic status` loads nothing of S3's", () => {
  const loaded = loadedWith("src/cli/command/status.ts");
  expect(loaded.size).toBeGreaterThan(10);
  expect([...loaded].filter((name) => /store\/s3\/|undici/.test(name))).toEqual([]);
});
