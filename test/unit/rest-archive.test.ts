import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { concatBytes, utf8 } from "../../src/core/base/bytes.ts";
import { EMPTY_ROOT } from "../../src/core/base/ids.ts";
import { parseTreePath } from "../../src/core/base/path.ts";
import type { EntryKind } from "../../src/core/codec/tree-entry.ts";
import type { LocatedEntry } from "../../src/core/forge/forge.ts";
import { tarOf } from "../../src/server/rest/archive.ts";

function located(path: string, size: number, kind: EntryKind = "file"): LocatedEntry {
  return { path: parseTreePath(path), entry: { kind, size, id: EMPTY_ROOT }, hint: 0 };
}

async function* pagesOf(files: readonly LocatedEntry[]): AsyncGenerator<readonly LocatedEntry[]> {
  for (const file of files) yield [file];
}

async function* piecesOf(...pieces: readonly string[]): AsyncGenerator<Uint8Array> {
  for (const piece of pieces) yield utf8(piece);
}

async function whole(pieces: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const all: Uint8Array[] = [];
  for await (const piece of pieces) all.push(piece);
  return Buffer.from(concatBytes(all));
}

test("tarOf() writes names, targets and sizes that a header cannot hold before it", async () => {
  const target = `${"t/".repeat(100)}target`;
  const long = `${"ü/".repeat(200)}name`;
  const files = [
    located(long, 3),
    located("link", target.length, "symlink"),
    located("plain", 5, "executable"),
  ];
  const archive = await whole(
    tarOf(
      pagesOf(files),
      ({ path }) =>
        path === "link" ? piecesOf(target) : path === "plain" ? piecesOf("pl", "ain") : piecesOf("abc"),
      1_700_000_000_000,
    ),
  );
  expect(archive.length % 512).toBe(0);
  const directory = mkdtempSync(join(tmpdir(), "mic-tar-"));
  try {
    writeFileSync(join(directory, "a.tar"), archive);
    const listing = execFileSync("tar", ["--numeric-owner", "--quoting-style=literal", "-tvf", "a.tar"], {
      cwd: directory,
      env: { ...process.env, TZ: "UTC", LC_ALL: "C" },
    }).toString();
    const rows = listing
      .trimEnd()
      .split("\n")
      .map((row) => row.replace(/ +/g, " "));
    expect(rows).toEqual([
      `-rw-r--r-- 0/0 3 2023-11-14 22:13 ${long}`,
      `lrwxrwxrwx 0/0 0 2023-11-14 22:13 link -> ${target}`,
      "-rwxr-xr-x 0/0 5 2023-11-14 22:13 plain",
    ]);
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test("tarOf() says the size of a file above 8 GiB in an extended header", async () => {
  const size = 9 * 2 ** 30;
  const archive = await whole(tarOf(pagesOf([located("huge", size)]), () => piecesOf(), 0));
  expect(archive.toString("latin1")).toContain(` size=${size}\n`);
  expect(archive.toString("latin1", 1024 + 124, 1024 + 136)).toBe("00000000000\0");
});
