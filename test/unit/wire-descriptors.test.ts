import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative, resolve } from "node:path";
import { expect, test } from "vitest";
import { AccountServiceDefinition } from "../../src/core/wire/gen/mic/v1/accounts.ts";
import { ContentServiceDefinition } from "../../src/core/wire/gen/mic/v1/content.ts";
import { ProjectServiceDefinition } from "../../src/core/wire/gen/mic/v1/projects.ts";
import { SessionServiceDefinition } from "../../src/core/wire/gen/mic/v1/sessions.ts";
import { loadDescriptors } from "../../src/server/grpc/reflection.ts";
import { allMethods } from "../../src/server/methods/all-methods.ts";

const ROOT = resolve(import.meta.dirname, "../..");
const GENERATED = join(ROOT, "src/core/wire/gen");

function filesBelow(directory: string): Map<string, string> {
  const files = readdirSync(directory, { recursive: true, withFileTypes: true }).filter((item) =>
    item.isFile(),
  );
  const paths = files.map((item) => join(item.parentPath, item.name));
  return new Map(paths.sort().map((path) => [relative(directory, path), readFileSync(path, "utf8")]));
}

test("the generated code that is checked in is what proto/ gives", () => {
  const out = mkdtempSync(join(tmpdir(), "mic-wire-"));
  try {
    execFileSync(process.execPath, [join(ROOT, "scripts/generate-wire.ts"), "--out", out]);
    const [fresh, checkedIn] = [filesBelow(out), filesBelow(GENERATED)];
    expect([...checkedIn.keys()]).toEqual([...fresh.keys()]);
    for (const [path, text] of fresh)
      expect(checkedIn.get(path) === text, `${path} is not current`).toBe(true);
  } finally {
    rmSync(out, { recursive: true, force: true });
  }
});

test("every method of the definitions is answered, and described", async () => {
  const definitions = [
    ProjectServiceDefinition,
    SessionServiceDefinition,
    ContentServiceDefinition,
    AccountServiceDefinition,
  ];
  const declared = definitions.flatMap(({ fullName, methods }) =>
    Object.values(methods).map(({ name }) => `/${fullName}/${name}`),
  );
  expect(allMethods().map(({ path }) => path)).toEqual(declared);
  const { symbols } = await loadDescriptors();
  for (const path of declared) expect(symbols.has(path.slice(1).replace("/", "."))).toBe(true);
});
