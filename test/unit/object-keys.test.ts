import { describe, expect, test } from "vitest";
import type { Epoch, ObjectId, PackId, Position, ProjectId, SessionId } from "../../src/core/base/ids.ts";
import * as keys from "../../src/core/objects/keys.ts";
import { isStoreKey } from "../../src/core/store/store-key.ts";

const project = "0123456789abcdef".repeat(2) as ProjectId;
const epoch = "2026-11-20" as Epoch;
const hash = "fe".repeat(32);

describe("store keys", () => {
  const layout: [string, string][] = [
    [keys.headKey(project), `projects/${project}/head`],
    [keys.metaKey(project), `projects/${project}/meta`],
    [keys.packKey(project, epoch, hash as PackId), `projects/${project}/packs/2026-11-20/fe/${hash}.pack`],
    [keys.blobKey(project, epoch, hash as ObjectId), `projects/${project}/blobs/2026-11-20/fe/${hash}`],
    [keys.pageKey(project, epoch, hash), `projects/${project}/pages/2026-11-20/fe/${hash}`],
    [
      keys.rollupKey(project, epoch, 2, 10_001 as Position, hash),
      `projects/${project}/landing-log/level-2/2026-11-20/0000000000010001-${hash}`,
    ],
    [
      keys.sessionKey(project, "ab".repeat(16) as SessionId),
      `projects/${project}/sessions/${"ab".repeat(16)}.bin`,
    ],
    [keys.nameKey("acme", "app.js"), "names/acme/app.js"],
    [keys.organizationKey("acme"), "organizations/acme/meta"],
  ];
  test.each(layout)("%s", (key, expected) => {
    expect(key).toBe(expected);
    expect(isStoreKey(key)).toBe(true);
  });

  test("prefixes hold their keys", () => {
    expect(keys.packKey(project, epoch, hash as PackId).startsWith(keys.packsPrefix(project))).toBe(true);
    expect(keys.packKey(project, epoch, hash as PackId).startsWith(keys.packsPrefix(project, epoch))).toBe(
      true,
    );
    expect(keys.blobKey(project, epoch, hash as ObjectId).startsWith(keys.blobsPrefix(project, epoch))).toBe(
      true,
    );
    expect(
      keys.sessionKey(project, "ab".repeat(16) as SessionId).startsWith(keys.sessionsPrefix(project)),
    ).toBe(true);
    expect(keys.nameKey("acme", "app").startsWith(keys.orgPrefix("acme"))).toBe(true);
    expect(keys.collectorPrefix(project)).toBe(`projects/${project}/gc/`);
  });

  test("keys of rollups sort by position up to the largest", () => {
    const starts = [1, 9, 10, 10_001, Number.MAX_SAFE_INTEGER] as Position[];
    const made = starts.map((start) => keys.rollupKey(project, epoch, 1, start, hash));
    expect(made.toSorted()).toEqual(made);
  });

  test("parsePackKey() is the inverse of packKey() and refuses everything else", () => {
    const key = keys.packKey(project, epoch, hash as PackId);
    expect(keys.parsePackKey(key)).toEqual({ epoch, pack: hash });
    for (const other of [
      keys.headKey(project),
      key.replace("/fe/", "/ff/"),
      key.replace(epoch, "yesterday"),
      `${key}.tmp`,
      `x${key}`,
      key.toUpperCase(),
    ]) {
      expect(keys.parsePackKey(other)).toBeUndefined();
    }
  });

  test("parseNameKey() and projectOfKey() read listings", () => {
    expect(keys.parseNameKey("names/acme/app")).toEqual({ org: "acme", name: "app" });
    for (const other of [
      "names/acme",
      "names/acme/app/x",
      "other/acme/app",
      "names//app",
      "names/Acme/app",
    ]) {
      expect(keys.parseNameKey(other)).toBeUndefined();
    }
    expect(keys.projectOfKey(keys.headKey(project))).toBe(project);
    expect(keys.projectOfKey("names/acme/app")).toBeUndefined();
  });

  test("nameKey() refuses parts that would leave the layout", () => {
    for (const part of ["", "..", ".", "a/b", "-rf", "A", "ü", "a b"]) {
      expect(() => keys.nameKey(part, "app")).toThrow(expect.objectContaining({ code: "usage" }));
      expect(() => keys.nameKey("acme", part)).toThrow(expect.objectContaining({ code: "usage" }));
    }
  });
});
