import { beforeAll, describe, expect, it } from "vitest";
import type { Epoch, ProjectId } from "../../src/core/base/ids.ts";
import { systemClock } from "../../src/core/base/system.ts";
import { decodeCollectionPass, encodeCollectionPass } from "../../src/core/codec/collection.ts";
import { collectorPassKey, packKey, packsPrefix, projectOfKey } from "../../src/core/objects/keys.ts";
import { openLocalStore } from "../../src/core/store/local-store.ts";
import type { ObjectStore } from "../../src/core/store/object-store.ts";
import { World } from "./support.ts";

const DAY_MS = 86_400_000;

/** The store of the embedded forge, behind the executable's back. */
async function inStore<T>(
  world: World,
  name: string,
  run: (store: ObjectStore, project: ProjectId) => Promise<T>,
): Promise<T> {
  await using store = await openLocalStore(world.path(`${name}/.mic/forge`), {
    clock: systemClock,
    create: false,
  });
  const { objects } = await store.list("projects/");
  return await run(store, projectOfKey(objects[0]!.key)!);
}

async function packKeys(store: ObjectStore, project: ProjectId): Promise<string[]> {
  return (await store.list(packsPrefix(project))).objects.map(({ key }) => key);
}

describe("mic gc", () => {
  let world: World;

  beforeAll(async () => {
    world = await World.create();
    world.ok(["init", "w"]);
    world.write("w/a.txt", "1\n");
    world.ok(["land", "first"], { in: "w" });
  });

  it("says that everything is needed", () => {
    expect(world.ok(["gc"], { in: "w" })).toContain("all of them needed");
    expect(world.json(["gc"], { in: "w" })).toMatchObject({
      code: 0,
      document: { unreferenced: 0, deleted: 0 },
    });
  });

  it("deletes what was left behind, a day after it found it, and only then", async () => {
    const key = await inStore(world, "w", async (store, project) => {
      const [named] = await packKeys(store, project);
      const { bytes } = (await store.get(named!))!;
      const left = packKey(project, "2026-01-02" as Epoch, named!.slice(-69, -5) as never);
      await store.put(left, bytes);
      return left;
    });
    const first = world.json(["gc"], { in: "w" }).document;
    expect(first).toMatchObject({ unreferenced: 1, deleted: 0, waiting: 1 });
    expect(Date.parse(first.nextAt as string)).toBeGreaterThan(Date.now() + DAY_MS - 60_000);
    expect(world.ok(["gc"], { in: "w" })).toMatch(/1 object \(.*\) must wait\n.*run `mic gc` again then/);
    await inStore(world, "w", async (store, project) => {
      const stored = (await store.get(collectorPassKey(project)))!;
      const pass = decodeCollectionPass(stored.bytes);
      const bytes = encodeCollectionPass({ ...pass, atMs: pass.atMs - DAY_MS });
      await store.commit([], { key: collectorPassKey(project), expected: stored.etag, bytes });
    });
    expect(world.ok(["gc", "--dry-run"], { in: "w" })).toContain("would delete 1 object");
    expect(await inStore(world, "w", (store) => store.get(key))).toBeDefined();
    expect(world.json(["gc", "./w/.mic/forge"]).document).toMatchObject({
      deleted: 1,
      projects: [{ project: "local/w" }],
    });
    expect(await inStore(world, "w", (store) => store.get(key))).toBeUndefined();
    expect(world.json(["fsck"], { in: "w" })).toMatchObject({
      code: 0,
      document: { findings: [], unreferenced: 0 },
    });
  });

  it("leaves a server to itself", () => {
    const { code, document } = world.json(["gc", "http://127.0.0.1:9/a/b"]);
    expect(code).toBe(1);
    expect(document).toMatchObject({ error: { code: "unsupported" } });
  });
});

describe("mic fsck --repair", () => {
  it("takes from the workspace what the forge has lost, and says what it did", async () => {
    const world = await World.create();
    world.ok(["init", "w"]);
    world.write("w/a.txt", "some content that is worth keeping\n");
    world.ok(["land", "first"], { in: "w" });
    await inStore(world, "w", async (store, project) => {
      const [key] = await packKeys(store, project);
      const bytes = (await store.get(key!))!.bytes.slice();
      bytes[10]! ^= 1;
      await store.delete([key!]);
      await store.put(key!, bytes);
    });
    expect(world.json(["fsck"], { in: "w" }).code).toBe(1);
    const text = world.ok(["fsck", "--repair"], { in: "w" });
    expect(text).toMatch(
      /before: \d+ problems?\n.*repaired \d+ object.*\n {2}projects\/[^\n]*quarantine.*no problems found/s,
    );
    expect(world.json(["fsck", "--repair"], { in: "w" })).toMatchObject({
      code: 0,
      document: { before: [], rebuilt: 0, quarantined: [], findings: [] },
    });
    world.ok(["clone", "./w", "c"]);
    expect(world.read("c/a.txt")).toBe("some content that is worth keeping\n");
  });
});
