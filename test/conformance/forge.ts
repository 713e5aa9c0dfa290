/**
 * What every way of reaching a forge must do: in process over any store, and over a socket. Call
 * `describeForge` with a factory; each test gets a fresh, empty forge.
 */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { hashObject } from "../../src/core/base/hash.ts";
import { EMPTY_ROOT, type ObjectId, type Position, type ProjectId } from "../../src/core/base/ids.ts";
import { comparePaths } from "../../src/core/base/path.ts";
import { mintLandingId, mintProjectId, mintSessionId } from "../../src/core/base/random.ts";
import { systemRandom } from "../../src/core/base/system.ts";
import { decodeChunkList } from "../../src/core/codec/chunk-list.ts";
import { encodePack } from "../../src/core/codec/pack.ts";
import type { CallOptions, Forge, Landing, TreeChange } from "../../src/core/forge/forge.ts";
import type { Frame } from "../../src/core/objects/frame.ts";
import { openVerifiedFrame, sliceObject } from "../../src/core/objects/read-frame.ts";
import { collect, collectBytes, path, TestProject } from "../support/forge-project.ts";
import { describeStoredContent, inPieces, putOf } from "./forge-blobs.ts";

export interface ForgeUnderTest extends AsyncDisposable {
  readonly forge: Forge;
}

function code(expected: string): unknown {
  return expect.objectContaining({ code: expected });
}

function at(position: number): Position {
  return position as Position;
}

/** Content that is stored in chunks. */
function large(seed: string): Uint8Array {
  return Buffer.alloc(1_500_000, seed);
}

function newId(): ProjectId {
  return mintProjectId(systemRandom);
}

export function describeForge(name: string, makeForge: () => Promise<ForgeUnderTest>): void {
  describe(`${name} is a forge`, () => {
    let made: ForgeUnderTest;
    let forge: Forge;

    beforeEach(async () => {
      made = await makeForge();
      forge = made.forge;
    });
    afterEach(async () => {
      await made[Symbol.asyncDispose]();
    });

    describe("a policy that refuses secrets", () => {
      const secret = `first\ntoken: ${["ghp", "q8Zr1Wk5VbT2mXc9LdJ7nYh3PfS6gRw4a0Q2"].join("_")}\n`;
      const found = { path: "key.txt", line: 2, kind: "a GitHub token" };
      const refused = expect.objectContaining({
        code: "unsafe-path",
        hint: expect.stringContaining(".micpolicy"),
        data: expect.objectContaining({ paths: ["key.txt"], secrets: [found] }),
      });

      test("stops them whatever way they come, and nothing else", async () => {
        const project = await TestProject.create(forge, "acme/app");
        await project.land({ put: { ".micpolicy": "secrets = refuse\n" } });
        const put = { "a.txt": "fine", "key.txt": secret };
        await expect(project.land({ put })).rejects.toEqual(refused);
        const { frames } = project.request({ put });
        const packs = [await forge.putPack(project.id, encodePack(frames).bytes)];
        await expect(project.land({ put, request: { packs, frames: [] } })).rejects.toEqual(refused);

        const session = mintSessionId(systemRandom);
        await forge.startSession(project.id, { id: session, goal: "a key", owner: "Ada" });
        const stored = await forge.putBlob(project.id, inPieces(Buffer.from(secret)));
        await forge.recordOperations(project.id, session, [putOf("key.txt", stored)]);
        const request = { session, landingId: mintLandingId(systemRandom), author: "Ada", agent: "" };
        await expect(forge.landSession(project.id, request)).rejects.toEqual(refused);
        expect((await forge.getHead(project.id)).position).toBe(1);

        const allowed = { "a.txt": "fine", "key.txt": `${secret.trim()} mic:allow-secret` };
        expect(await project.land({ put: allowed })).toMatchObject({ position: 2 });
      });

      test("lets a history in that has one from before it, or from when it was lifted", async () => {
        const source = await TestProject.create(forge, "acme/source");
        const puts = [{ a: "1" }, { "key.txt": secret }, { ".micpolicy": "secrets = refuse\n" }, { b: "1" }];
        for (const put of puts) await source.land({ put });
        const landings: Landing[] = [];
        for (let i = 1; i <= puts.length; i++) landings.push(await forge.getLanding(source.id, at(i)));
        const { salt } = await forge.getProject(source.id);
        const { frames } = source.request({ put: Object.assign({}, ...puts) });
        const after = { position: at(0), root: EMPTY_ROOT };
        const copy = await forge.createProject({ id: newId(), name: "acme/copy", salt });
        const all = { after, landings, packs: [], frames };
        expect((await forge.importLandings(copy.id, all)).position).toBe(4);
        expect((await forge.importLandings(copy.id, all)).position).toBe(4);

        const target = new TestProject(forge, copy.id);
        target.base = await forge.getHead(copy.id);
        await source.land({ put: { ".micpolicy": "secrets = report\n" } });
        await source.land({ put: { "k.txt": `a ${secret}` } });
        const later = [await forge.getLanding(source.id, at(5)), await forge.getLanding(source.id, at(6))];
        const more = source.request({
          put: { a: `a ${secret}`, b: "secrets = report\n" },
        }).frames;
        const rest = { after: target.base, landings: later, packs: [], frames: more };
        expect((await forge.importLandings(copy.id, rest)).position).toBe(6);
      });
    });

    describe("organizations", () => {
      test("a created organization is found and listed", async () => {
        const created = await forge.createOrganization({ name: "acme", description: "Makers" });
        expect(created).toMatchObject({ name: "acme", description: "Makers" });
        expect(created.createdAtMs).toBeGreaterThan(1.6e12);
        expect(await forge.getOrganization("acme")).toEqual(created);
        expect((await forge.listOrganizations({})).items).toEqual([created]);
        await expect(forge.createOrganization({ name: "acme" })).rejects.toEqual(code("already-exists"));
      });

      test("a project makes its organization, which stays when the project goes", async () => {
        const { id } = await forge.createProject({ id: newId(), name: "acme/app" });
        const made = await forge.getOrganization("acme");
        expect(made).toMatchObject({ name: "acme", description: "" });
        await expect(forge.createOrganization({ name: "acme" })).rejects.toEqual(code("already-exists"));
        await forge.updateProject(id, { name: "other/app" });
        expect(await forge.getOrganization("other")).toMatchObject({ name: "other" });
        await forge.deleteProject(id);
        expect(await forge.getOrganization("acme")).toEqual(made);
      });

      test("of two creations at once exactly one succeeds", async () => {
        const results = await Promise.allSettled(
          Array.from({ length: 6 }, (_, i) =>
            forge.createOrganization({ name: "acme", description: `${i}` }),
          ),
        );
        const won = results.filter((result) => result.status === "fulfilled");
        expect(won).toHaveLength(1);
        expect(await forge.getOrganization("acme")).toEqual(won[0]!.value);
      });

      test("organizations are listed in the order of their projects, in pages", async () => {
        for (const name of ["b", "a-b", "a", "a.b"]) await forge.createOrganization({ name });
        await forge.createProject({ id: newId(), name: "a0/app" });
        const names: string[] = [];
        let after: string | undefined;
        do {
          const page = await forge.listOrganizations({ limit: 2, ...(after === undefined ? {} : { after }) });
          expect(page.items.length).toBeLessThanOrEqual(2);
          names.push(...page.items.map((item) => item.name));
          after = page.next;
        } while (after !== undefined);
        expect(names).toEqual(["a-b", "a.b", "a", "a0", "b"]);
      });

      test.each(["-rf", "..", "Acme", "a/b", "api", "", "con"])("the name %j is refused", async (bad) => {
        await expect(forge.createOrganization({ name: bad })).rejects.toEqual(code("usage"));
      });

      test("an absent organization is not found", async () => {
        await expect(forge.getOrganization("nobody")).rejects.toEqual(code("not-found"));
        expect(await forge.listOrganizations({})).toEqual({ items: [] });
      });
    });

    describe("projects", () => {
      test("a created project is found by name and by id", async () => {
        const id = newId();
        const request = { id, name: "acme/app", description: "An app", visibility: "public" } as const;
        const { isNew: _, ...created } = await forge.createProject({ ...request, salt: "0123456789abcdef" });
        expect(created).toMatchObject({ ...request, salt: "0123456789abcdef" });
        expect(created.createdAtMs).toBeGreaterThan(1.6e12);
        expect(await forge.getProject("acme/app")).toEqual(created);
        expect(await forge.getProject(id)).toEqual(created);
        const head = await forge.getHead(id);
        expect(head).toMatchObject({ position: 0, root: EMPTY_ROOT, salt: "0123456789abcdef" });
      });

      test("a retried creation with the same id returns the same project, another id is refused", async () => {
        const request = { id: newId(), name: "acme/app" };
        const { isNew, ...created } = await forge.createProject(request);
        expect(created).toMatchObject({ visibility: "private", description: "" });
        expect(created.salt).toMatch(/^[0-9a-f]{16}$/);
        // A forge that knows says so.
        expect(isNew).not.toBe(false);
        const again = await forge.createProject(request);
        expect(again).toMatchObject(created);
        expect(again.isNew).toBe(isNew === undefined ? undefined : false);
        await expect(forge.createProject({ ...request, id: newId() })).rejects.toEqual(
          code("already-exists"),
        );
        await expect(forge.createProject({ ...request, name: "acme/b" })).rejects.toEqual(
          code("already-exists"),
        );
      });

      test("of two creations of one name at once exactly one succeeds", async () => {
        const results = await Promise.allSettled(
          Array.from({ length: 8 }, () => forge.createProject({ id: newId(), name: "acme/app" })),
        );
        const won = results.filter((result) => result.status === "fulfilled");
        expect(won).toHaveLength(1);
        for (const result of results) {
          if (result.status === "rejected") expect(result.reason).toEqual(code("already-exists"));
        }
        expect(won[0]!.value).toMatchObject(await forge.getProject("acme/app"));
      });

      test.each(["-rf/x", "acme/-rf", "acme/..", "acme", "Acme/App", "acme/a b", "api/x"])(
        "the name %s is refused",
        async (bad) => {
          await expect(forge.createProject({ id: newId(), name: bad })).rejects.toEqual(code("usage"));
        },
      );

      test("an absent project is not found", async () => {
        await expect(forge.getProject("acme/none")).rejects.toEqual(code("not-found"));
        await expect(forge.getProject(newId())).rejects.toEqual(code("not-found"));
        await expect(forge.getHead(newId())).rejects.toEqual(code("not-found"));
        await expect(forge.updateProject(newId(), { description: "x" })).rejects.toEqual(code("not-found"));
        await expect(forge.deleteProject(newId())).rejects.toEqual(code("not-found"));
      });

      test("projects are listed in the order of names, in pages, by organization", async () => {
        for (const each of ["b/two", "a/one", "a/zwei", "a/1", "c/three"]) {
          await forge.createProject({ id: newId(), name: each });
        }
        const names: string[] = [];
        let after: string | undefined;
        do {
          const page = await forge.listProjects({ limit: 2, ...(after === undefined ? {} : { after }) });
          expect(page.items.length).toBeLessThanOrEqual(2);
          names.push(...page.items.map((item) => item.name));
          after = page.next;
        } while (after !== undefined);
        expect(names).toEqual(["a/1", "a/one", "a/zwei", "b/two", "c/three"]);
        const own = await forge.listProjects({ org: "a" });
        expect(own.items.map((item) => item.name)).toEqual(["a/1", "a/one", "a/zwei"]);
      });

      test("a rename leaves a redirect and may be taken back", async () => {
        const { id } = await forge.createProject({ id: newId(), name: "acme/old" });
        expect(await forge.updateProject(id, { name: "acme/new" })).toMatchObject({ name: "acme/new" });
        expect(await forge.getProject("acme/old")).toMatchObject({ id, name: "acme/new" });
        await expect(forge.createProject({ id: newId(), name: "acme/old" })).rejects.toEqual(
          code("already-exists"),
        );
        const listed = await forge.listProjects({ org: "acme" });
        expect(listed.items.map((item) => item.name)).toEqual(["acme/new"]);
        expect(await forge.updateProject(id, { name: "acme/old" })).toMatchObject({ name: "acme/old" });
        expect(await forge.getProject("acme/new")).toMatchObject({ id, name: "acme/old" });
      });

      test("a rename to a taken name changes nothing", async () => {
        const { id } = await forge.createProject({ id: newId(), name: "acme/a" });
        await forge.createProject({ id: newId(), name: "acme/b" });
        await expect(forge.updateProject(id, { name: "acme/b" })).rejects.toEqual(code("already-exists"));
        expect(await forge.getProject("acme/a")).toMatchObject({ id, name: "acme/a" });
      });

      test("description and visibility change alone", async () => {
        const { id } = await forge.createProject({ id: newId(), name: "acme/a", description: "one" });
        expect(await forge.updateProject(id, { visibility: "public" })).toMatchObject({
          description: "one",
          visibility: "public",
        });
        expect(await forge.updateProject(id, { description: "two" })).toMatchObject({
          description: "two",
          visibility: "public",
        });
      });

      test("a deleted project is gone and its names stay taken", async () => {
        const project = await TestProject.create(forge, "acme/old");
        await project.land({ put: { a: "1" } });
        await forge.updateProject(project.id, { name: "acme/new" });
        await forge.deleteProject(project.id);
        for (const each of ["acme/old", "acme/new", project.id]) {
          await expect(forge.getProject(each)).rejects.toEqual(code("not-found"));
        }
        expect((await forge.listProjects({})).items).toEqual([]);
        await expect(forge.getHead(project.id)).rejects.toEqual(code("not-found"));
        await expect(project.land({ put: { a: "2" } })).rejects.toEqual(code("not-found"));
        await expect(forge.deleteProject(project.id)).rejects.toEqual(code("not-found"));
        for (const each of ["acme/old", "acme/new"]) {
          await expect(forge.createProject({ id: newId(), name: each })).rejects.toEqual(
            code("already-exists"),
          );
        }
      });
    });

    describe("landing", () => {
      let project: TestProject;
      beforeEach(async () => {
        project = await TestProject.create(forge, "acme/app");
      });

      test("the first landing is position 1 and the head", async () => {
        const landed = await project.land({ put: { "a/b": "hello" } });
        expect(landed.position).toBe(1);
        expect(await forge.getHead(project.id)).toMatchObject({ position: 1, root: landed.root });
        expect(await forge.getPosition(project.id, at(1))).toEqual({ position: 1, root: landed.root });
        expect(await forge.getPosition(project.id, at(0))).toEqual({ position: 0, root: EMPTY_ROOT });
        expect(await project.read(1, "a/b")).toBe("hello");
      });

      test("the same landing id lands once and is found", async () => {
        const request = project.request({ put: { a: "1" } });
        const first = await forge.land(project.id, request);
        expect(await forge.land(project.id, request)).toEqual(first);
        expect((await forge.getHead(project.id)).position).toBe(1);
        const found = await forge.findLanding(project.id, request.landingId, at(0));
        expect({ kind: "landed", ...found }).toEqual(first);
        expect(await forge.findLanding(project.id, request.landingId, at(1))).toBeUndefined();
        const other = mintLandingId(systemRandom);
        expect(await forge.findLanding(project.id, other, at(0))).toBeUndefined();
      });

      test("a landing id with other content is landing-id-reused", async () => {
        const request = project.request({ put: { a: "1" } });
        await forge.land(project.id, request);
        const other = { ...project.request({ put: { a: "2" } }), landingId: request.landingId };
        await expect(forge.land(project.id, other)).rejects.toEqual(code("landing-id-reused"));
      });

      test("landings on one base conflict on the same path only", async () => {
        await project.land({ put: { a: "1", b: "1", "d/x": "1" } });
        const { base } = project;
        await project.land({ put: { a: "2" } });
        expect(await project.tryLand({ base, put: { a: "3", b: "3" } })).toEqual({
          kind: "conflict",
          paths: ["a"],
        });
        expect((await forge.getHead(project.id)).position).toBe(2);
        expect(await project.tryLand({ base, put: { b: "3" } })).toMatchObject({ position: 3 });
        expect(await project.read(3, "a")).toBe("2");
        expect(await project.read(3, "b")).toBe("3");
        expect(await project.tryLand({ base, put: { d: "a file" }, delete: ["d/x"] })).toMatchObject({
          position: 4,
        });
      });

      test("a base of another history is history-changed", async () => {
        await project.land({ put: { a: "1" } });
        const root = "ab".repeat(32) as ObjectId;
        for (const base of [
          { position: at(1), root },
          { position: at(7), root },
        ]) {
          await expect(project.tryLand({ base, put: { b: "1" } })).rejects.toEqual(code("history-changed"));
        }
        await expect(forge.getHead(project.id, { atLeast: at(9) })).rejects.toEqual(code("history-changed"));
        expect((await forge.getHead(project.id, { atLeast: at(1) })).position).toBe(1);
      });

      test("content that was never sent is refused", async () => {
        const request = project.request({ put: { a: "1" } });
        await expect(forge.land(project.id, { ...request, frames: [] })).rejects.toMatchObject({
          code: expect.stringMatching(/^(not-found|usage)$/),
        });
        expect((await forge.getHead(project.id)).position).toBe(0);
      });

      test("a path that must not be in a tree is refused", async () => {
        const request = project.request({ put: { a: "1" } });
        for (const bad of ["../a", ".git/config", "a//b", "/etc/passwd", ".MIC/x"]) {
          const operations = [{ ...request.operations.at(0)!, path: bad as never }];
          await expect(forge.land(project.id, { ...request, operations })).rejects.toEqual(
            code("unsafe-path"),
          );
        }
      });

      test("concurrent landings on different paths get one position each", async () => {
        const { base } = project;
        const results = await Promise.all(
          Array.from({ length: 20 }, (_, i) =>
            forge.land(project.id, project.request({ base, put: { [`file-${i}`]: `${i}` } })),
          ),
        );
        const positions = results.map((result) => (result.kind === "landed" ? result.position : -1));
        expect(positions.sort((a, b) => a - b)).toEqual(Array.from({ length: 20 }, (_, i) => i + 1));
        expect(await collect(forge.listEntries(project.id, at(20), undefined))).toHaveLength(20);
      });
    });

    describe("history", () => {
      let project: TestProject;
      beforeEach(async () => {
        project = await TestProject.create(forge, "acme/app");
        await project.land({ goal: "first", put: { a: "1", "d/x": "1", "d/y": "1" } });
        await project.land({ goal: "second", put: { a: "2" }, author: "Grace <grace@example.org>" });
        await project.land({ goal: "third", delete: ["d/x"] });
        await project.land({ goal: "fourth", put: { d: "now a file" }, delete: ["d/y"] });
      });

      async function goals(request: Parameters<Forge["listLandings"]>[1]): Promise<string[]> {
        return (await collect(forge.listLandings(project.id, request))).map((landing) => landing.goal);
      }

      test("landings are listed newest first", async () => {
        expect(await goals({})).toEqual(["fourth", "third", "second", "first"]);
        expect(await goals({ after: at(1), upTo: at(3) })).toEqual(["third", "second"]);
        expect(await goals({ after: at(4) })).toEqual([]);
        await expect(goals({ upTo: at(5) })).rejects.toEqual(code("out-of-range"));
      });

      test("a path filter matches the path and what is below it", async () => {
        expect(await goals({ paths: [path("a")] })).toEqual(["second", "first"]);
        expect(await goals({ paths: [path("d")] })).toEqual(["fourth", "third", "first"]);
        expect(await goals({ paths: [path("d/x")] })).toEqual(["third", "first"]);
        expect(await goals({ paths: [path("d/x"), path("a")] })).toEqual(["third", "second", "first"]);
        expect(await goals({ paths: [path("none")] })).toEqual([]);
      });

      test("an author filter ignores case", async () => {
        expect(await goals({ author: "GRACE" })).toEqual(["second"]);
      });

      test("a landing has its record and operations", async () => {
        const request = project.request({
          goal: "fifth",
          put: { z: { kind: "executable", content: "run" } },
          delete: ["a"],
          request: { decisions: ["because"], conversation: [{ role: "user", text: "do" }], agent: "bot" },
        });
        const landed = await forge.land(project.id, request);
        const landing = await forge.getLanding(project.id, at(5));
        expect(landed).toMatchObject({ position: 5, root: landing.root, session: landing.session });
        expect(landing).toMatchObject({
          position: 5,
          landingId: request.landingId,
          goal: "fifth",
          author: "Ada <ada@example.org>",
          agent: "bot",
          parentRoot: project.base.root,
          base: project.base,
          changes: 2,
          decisions: ["because"],
          conversation: [{ role: "user", text: "do" }],
          operations: [
            { kind: "delete", path: "a" },
            { kind: "put", path: "z", entry: { kind: "executable", size: 3 } },
          ],
        });
        expect(landing.timeMs).toBeGreaterThan(1.6e12);
        const [summary] = await collect(forge.listLandings(project.id, { after: at(4) }));
        expect(landing).toMatchObject(summary!);
      });

      test("positions outside the log are out of range", async () => {
        for (const position of [5, 2 ** 53 - 1]) {
          await expect(forge.getPosition(project.id, at(position))).rejects.toEqual(code("out-of-range"));
          await expect(forge.getLanding(project.id, at(position))).rejects.toEqual(code("out-of-range"));
          await expect(forge.getPath(project.id, at(position), path("a"))).rejects.toEqual(
            code("out-of-range"),
          );
        }
        await expect(forge.getLanding(project.id, at(0))).rejects.toEqual(code("out-of-range"));
      });

      test("a large landing is found by the paths in it and no others", async () => {
        const put = Object.fromEntries(Array.from({ length: 300 }, (_, i) => [`many/${i}`, `${i}`]));
        await project.land({ goal: "many", put });
        await project.land({ goal: "none of many", delete: Object.keys(put) });
        expect(await goals({ paths: [path("many/7")] })).toEqual(["none of many", "many"]);
        expect(await goals({ paths: [path("many")] })).toEqual(["none of many", "many"]);
        expect(await goals({ paths: [path("many/7/x")] })).toEqual([]);
        expect((await forge.getLanding(project.id, at(5))).operations).toHaveLength(300);
      });
    });

    describe("content", () => {
      let project: TestProject;
      const big = Buffer.alloc(2_500_000, "0123456789abcdef");
      beforeEach(async () => {
        for (let i = 0; i < big.length; i += 997) big[i] = i % 251;
        project = await TestProject.create(forge, "acme/app");
        await project.land({
          put: {
            "a.txt": "alpha",
            "dir/b": { kind: "executable", content: "beta" },
            "dir/sub/c": "gamma",
            "dir/sub/d": "gamma",
            "dir-2/e": "epsilon",
            empty: "",
            link: { kind: "symlink", content: "a.txt" },
            "üñï/ço∂é": "unicode",
          },
        });
        await project.land({ put: { "a.txt": "changed", "big.bin": big }, delete: ["dir/b"] });
      });

      test("getPath() tells file, directory and nothing", async () => {
        const file = await forge.getPath(project.id, at(1), path("dir/b"));
        expect(file).toMatchObject({ kind: "entry", entry: { kind: "executable", size: 4 } });
        expect(await forge.getPath(project.id, at(1), path("dir"))).toEqual({ kind: "directory", count: 3 });
        expect(await forge.getPath(project.id, at(2), path("dir/b"))).toBeUndefined();
        expect(await forge.getPath(project.id, at(1), path("di"))).toBeUndefined();
        expect(await forge.getPath(project.id, at(0), path("a.txt"))).toBeUndefined();
        await expect(forge.getPath(project.id, at(1), "../x" as never)).rejects.toEqual(code("unsafe-path"));
      });

      test("listDirectory() lists one level in key order, in pages", async () => {
        const names: string[] = [];
        let after: string | undefined;
        do {
          const page = await forge.listDirectory(project.id, {
            at: at(1),
            dir: "",
            limit: 2,
            ...(after === undefined ? {} : { after }),
          });
          for (const item of page.items) names.push(`${item.kind}:${item.name}`);
          after = page.next;
        } while (after !== undefined);
        const kinds = ["entry:a.txt", "directory:dir", "directory:dir-2", "entry:empty", "entry:link"];
        expect(names).toEqual([...kinds, "directory:üñï"]);
        const below = await forge.listDirectory(project.id, { at: at(1), dir: path("dir") });
        expect(below.items).toMatchObject([
          { kind: "entry", name: "b", entry: { kind: "executable" } },
          { kind: "directory", name: "sub", count: 2 },
        ]);
        expect(below.next).toBeUndefined();
      });

      test("listDirectory() of a file or of nothing is not found, of an empty root empty", async () => {
        for (const dir of [path("a.txt"), path("none")]) {
          await expect(forge.listDirectory(project.id, { at: at(1), dir })).rejects.toEqual(
            code("not-found"),
          );
        }
        expect(await forge.listDirectory(project.id, { at: at(0), dir: "" })).toEqual({ items: [] });
      });

      test("listEntries() lists everything below the paths once, in path order", async () => {
        const all = await collect(forge.listEntries(project.id, at(1), undefined));
        const paths = all.map((entry) => entry.path);
        expect(paths).toHaveLength(8);
        expect(paths).toEqual([...paths].sort(comparePaths));
        const some = await collect(
          forge.listEntries(project.id, at(1), [path("link"), path("dir/sub"), path("dir"), path("dir/b")]),
        );
        expect(some.map((entry) => entry.path)).toEqual(["dir/b", "dir/sub/c", "dir/sub/d", "link"]);
        expect(await collect(forge.listEntries(project.id, at(1), []))).toEqual([]);
      });

      test("readFile() gives the content of plain, empty and chunked files", async () => {
        expect(await project.read(1, "a.txt")).toBe("alpha");
        expect(await project.read(2, "a.txt")).toBe("changed");
        expect(await project.read(1, "empty")).toBe("");
        expect(await project.read(1, "link")).toBe("a.txt");
        expect(await project.read(1, "üñï/ço∂é")).toBe("unicode");
        const found = await forge.getPath(project.id, at(2), path("big.bin"));
        if (found?.kind !== "entry") throw new Error("big.bin is missing");
        const content = await collectBytes(forge.readFile(project.id, found));
        expect(hashObject(content)).toBe(hashObject(big));
      });

      test("readFile() without a hint finds the content, and refuses what is not there", async () => {
        const found = await forge.getPath(project.id, at(1), path("a.txt"));
        if (found?.kind !== "entry") throw new Error("a.txt is missing");
        const content = await collectBytes(forge.readFile(project.id, { entry: found.entry, hint: 0 }));
        expect(Buffer.from(content).toString()).toBe("alpha");
        const entry = { ...found.entry, id: "ab".repeat(32) as ObjectId };
        await expect(collectBytes(forge.readFile(project.id, { entry, hint: 1 }))).rejects.toEqual(
          code("not-found"),
        );
      });

      test("diff() gives both sides of every change in path order", async () => {
        const changes = await collect(forge.diff(project.id, { from: at(1), to: at(2) }));
        expect(changes.map((change) => change.path)).toEqual(["a.txt", "big.bin", "dir/b"]);
        expect(changes[0]).toMatchObject({
          before: { entry: { size: 5 }, hint: 1 },
          after: { entry: { size: 7 }, hint: 2 },
        });
        expect(changes[1]).toMatchObject({ before: undefined, after: { entry: { size: big.length } } });
        expect(changes[2]).toMatchObject({ before: { entry: { kind: "executable" } }, after: undefined });
        const back = await collect(forge.diff(project.id, { from: at(2), to: at(1) }));
        expect(back).toEqual(
          changes.map((change) => ({ path: change.path, before: change.after, after: change.before })),
        );
        expect(await collect(forge.diff(project.id, { from: at(2), to: at(2) }))).toEqual([]);
        const some = await collect(forge.diff(project.id, { from: at(1), to: at(2), paths: [path("dir")] }));
        expect(some.map((change) => change.path)).toEqual(["dir/b"]);
        await expect(collect(forge.diff(project.id, { from: at(1), to: at(3) }))).rejects.toEqual(
          code("out-of-range"),
        );
      });

      test("fetch() streams changes first, then each new content once", async () => {
        const fetched = await fetchAll(forge, project.id, { from: at(0), to: at(2) });
        expect(fetched.changes.map((change) => change.path)).toHaveLength(8);
        const contents = fetched.texts();
        for (const text of ["", "a.txt", "changed", "epsilon", "gamma", "unicode"]) {
          expect(contents).toContain(text);
        }
        expect(fetched.announced).toBe(7);
        const chunked = fetched.changes.find((change) => change.path === "big.bin")!.after!;
        const list = fetched.objects.get(chunked.entry.chunks!)!;
        const { chunks } = decodeChunkList(list.content, list.sidecar);
        const wants = chunks.map((chunk) => ({ id: chunk.id, hint: chunk.hint || chunked.hint }));
        const pieces = await objectsOf(forge.readObjects(project.id, wants));
        const content = Buffer.concat(chunks.map((chunk) => pieces.get(chunk.id)!.content));
        expect(hashObject(content)).toBe(chunked.entry.id);
      });

      test("fetch() between positions sends only what changed, filtered by path", async () => {
        const forward = await fetchAll(forge, project.id, { from: at(1), to: at(2), paths: [path("a.txt")] });
        expect(forward.changes.map((change) => change.path)).toEqual(["a.txt"]);
        expect(forward.texts()).toContain("changed");
        expect(forward.announced).toBe(1);
        const back = await fetchAll(forge, project.id, { from: at(2), to: at(1) });
        expect(back.texts()).toEqual(expect.arrayContaining(["alpha", "beta"]));
        expect(back.announced).toBe(2);
        const nothing = await fetchAll(forge, project.id, { from: at(2), to: at(2) });
        expect(nothing).toMatchObject({ changes: [], announced: 0 });
      });

      test("readObjects() refuses an object that is not there", async () => {
        const wants = [{ id: "ab".repeat(32) as ObjectId, hint: 0 }];
        await expect(objectsOf(forge.readObjects(project.id, wants))).rejects.toEqual(code("not-found"));
      });
    });

    describe("blame", () => {
      let project: TestProject;
      beforeEach(async () => {
        project = await TestProject.create(forge, "acme/app");
      });

      async function blamed(position: number, name: string): Promise<string[]> {
        const lines = await forge.blame(project.id, at(position), path(name));
        expect(lines.map((line) => line.line)).toEqual(lines.map((_, i) => i + 1));
        return lines.map((line) => `${line.position} ${line.text}`);
      }

      test("each line names the landing that brought it in", async () => {
        await project.land({ goal: "one", put: { f: "a\nb\nc\n" } });
        await project.land({ goal: "two", put: { other: "x" } });
        await project.land({ goal: "three", put: { f: "a\nB\nc\nd\n" }, author: "Grace" });
        await project.land({ goal: "four", put: { f: "zero\na\nB\nd\n" } });
        expect(await blamed(4, "f")).toEqual(["4 zero", "1 a", "3 B", "3 d"]);
        expect(await blamed(1, "f")).toEqual(["1 a", "1 b", "1 c"]);
        const [, , third] = await forge.blame(project.id, at(4), path("f"));
        expect(third).toMatchObject({ author: "Grace", goal: "three", text: "B" });
      });

      test("a renamed file is followed", async () => {
        await project.land({ put: { old: "a\nb\n" } });
        await project.land({ put: { new: "a\nb\n" }, delete: ["old"] });
        await project.land({ put: { new: "a\nB\n" } });
        expect(await blamed(3, "new")).toEqual(["1 a", "3 B"]);
      });

      test("a file that was deleted and made again starts anew", async () => {
        await project.land({ put: { f: "a\n" } });
        await project.land({ delete: ["f"] });
        await project.land({ put: { f: "a\nb" } });
        expect(await blamed(3, "f")).toEqual(["3 a", "3 b"]);
      });

      test("the walk ends where the file was no text", async () => {
        await project.land({ put: { f: Uint8Array.of(0, 1), g: { kind: "symlink", content: "f" } } });
        await project.land({ put: { f: "a\n", g: "b\n" } });
        await project.land({ put: { f: "a\nb\n", g: { kind: "executable", content: "b\n" } } });
        expect(await blamed(3, "f")).toEqual(["2 a", "3 b"]);
        expect(await blamed(3, "g")).toEqual(["2 b"]);
      });

      test("bytes that are not UTF-8 are shown all the same", async () => {
        await project.land({ put: { f: Uint8Array.of(0x61, 0xe9, 0x0a) } });
        expect(await blamed(1, "f")).toEqual(["1 aé"]);
      });

      test("an empty file has no lines; CR LF is no part of a line", async () => {
        await project.land({ put: { empty: "", crlf: "a\r\nb\r\n" } });
        expect(await blamed(1, "empty")).toEqual([]);
        expect(await blamed(1, "crlf")).toEqual(["1 a", "1 b"]);
      });

      test("binary files and symlinks are unsupported, absent ones not found", async () => {
        await project.land({
          put: { bin: Uint8Array.of(1, 0, 2), link: { kind: "symlink", content: "bin" }, "d/x": "1" },
        });
        for (const each of ["bin", "link"]) {
          await expect(forge.blame(project.id, at(1), path(each))).rejects.toEqual(code("unsupported"));
        }
        for (const each of ["none", "d"]) {
          await expect(forge.blame(project.id, at(1), path(each))).rejects.toEqual(code("not-found"));
        }
      });
    });

    describe("importing", () => {
      let project: TestProject;
      let copy: ProjectId;
      const salt = "0123456789abcdef";
      const zero = { position: at(0), root: EMPTY_ROOT };

      beforeEach(async () => {
        const { id } = await forge.createProject({ id: newId(), name: "acme/app", salt });
        project = new TestProject(forge, id);
        copy = (await forge.createProject({ id: newId(), name: "acme/copy", salt })).id;
        await project.land({ goal: "first", put: { a: "1", "d/x": "1", big: large("one") } });
        const { base } = project;
        const request = { decisions: ["why"], conversation: [{ role: "user", text: "do" }], agent: "bot" };
        await project.land({ goal: "second", put: { a: "2" }, author: "Grace <grace@example.org>", request });
        await project.land({ goal: "beside", base, put: { b: "1" }, delete: ["d/x"] });
      });

      async function landings(): Promise<Landing[]> {
        return await Promise.all([1, 2, 3].map((position) => forge.getLanding(project.id, at(position))));
      }

      /** The content of those landings, as one upload. */
      async function content(): Promise<Frame[]> {
        return project.request({ put: { a: "1", b: "2", big: large("one") } }).frames.slice();
      }

      test("imported landings are what they were", async () => {
        const all = await landings();
        const head = await forge.importLandings(copy, {
          after: zero,
          landings: all,
          packs: [],
          frames: await content(),
        });
        expect(head).toEqual(await forge.getHead(project.id));
        expect(await forge.getHead(copy)).toEqual(head);
        for (const landing of all) {
          expect(await forge.getLanding(copy, landing.position)).toEqual(landing);
          const { landingId, position, root, session } = landing;
          const found = await forge.findLanding(copy, landingId, at(0));
          expect(found).toEqual({ position, root, session });
        }
        const copied = new TestProject(forge, copy);
        expect(await copied.read(2, "a")).toBe("2");
        expect(await copied.read(1, "d/x")).toBe("1");
        expect(await copied.read(3, "big")).toBe(await project.read(1, "big"));
        expect((await forge.fsck(copy)).findings).toEqual([]);
      });

      test("content may have been uploaded as a pack, and history goes on from there", async () => {
        const pack = await forge.putPack(copy, encodePack(await content()).bytes);
        const all = await landings();
        const { position, root } = await forge.importLandings(copy, {
          after: zero,
          landings: all,
          packs: [pack],
          frames: [],
        });
        const copied = new TestProject(forge, copy);
        copied.base = { position, root };
        expect(await copied.land({ put: { a: "3" } })).toMatchObject({ position: 4 });
        expect(await copied.read(1, "big")).toBe(await project.read(1, "big"));
        expect((await forge.fsck(copy)).findings).toEqual([]);
      });

      test("importing again is harmless, in parts too", async () => {
        const [first, ...rest] = await landings();
        const frames = await content();
        const part = { after: zero, landings: [first!], packs: [], frames };
        const one = await forge.importLandings(copy, part);
        expect(one).toMatchObject({ position: 1, root: first!.root });
        expect(await forge.importLandings(copy, part)).toEqual(one);
        const after = { position: at(1), root: first!.root };
        const head = await forge.importLandings(copy, { after, landings: rest, packs: [], frames });
        expect(head).toEqual(await forge.getHead(project.id));
        expect(await forge.importLandings(copy, part)).toEqual(head);
        const again = { after, landings: rest, packs: [], frames: [] };
        expect(await forge.importLandings(copy, again)).toEqual(head);
      });

      test("a landing that came in between is history-changed, and nothing is imported", async () => {
        const own = await new TestProject(forge, copy).land({ put: { mine: "1" } });
        const request = { landings: await landings(), packs: [], frames: await content() };
        await expect(forge.importLandings(copy, { ...request, after: zero })).rejects.toEqual(
          code("history-changed"),
        );
        const beyond = { position: at(3), root: own.root };
        await expect(forge.importLandings(copy, { ...request, landings: [], after: beyond })).rejects.toEqual(
          code("history-changed"),
        );
        expect(await forge.getHead(copy)).toMatchObject({ position: 1, root: own.root });
      });

      test("a landing that is not what it says is refused with all that come with it", async () => {
        const all = await landings();
        const frames = await content();
        const [first, second, third] = all as [Landing, Landing, Landing];
        const wrongRoot = "ab".repeat(32) as ObjectId;
        const cases: readonly (readonly [string, Landing[]])[] = [
          ["corrupt", [first, second, { ...third, operations: third.operations.slice(1) }]],
          ["corrupt", [first, { ...second, root: wrongRoot }]],
          ["corrupt", [first, { ...second, parentRoot: wrongRoot }]],
          ["corrupt", [first, { ...second, base: { position: at(1), root: wrongRoot } }]],
          ["corrupt", [first, { ...second, base: { position: at(2), root: second.root } }]],
          ["corrupt", [first, { ...second, hlc: first.hlc }]],
          ["corrupt", [first, { ...second, landingId: first.landingId }]],
          ["usage", [first, third]],
          ["usage", [second]],
          ["usage", [{ ...first, goal: "" }]],
          ["unsafe-path", [{ ...first, operations: [{ ...first.operations[0]!, path: ".git/x" as never }] }]],
        ];
        for (const [expected, some] of cases) {
          await expect(
            forge.importLandings(copy, { after: zero, landings: some, packs: [], frames }),
          ).rejects.toEqual(code(expected));
        }
        expect((await forge.getHead(copy)).position).toBe(0);
        await forge.importLandings(copy, { after: zero, landings: [first], packs: [], frames });
        const again = { ...second, landingId: first.landingId };
        for (const next of [{ ...second, hlc: first.hlc }, again]) {
          const after = { position: at(1), root: first.root };
          const request = { after, landings: [next], packs: [], frames };
          await expect(forge.importLandings(copy, request)).rejects.toEqual(code("corrupt"));
        }
      });

      test("content that was never sent is refused", async () => {
        const request = { after: zero, landings: await landings(), packs: [], frames: [] };
        await expect(forge.importLandings(copy, request)).rejects.toEqual(code("not-found"));
        expect((await forge.getHead(copy)).position).toBe(0);
      });

      test("an imported session is what it was, and importing it again is harmless", async () => {
        const owner = "Ada <ada@example.org>";
        const { id } = await forge.startSession(project.id, {
          id: mintSessionId(systemRandom),
          goal: "g",
          owner,
        });
        await forge.recordDecision(project.id, id, "one");
        await forge.recordConversation(project.id, id, [{ role: "user", text: "hi" }]);
        const { operations } = project.request({ put: { a: "3" }, delete: ["b"] });
        const session = await forge.recordOperations(project.id, id, [...operations]);
        await expect(forge.importSession(copy, session)).rejects.toMatchObject({
          code: expect.stringMatching(/^(history-changed|out-of-range)$/),
        });
        const request = { after: zero, landings: await landings(), packs: [], frames: await content() };
        await forge.importLandings(copy, request);
        await forge.importSession(copy, session);
        await forge.importSession(copy, session);
        expect(await forge.getSession(copy, id)).toEqual(session);
        const later = await forge.recordDecision(project.id, id, "two");
        await forge.importSession(copy, later);
        expect(await forge.getSession(copy, id)).toEqual(later);
        await forge.recordDecision(copy, id, "here");
        await expect(forge.importSession(copy, later)).rejects.toEqual(code("already-exists"));
        const landed = {
          ...later,
          id: mintSessionId(systemRandom),
          state: "landed",
          landedAt: at(3),
        } as const;
        await expect(forge.importSession(copy, landed)).rejects.toEqual(code("history-changed"));
      });

      test("abandoned, conflicted and landed sessions keep their state", async () => {
        const owner = "Ada <ada@example.org>";
        const start = async () => {
          const id = mintSessionId(systemRandom);
          return await forge.startSession(project.id, { id, goal: "g", owner });
        };
        const [abandoned, conflicted, landed] = [await start(), await start(), await start()];
        await forge.abandonSession(project.id, abandoned.id);
        const { base } = abandoned;
        await project.land({ put: { a: "2" }, request: { session: landed.id } });
        await project.tryLand({ base, put: { a: "1" }, request: { session: conflicted.id } });
        const all = [...(await landings()), await forge.getLanding(project.id, at(4))];
        const frames = await content();
        await forge.importLandings(copy, { after: zero, landings: all, packs: [], frames });
        for (const { id } of [abandoned, conflicted, landed]) {
          const session = await forge.getSession(project.id, id);
          await forge.importSession(copy, session);
          expect(await forge.getSession(copy, id)).toEqual(session);
        }
        const states = (await forge.listSessions(copy, {})).items.map((each) => each.state);
        expect(states.sort()).toEqual(["abandoned", "conflicted", "landed", "landed", "landed", "landed"]);
      });
    });

    describe("sessions", () => {
      let project: TestProject;
      const owner = "Ada <ada@example.org>";
      beforeEach(async () => {
        project = await TestProject.create(forge, "acme/app");
        await project.land({ put: { a: "1" } });
      });

      async function start(goal: string, by = owner) {
        return await forge.startSession(project.id, { id: mintSessionId(systemRandom), goal, owner: by });
      }

      test("a started session is open at the head and can be read", async () => {
        const session = await start("the goal");
        expect(session).toMatchObject({ goal: "the goal", owner, state: "open", base: project.base });
        expect(session).toMatchObject({ operations: [], decisions: [], conversation: [] });
        expect(await forge.getSession(project.id, session.id)).toEqual(session);
        const again = { id: session.id, goal: "the goal", owner };
        expect(await forge.startSession(project.id, again)).toEqual(session);
        await expect(forge.startSession(project.id, { ...again, goal: "other" })).rejects.toEqual(
          code("already-exists"),
        );
      });

      test("a base is checked against the history", async () => {
        const request = { id: mintSessionId(systemRandom), goal: "g", owner };
        const base = { position: at(0), root: EMPTY_ROOT };
        expect(await forge.startSession(project.id, { ...request, base })).toMatchObject({ base });
        const id = mintSessionId(systemRandom);
        const wrong = { position: at(1), root: EMPTY_ROOT };
        await expect(forge.startSession(project.id, { ...request, id, base: wrong })).rejects.toEqual(
          code("history-changed"),
        );
        const beyond = { position: at(9), root: EMPTY_ROOT };
        await expect(forge.startSession(project.id, { ...request, id, base: beyond })).rejects.toEqual(
          code("out-of-range"),
        );
      });

      test("operations, decisions and conversation are recorded in order", async () => {
        const { id } = await start("g");
        const [put] = project.request({ put: { b: "1" } }).operations;
        const [changed] = project.request({ put: { b: "22" } }).operations;
        await forge.recordOperations(project.id, id, [put!, { kind: "delete", path: path("a") }]);
        await forge.recordOperations(project.id, id, [changed!]);
        await forge.recordDecision(project.id, id, "one");
        await forge.recordDecision(project.id, id, "two");
        await forge.recordConversation(project.id, id, [
          { role: "user", text: "hi" },
          { role: "agent", text: "🚀" },
        ]);
        expect(await forge.getSession(project.id, id)).toMatchObject({
          state: "open",
          operations: [{ kind: "delete", path: "a" }, changed],
          decisions: ["one", "two"],
          conversation: [
            { role: "user", text: "hi" },
            { role: "agent", text: "🚀" },
          ],
        });
      });

      test("concurrent records are all kept", async () => {
        const { id } = await start("g");
        await Promise.all(
          Array.from({ length: 12 }, (_, i) => forge.recordDecision(project.id, id, `decision ${i}`)),
        );
        const { decisions } = await forge.getSession(project.id, id);
        expect([...decisions].sort()).toEqual(Array.from({ length: 12 }, (_, i) => `decision ${i}`).sort());
      });

      test("a landing copies what the session recorded, and the log says that it landed", async () => {
        const { id } = await start("g");
        await forge.recordDecision(project.id, id, "one");
        await forge.recordConversation(project.id, id, [{ role: "user", text: "hi" }]);
        const landed = await project.land({
          put: { b: "1" },
          request: { session: id, decisions: ["at the end"] },
        });
        expect(landed.session).toBe(id);
        const landing = await forge.getLanding(project.id, landed.position);
        expect(landing).toMatchObject({
          session: id,
          decisions: ["one", "at the end"],
          conversation: [{ role: "user", text: "hi" }],
        });
        expect(await forge.getSession(project.id, id)).toMatchObject({ state: "landed", landedAt: 2 });
        await expect(forge.recordDecision(project.id, id, "late")).rejects.toEqual(code("landed"));
        await expect(forge.abandonSession(project.id, id)).rejects.toEqual(code("landed"));
      });

      test("a landing without a session has one that is read from the log", async () => {
        const landed = await project.land({ goal: "alone", put: { b: "1" }, request: { decisions: ["d"] } });
        const session = await forge.getSession(project.id, landed.session);
        expect(session).toMatchObject({ goal: "alone", owner, state: "landed", landedAt: 2 });
        expect(session).toMatchObject({ decisions: ["d"], operations: [{ kind: "put", path: "b" }] });
        await expect(forge.recordDecision(project.id, landed.session, "late")).rejects.toEqual(
          code("landed"),
        );
      });

      test("a conflict is noted and the session can land later", async () => {
        const { id } = await start("g");
        const { base } = project;
        await project.land({ put: { a: "2" } });
        expect(await project.tryLand({ base, put: { a: "3" }, request: { session: id } })).toMatchObject({
          kind: "conflict",
        });
        expect(await forge.getSession(project.id, id)).toMatchObject({ state: "conflicted" });
        await forge.recordDecision(project.id, id, "merge");
        await project.land({ put: { a: "3" }, request: { session: id } });
        expect(await forge.getSession(project.id, id)).toMatchObject({ state: "landed", landedAt: 3 });
      });

      test("an abandoned session records and lands nothing more", async () => {
        const { id } = await start("g");
        expect(await forge.abandonSession(project.id, id)).toMatchObject({ state: "abandoned" });
        expect(await forge.abandonSession(project.id, id)).toMatchObject({ state: "abandoned" });
        await expect(forge.recordDecision(project.id, id, "late")).rejects.toEqual(code("usage"));
        await expect(project.tryLand({ put: { b: "1" }, request: { session: id } })).rejects.toEqual(
          code("usage"),
        );
        expect((await forge.getHead(project.id)).position).toBe(1);
      });

      test("sessions are listed in pages and filtered by state and owner", async () => {
        const open = await start("open");
        const other = await start("other", "Grace");
        const abandoned = await start("abandoned");
        await forge.abandonSession(project.id, abandoned.id);
        const landing = await start("landing");
        await project.land({ put: { b: "1" }, request: { session: landing.id } });
        const list = async (filter: Parameters<Forge["listSessions"]>[1]): Promise<string[]> => {
          const goals: string[] = [];
          let after: string | undefined;
          do {
            const page = await forge.listSessions(project.id, {
              ...filter,
              limit: 2,
              ...(after === undefined ? {} : { after }),
            });
            expect(page.items.length).toBeLessThanOrEqual(2);
            goals.push(...page.items.map((session) => session.goal));
            after = page.next;
          } while (after !== undefined);
          return goals.sort();
        };
        expect(await list({})).toEqual(["a change", "abandoned", "landing", "open", "other"]);
        expect(await list({ state: "open" })).toEqual(["open", "other"]);
        expect(await list({ state: "landed" })).toEqual(["a change", "landing"]);
        expect(await list({ state: "abandoned" })).toEqual(["abandoned"]);
        expect(await list({ owner: "Grace" })).toEqual(["other"]);
        expect(await list({ owner: "Grace", state: "landed" })).toEqual([]);
        const [first] = (await forge.listSessions(project.id, { state: "open", owner })).items;
        expect(first).toEqual(
          expect.objectContaining({ id: open.id, goal: "open", owner: open.owner, base: open.base }),
        );
        expect(other.owner).toBe("Grace");
      });

      test("an unknown session is not found", async () => {
        const id = mintSessionId(systemRandom);
        await expect(forge.getSession(project.id, id)).rejects.toEqual(code("not-found"));
        await expect(forge.recordDecision(project.id, id, "x")).rejects.toEqual(code("not-found"));
        await expect(forge.abandonSession(project.id, id)).rejects.toEqual(code("not-found"));
      });
    });

    describeStoredContent(() => forge);

    test("fsck() finds nothing in a sound project and reports progress", async () => {
      const project = await TestProject.create(forge, "acme/app");
      await project.land({ put: { a: "1", "d/x": "2", big: Buffer.alloc(1_500_000, "big") } });
      await project.land({ put: { a: "2" }, delete: ["d/x"] });
      const { id } = await forge.startSession(project.id, {
        id: mintSessionId(systemRandom),
        goal: "g",
        owner: "Ada",
      });
      await forge.recordDecision(project.id, id, "d");
      const seen: number[] = [];
      const report = await forge.fsck(project.id, { onProgress: ({ done }) => seen.push(done) });
      expect(report.findings).toEqual([]);
      expect(report).toMatchObject({ positions: 2 });
      expect(report.packs).toBeGreaterThan(0);
      expect(report.objects).toBeGreaterThan(report.packs);
      expect(report.bytes).toBeGreaterThan(0);
      expect(seen.length).toBeGreaterThan(0);
    });

    test("an abort in the middle of a stream ends it", async () => {
      const project = await TestProject.create(forge, "acme/app");
      const names = Array.from({ length: 3000 }, (_, i) => `d${i % 50}/file-${i}`);
      await project.land({ put: Object.fromEntries(names.map((name) => [name, `content of ${name}`])) });
      const range = { from: at(0), to: at(1) };
      const streams: Record<string, (options: CallOptions) => AsyncIterable<unknown>> = {
        listEntries: (options) => forge.listEntries(project.id, at(1), undefined, options),
        diff: (options) => forge.diff(project.id, range, options),
        fetch: (options) => forge.fetch(project.id, range, options),
      };
      for (const [method, open] of Object.entries(streams)) {
        const controller = new AbortController();
        const read = async (): Promise<void> => {
          for await (const item of open({ signal: controller.signal })) {
            expect(item).toBeDefined();
            controller.abort();
          }
        };
        await expect(read(), method).rejects.toEqual(code("aborted"));
      }
      const changes = await collect(forge.diff(project.id, range));
      expect(changes).toHaveLength(names.length);
    });

    test("an aborted signal stops every call", async () => {
      const project = await TestProject.create(forge, "acme/app");
      await project.land({ put: { a: "1" } });
      const { id: session } = await forge.startSession(project.id, {
        id: mintSessionId(systemRandom),
        goal: "g",
        owner: "Ada",
      });
      const found = await forge.getPath(project.id, at(1), path("a"));
      if (found?.kind !== "entry") throw new Error("a is missing");
      const { id } = project;
      const request = project.request({ put: { b: "1" } });
      const options: CallOptions = { signal: AbortSignal.abort() };
      const range = { from: at(0), to: at(1) };
      const start = { id: mintSessionId(systemRandom), goal: "g", owner: "Ada" };
      const wants = [{ id: found.entry.id, hint: 1 }];
      const calls: Record<string, () => Promise<unknown>> = {
        createProject: () => forge.createProject({ id: newId(), name: "acme/b" }, options),
        getProject: () => forge.getProject("acme/app", options),
        listProjects: () => forge.listProjects({}, options),
        updateProject: () => forge.updateProject(id, { description: "x" }, options),
        deleteProject: () => forge.deleteProject(id, options),
        getHead: () => forge.getHead(id, options),
        getPosition: () => forge.getPosition(id, at(1), options),
        putPack: () => forge.putPack(id, new Uint8Array(10), options),
        putBlob: () => forge.putBlob(id, inPieces(new Uint8Array(10)), options),
        findContent: () => forge.findContent(id, found.entry, options),
        landSession: () => {
          const { landingId, author, agent } = request;
          return forge.landSession(id, { session, landingId, author, agent }, options);
        },
        land: () => forge.land(id, request, options),
        findLanding: () => forge.findLanding(id, request.landingId, at(0), options),
        listLandings: () => collect(forge.listLandings(id, {}, options)),
        getLanding: () => forge.getLanding(id, at(1), options),
        getPath: () => forge.getPath(id, at(1), path("a"), options),
        listDirectory: () => forge.listDirectory(id, { at: at(1), dir: "" }, options),
        listEntries: () => collect(forge.listEntries(id, at(1), undefined, options)),
        diff: () => collect(forge.diff(id, range, options)),
        fetch: () => drain(forge.fetch(id, range, options)),
        readObjects: () => drain(forge.readObjects(id, wants, options)),
        readFile: () => drain(forge.readFile(id, found, options)),
        blame: () => forge.blame(id, at(1), path("a"), options),
        startSession: () => forge.startSession(id, start, options),
        getSession: () => forge.getSession(id, session, options),
        listSessions: () => forge.listSessions(id, {}, options),
        recordOperations: () => forge.recordOperations(id, session, [...request.operations], options),
        recordDecision: () => forge.recordDecision(id, session, "x", options),
        recordConversation: () => forge.recordConversation(id, session, [], options),
        abandonSession: () => forge.abandonSession(id, session, options),
        fsck: () => forge.fsck(id, options),
      };
      for (const [method, call] of Object.entries(calls)) {
        await expect(call(), method).rejects.toEqual(code("aborted"));
      }
      expect((await forge.getHead(id)).position).toBe(1);
      expect(await forge.getSession(id, session)).toMatchObject({ state: "open", decisions: [] });
    });
  });
}

interface Received {
  readonly kind: string;
  readonly content: Uint8Array;
  readonly sidecar: Uint8Array;
}

async function drain(items: AsyncIterable<unknown>): Promise<void> {
  for await (const item of items) expect(item).toBeDefined();
}

async function objectsOf(frames: AsyncIterable<Frame>): Promise<Map<ObjectId, Received>> {
  const objects = new Map<ObjectId, Received>();
  for await (const frame of frames) for (const [id, object] of openFrame(frame)) objects.set(id, object);
  return objects;
}

function openFrame(frame: Frame): Map<ObjectId, Received> {
  const raw = openVerifiedFrame(frame);
  return new Map(frame.objects.map((object) => [object.id, sliceObject(raw, object)]));
}

/** Everything of a fetch, with the promised order checked; a stored frame may hold other objects too. */
async function fetchAll(
  forge: Forge,
  project: ProjectId,
  request: Parameters<Forge["fetch"]>[1],
): Promise<{
  readonly changes: readonly TreeChange[];
  readonly announced: number;
  readonly objects: Map<ObjectId, Received>;
  texts(): string[];
}> {
  const changes: TreeChange[] = [];
  const objects = new Map<ObjectId, Received>();
  let announced = -1;
  for await (const item of forge.fetch(project, request)) {
    if (item.kind === "changes") {
      expect(announced).toBe(-1);
      changes.push(...item.changes);
    } else if (item.kind === "content") {
      expect(announced).toBe(-1);
      announced = item.objects;
    } else {
      expect(announced).toBeGreaterThanOrEqual(0);
      for (const [id, object] of openFrame(item.frame)) {
        expect(objects.has(id)).toBe(false);
        objects.set(id, object);
      }
    }
  }
  expect(changes.map((change) => change.path)).toEqual(changes.map((each) => each.path).sort(comparePaths));
  for (const { after } of changes) {
    if (after !== undefined && announced > 0)
      expect([...objects.keys()]).toContain(after.entry.chunks ?? after.entry.id);
  }
  const texts = (): string[] => [...objects.values()].map((each) => Buffer.from(each.content).toString());
  return { changes, announced, objects, texts };
}
