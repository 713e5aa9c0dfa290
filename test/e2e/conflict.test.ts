import { beforeAll, describe, expect, it } from "vitest";
import { readTree, World } from "./support.ts";

const numbers = (changed: Readonly<Record<number, string>>): string =>
  Array.from({ length: 20 }, (_, i) => `${changed[i + 1] ?? i + 1}\n`).join("");

let world: World;
beforeAll(async () => {
  world = await World.create();
});

describe("two workspaces of one embedded forge", () => {
  const a = { in: "a" };
  const b = { in: "b" };

  it("both edit; the second land conflicts and names the paths", () => {
    world.ok(["init", "a"]);
    world.write("a/n.txt", numbers({}));
    world.write("a/other.txt", "other\n");
    world.ok(["land", "numbers"], a);
    expect(world.json(["clone", "./a", "b"]).document).toMatchObject({
      project: "local/a",
      position: 1,
      files: 2,
    });
    world.write("a/n.txt", numbers({ 2: "two from a", 10: "ten from a" }));
    world.ok(["land", "from a"], a);
    world.write("b/n.txt", numbers({ 10: "ten from b", 18: "eighteen from b" }));
    const { code, document } = world.json(["land", "from b"], b);
    expect(code).toBe(3);
    expect(document.error).toMatchObject({ code: "conflict", paths: ["n.txt"] });
    expect(Object.keys(document.error).slice(0, 3)).toEqual(["code", "message", "hint"]);
  });

  it("sync merges what does not overlap and leaves the rest as a conflict", () => {
    const { code, document } = world.json(["sync"], b);
    expect(code).toBe(3);
    expect(document).toMatchObject({ position: 2, merged: [], conflicts: ["n.txt"] });
    expect(world.read("b/n.txt")).toContain("two from a");
    expect(world.read("b/n.txt")).toContain("eighteen from b");
    expect(world.read("b/n.txt")).toContain("<<<<<<<");
    expect(world.json(["status"], b).document.conflicts).toEqual(["n.txt"]);
  });

  it("unresolved paths cannot be landed, and --mark refuses while markers remain", () => {
    expect(world.json(["land", "too early"], b)).toMatchObject({
      code: 3,
      document: { error: { code: "conflict", paths: ["n.txt"] } },
    });
    const refused = world.json(["resolve", "--mark"], b);
    expect(refused.code).not.toBe(0);
    expect(refused.document.error.paths).toEqual(["n.txt"]);
  });

  it("resolve without a terminal lists and exits 3", () => {
    const { code, document } = world.json(["resolve"], b);
    expect(code).toBe(3);
    expect(document).toMatchObject({
      resolved: [],
      remaining: ["n.txt"],
      conflicts: [{ path: "n.txt", kind: "content" }],
    });
  });

  it("a strategy settles it, land succeeds, and both agree after a sync", () => {
    expect(world.json(["resolve", "--union"], b)).toMatchObject({
      code: 0,
      document: { resolved: ["n.txt"], remaining: [] },
    });
    expect(world.json(["land", "from b"], b)).toMatchObject({ code: 0, document: { position: 3 } });
    expect(world.json(["sync"], a)).toMatchObject({ code: 0, document: { position: 3, conflicts: [] } });
    expect(readTree(world.path("a"))).toEqual(readTree(world.path("b")));
    expect(world.read("a/n.txt")).toContain("ten from b\nten from a\n");
  });

  it("land --sync retries by itself and stops where hunks overlap", () => {
    world.write("a/n.txt", `${world.read("a/n.txt")}end from a\n`);
    world.ok(["land", "append"], a);
    world.write("b/n.txt", `start from b\n${world.read("b/n.txt")}`);
    expect(world.json(["land", "prepend", "--sync"], b)).toMatchObject({
      code: 0,
      document: { position: 5 },
    });
    world.ok(["sync"], a);
    world.write("a/other.txt", "a\n");
    world.write("b/other.txt", "b\n");
    world.ok(["land", "other a"], a);
    const overlapping = world.json(["land", "--sync", "other b"], b);
    expect(overlapping).toMatchObject({
      code: 3,
      document: { error: { code: "conflict", paths: ["other.txt"] } },
    });
    world.ok(["resolve", "--ours"], b);
    expect(world.json(["land", "other b"], b).code).toBe(0);
    expect(world.ok(["cat", "latest", "other.txt"], b)).toBe("b\n");
  });
});
