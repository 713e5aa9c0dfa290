import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, readlinkSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Validator } from "@seriousme/openapi-schema-validator";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { utf8 } from "../../src/core/base/bytes.ts";
import { hashObject } from "../../src/core/base/hash.ts";
import { encodePack } from "../../src/core/codec/pack.ts";
import { ROUTES } from "../../src/server/rest/routes.ts";
import { framesOf, testObject } from "../support/packs.ts";
import { type RestClient, RestServer } from "../support/rest-server.ts";

/** One project through every endpoint; the client checks each answer against the table of routes. */

let server: RestServer;
let client: RestClient;
const P = "/api/mic/projects/acme%2Fapp";

beforeAll(async () => {
  server = await RestServer.start();
  client = server.client();
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
});

async function landFiles(
  files: Readonly<Record<string, string | null>>,
  goal: string,
  session?: Readonly<Record<string, unknown>>,
  kinds: Readonly<Record<string, string>> = {},
  project: string = P,
) {
  const started = await client.post(`${project}/sessions`, { goal, ...session });
  expect(started.status).toBe(201);
  const operations: unknown[] = [];
  for (const [path, text] of Object.entries(files)) {
    if (text === null) {
      operations.push({ op: "delete", path });
      continue;
    }
    const blob = await client.call("POST", `${project}/blobs`, { bytes: text });
    expect(blob.status).toBe(201);
    operations.push({
      op: "put",
      path,
      ...blob.json,
      ...(kinds[path] === undefined ? {} : { kind: kinds[path] }),
    });
  }
  const at = `${project}/sessions/${started.json.id}`;
  expect((await client.post(`${at}/operations`, { operations })).status).toBe(200);
  return await client.post(`${at}/land`);
}

describe("a project over REST", () => {
  test("organizations are created, listed and read", async () => {
    const made = await client.post("/api/mic/organizations", { name: "acme", description: "Anvils" });
    expect(made).toMatchObject({ status: 201, json: { name: "acme", description: "Anvils" } });
    expect(made.headers.get("location")).toBe("/api/mic/organizations/acme");
    expect((await client.post("/api/mic/organizations", { name: "acme" })).json.code).toBe("already-exists");
    expect((await client.get("/api/mic/organizations")).json.items).toHaveLength(1);
    expect((await client.get("/api/mic/organizations/acme")).json).toEqual(made.json);
    expect((await client.get("/api/mic/organizations/none")).status).toBe(404);
  });

  test("a creation sent again with its id answers with the same project", async () => {
    const id = "0123456789abcdef0123456789abcdef";
    const made = await client.post("/api/mic/projects", { id, name: "acme/app", description: "An app" });
    expect(made).toMatchObject({ status: 201, json: { id, name: "acme/app", visibility: "private" } });
    expect(made.headers.get("location")).toBe(`/api/mic/projects/${id}`);
    expect(
      (await client.post("/api/mic/projects", { id, name: "acme/app", description: "An app" })).json,
    ).toEqual(made.json);
    expect((await client.post("/api/mic/projects", { name: "acme/app" })).json.code).toBe("already-exists");
    expect((await client.get(P)).json).toEqual(made.json);
    expect((await client.get(`/api/mic/projects/${id}`)).json).toEqual(made.json);
  });

  test("projects are listed in pages, by organization", async () => {
    for (const name of ["acme/b", "other/c"]) await client.post("/api/mic/projects", { name });
    const first = await client.get("/api/mic/projects?limit=2");
    expect(first.json.items.map((item: { name: string }) => item.name)).toEqual(["acme/app", "acme/b"]);
    const second = await client.get(`/api/mic/projects?limit=2&after=${encodeURIComponent(first.json.next)}`);
    expect(second.json.items.map((item: { name: string }) => item.name)).toEqual(["other/c"]);
    expect(second.json.next).toBeUndefined();
    expect((await client.get("/api/mic/projects?org=other")).json.items).toHaveLength(1);
  });

  test("a rename leaves a redirect, a deletion nothing", async () => {
    const b = "/api/mic/projects/acme%2Fb";
    const renamed = await client.call("PATCH", b, { body: { name: "acme/bb", visibility: "public" } });
    expect(renamed).toMatchObject({ status: 200, json: { name: "acme/bb", visibility: "public" } });
    expect((await client.get(b)).json.name).toBe("acme/bb");
    expect((await client.call("DELETE", b)).status).toBe(204);
    expect((await client.get(b)).status).toBe(404);
    expect((await client.call("DELETE", b)).status).toBe(404);
    expect((await client.get(`${b}/head`)).status).toBe(404);
  });

  test("a session records operations, decisions and conversation, and lands", async () => {
    const id = "a".repeat(32);
    const started = await client.post(`${P}/sessions`, { id, goal: "Say hello", owner: "bot" });
    expect(started).toMatchObject({ status: 201, json: { id, state: "open", base: { position: 0 } } });
    expect((await client.post(`${P}/sessions`, { id, goal: "Say hello", owner: "bot" })).json).toEqual(
      started.json,
    );
    const at = `${P}/sessions/${id}`;
    const blob = await client.call("POST", `${P}/blobs`, { bytes: "hello\n" });
    expect(blob.json).toEqual({
      hash: hashObject(utf8("hello\n")),
      size: 6,
    });
    const put = await client.post(`${at}/operations`, {
      operations: [{ op: "put", path: "hello.txt", hash: blob.json.hash }],
    });
    expect(put.json.recorded).toEqual({ operations: 1, decisions: 0, messages: 0 });
    await client.post(`${at}/decisions`, { text: "English first" });
    const said = await client.post(`${at}/conversation`, { messages: [{ role: "user", text: "Say hello" }] });
    expect(said.json.recorded).toEqual({ operations: 1, decisions: 1, messages: 1 });
    const landingId = "b".repeat(32);
    const landed = await client.post(`${at}/land`, {
      landingId,
      author: "Bot <bot@example.org>",
      agent: "robot/1",
    });
    expect(landed).toMatchObject({
      status: 200,
      json: { position: 1, session: id, landingId, conflicts: [] },
    });
    const again = { landingId, author: "Bot <bot@example.org>", agent: "robot/1" };
    expect((await client.post(`${at}/land`, again)).json).toEqual(landed.json);
    const read = await client.get(at);
    expect(read.json).toMatchObject({
      state: "landed",
      landedAt: 1,
      owner: "bot",
      decisions: ["English first"],
    });
    expect(read.json.operations).toEqual([{ op: "put", path: "hello.txt", kind: "file", ...blob.json }]);
    expect((await client.post(`${at}/decisions`, { text: "too late" })).json.code).toBe("landed");
    expect((await client.post(`${at}/abandon`)).json.code).toBe("landed");
  });

  test("a conflict answers 409 with the paths, and a landing id to land again under", async () => {
    const base = { base: 1 };
    const first = await landFiles({ "hello.txt": "hello there\n" }, "Be polite", base);
    expect(first.json.position).toBe(2);
    const second = await landFiles({ "hello.txt": "hi\n", "b.txt": "b\n" }, "Be short", base);
    expect(second).toMatchObject({ status: 409, json: { code: "conflict", paths: ["hello.txt"] } });
    expect(second.json.landingId).toMatch(/^[0-9a-f]{32}$/);
    expect((await client.get(`${P}/sessions?state=conflicted`)).json.items).toHaveLength(1);
  });

  test("an abandoned session lands nothing, twice abandoned is harmless", async () => {
    const { json } = await client.post(`${P}/sessions`, { goal: "Never mind" });
    const at = `${P}/sessions/${json.id}`;
    await client.post(`${at}/operations`, { operations: [{ op: "delete", path: "hello.txt" }] });
    expect((await client.post(`${at}/abandon`)).json.state).toBe("abandoned");
    expect((await client.post(`${at}/abandon`, {})).status).toBe(200);
    expect((await client.post(`${at}/land`)).status).toBe(400);
  });

  test("a session without operations has nothing to land", async () => {
    const { json } = await client.post(`${P}/sessions`, { goal: "Nothing" });
    expect((await client.post(`${P}/sessions/${json.id}/land`)).json.code).toBe("nothing-to-land");
  });

  test("a session at another tree than its base is refused", async () => {
    const body = { goal: "x", base: 1, tree: "1".repeat(64) };
    expect((await client.post(`${P}/sessions`, body)).json.code).toBe("history-changed");
    expect((await client.post(`${P}/sessions`, { goal: "x", base: 99 })).json.code).toBe("out-of-range");
  });

  test("content that nobody stored is named", async () => {
    const { json } = await client.post(`${P}/sessions`, { goal: "x" });
    const operations = [{ op: "put", path: "a", hash: "2".repeat(64) }];
    const answer = await client.post(`${P}/sessions/${json.id}/operations`, { operations });
    expect(answer.json).toMatchObject({ code: "not-found", paths: ["a"] });
  });

  test("sessions are listed by state and owner, in pages", async () => {
    expect((await client.get(`${P}/sessions?owner=bot`)).json.items).toHaveLength(1);
    const landed = (await client.get(`${P}/sessions?state=landed`)).json.items;
    expect(landed.map((each: { landedAt: number }) => each.landedAt).sort()).toEqual([1, 2]);
    const page = await client.get(`${P}/sessions?limit=2`);
    expect(page.json.items).toHaveLength(2);
    expect(
      (await client.get(`${P}/sessions?limit=2&after=${page.json.next}`)).json.items.length,
    ).toBeGreaterThan(0);
  });

  test("the head has a tag, and answers 304 while it stays", async () => {
    const head = await client.get(`${P}/head`);
    expect(head.json.position).toBe(2);
    const etag = head.headers.get("etag")!;
    expect((await client.get(`${P}/head`, { "if-none-match": etag })).status).toBe(304);
    expect((await client.get(`${P}/head`, { "if-none-match": `"x", W/${etag}` })).status).toBe(304);
    expect((await client.get(`${P}/head`, { "if-none-match": '"x"' })).status).toBe(200);
    expect((await client.call("HEAD", `${P}/head`)).headers.get("etag")).toBe(etag);
    await landFiles(
      { "src/main.c": "int main;\n", "run.sh": "true\n", "d e/ü.txt": "ü\n", link: "src/main.c" },
      "More",
      {},
      {
        "run.sh": "executable",
        link: "symlink",
      },
    );
    const after = await client.get(`${P}/head`, { "if-none-match": etag });
    expect(after).toMatchObject({ status: 200, json: { position: 3 } });
  });

  test("a directory is listed in pages, a tree at once", async () => {
    const root = await client.get(`${P}/tree`);
    expect(root.json).toMatchObject({ position: 3, dir: "" });
    expect(root.json.items.map((item: { path: string; kind: string }) => [item.path, item.kind])).toEqual([
      ["d e", "directory"],
      ["hello.txt", "file"],
      ["link", "symlink"],
      ["run.sh", "executable"],
      ["src", "directory"],
    ]);
    const page = await client.get(`${P}/tree?limit=2&at=3`);
    expect(page.json.next).toBe("hello.txt");
    expect((await client.get(`${P}/tree?limit=2&after=hello.txt`)).json.items[0].path).toBe("link");
    expect((await client.get(`${P}/tree?dir=d+e`)).json.items[0]).toMatchObject({
      path: "d e/ü.txt",
      name: "ü.txt",
    });
    const all = await client.get(`${P}/tree?recursive=true`);
    expect(all.json.items.map((item: { path: string }) => item.path)).toEqual([
      "d e/ü.txt",
      "hello.txt",
      "link",
      "run.sh",
      "src/main.c",
    ]);
    expect((await client.get(`${P}/tree?recursive=true&dir=src`)).json.items).toHaveLength(1);
    expect((await client.get(`${P}/tree?recursive=true&dir=nope`)).status).toBe(404);
    expect((await client.get(`${P}/tree?dir=hello.txt`)).status).toBe(404);
    expect((await client.get(`${P}/tree?at=1`)).json.items).toHaveLength(1);
    expect((await client.get(`${P}/tree?at=0`)).json.items).toEqual([]);
    expect((await client.get(`${P}/tree?at=0&recursive`)).json.items).toEqual([]);
  });

  test("a file is read at any position, in ranges, with headers that keep it inert", async () => {
    const file = await client.get(`${P}/files/hello.txt`);
    expect(file.text).toBe("hello there\n");
    expect(Object.fromEntries(file.headers)).toMatchObject({
      "content-type": "application/octet-stream",
      "x-content-type-options": "nosniff",
      "content-security-policy": "default-src 'none'; sandbox",
      "accept-ranges": "bytes",
      "cache-control": "private, no-cache",
      "mic-kind": "file",
      "mic-position": "3",
      "content-length": "12",
    });
    const old = await client.get(`${P}/files/hello.txt?at=1`);
    expect(old.text).toBe("hello\n");
    expect(old.headers.get("cache-control")).toContain("immutable");
    const part = await client.get(`${P}/files/hello.txt`, { range: "bytes=6-100" });
    expect(part).toMatchObject({ status: 206, text: "there\n" });
    expect(part.headers.get("content-range")).toBe("bytes 6-11/12");
    expect((await client.get(`${P}/files/hello.txt`, { range: "bytes=-2" })).text).toBe("e\n");
    const beyond = await client.get(`${P}/files/hello.txt`, { range: "bytes=12-" });
    expect(beyond.status).toBe(416);
    expect(beyond.headers.get("content-range")).toBe("bytes */12");
    const etag = file.headers.get("etag")!;
    expect((await client.get(`${P}/files/hello.txt`, { "if-none-match": etag })).status).toBe(304);
    expect((await client.get(`${P}/files/hello.txt`, { range: "bytes=0-0", "if-range": '"x"' })).status).toBe(
      200,
    );
    expect((await client.get(`${P}/files/hello.txt`, { range: "bytes=0-0", "if-range": etag })).text).toBe(
      "h",
    );
    expect((await client.get(`${P}/files/link`)).headers.get("mic-kind")).toBe("symlink");
    expect((await client.get(`${P}/files/${encodeURIComponent("d e/ü.txt")}`)).text).toBe("ü\n");
    const head = await client.call("HEAD", `${P}/files/hello.txt`);
    expect(head.headers.get("content-length")).toBe("12");
    const directory = await client.get(`${P}/files/src`);
    expect(directory.json).toMatchObject({ status: 404, hint: "list it with …/tree?dir=src" });
    expect((await client.get(`${P}/files/nope`)).status).toBe(404);
  });

  test("content of any size is found by its hash", async () => {
    const large = Buffer.alloc(3_000_000);
    for (let i = 0; i < large.length; i++) large[i] = (i * 7919 + (i >> 8) * 31) & 0xff;
    const made = await client.call("POST", `${P}/blobs`, { bytes: large });
    expect(made.json).toMatchObject({ size: large.length, chunks: expect.stringMatching(/^[0-9a-f]{64}$/) });
    const read = await client.get(made.headers.get("location")!);
    expect(Buffer.compare(read.bytes, large)).toBe(0);
    expect(read.headers.get("cache-control")).toBe("private, max-age=31536000, immutable");
    const range = await client.get(made.headers.get("location")!, { range: "bytes=2000000-2000009" });
    expect(Buffer.compare(range.bytes, large.subarray(2_000_000, 2_000_010))).toBe(0);
    const etag = read.headers.get("etag")!;
    expect((await client.get(made.headers.get("location")!, { "if-none-match": etag })).status).toBe(304);
    expect((await client.get(`${P}/blobs/${"3".repeat(64)}`)).status).toBe(404);
    const empty = await client.call("POST", `${P}/blobs`, { bytes: "" });
    expect(empty.json.size).toBe(0);
    expect((await client.get(empty.headers.get("location")!)).bytes).toHaveLength(0);
  });

  test("a pack is stored, named by a landing and read back", async () => {
    const object = testObject("from a pack\n");
    const { bytes, id } = encodePack(framesOf([object]));
    const made = await client.call("POST", `${P}/packs`, { bytes });
    expect(made).toMatchObject({ status: 201, json: { pack: id, size: bytes.length } });
    const started = await client.post(`${P}/sessions`, { goal: "From a pack" });
    const at = `${P}/sessions/${started.json.id}`;
    const put = { op: "put", path: "packed.txt", hash: object.id, size: object.content.length };
    await client.post(`${at}/operations`, { operations: [put] });
    const landed = await client.post(`${at}/land`, { packs: [id] });
    expect(landed.json.position).toBe(4);
    expect((await client.get(`${P}/files/packed.txt`)).text).toBe("from a pack\n");
    const read = await client.get(`${P}/packs/${id}`);
    expect(Buffer.compare(read.bytes, bytes)).toBe(0);
    expect((await client.get(`${P}/packs/${id}`, { range: "bytes=0-3" })).text).toBe("MICP");
    expect((await client.call("POST", `${P}/packs`, { bytes: bytes.subarray(0, 50) })).status).toBe(400);
    expect((await client.get(`${P}/packs/${"4".repeat(64)}`)).status).toBe(404);
  });

  test("the archive unpacks to the files", async () => {
    const long = `${"long/".repeat(30)}name.txt`;
    await landFiles({ [long]: "long\n", "big.bin": "x".repeat(200_000), empty: "" }, "Shapes for an archive");
    const directory = mkdtempSync(join(tmpdir(), "mic-rest-archive-"));
    try {
      const archive = await client.get(`${P}/archive`);
      expect(archive.headers.get("mic-position")).toBe("5");
      writeFileSync(join(directory, "a.tar"), archive.bytes);
      execFileSync("tar", ["xf", "a.tar"], { cwd: directory });
      expect(readFileSync(join(directory, "hello.txt"), "utf8")).toBe("hello there\n");
      expect(readFileSync(join(directory, long), "utf8")).toBe("long\n");
      expect(readFileSync(join(directory, "d e/ü.txt"), "utf8")).toBe("ü\n");
      expect(statSync(join(directory, "big.bin")).size).toBe(200_000);
      expect(statSync(join(directory, "empty")).size).toBe(0);
      expect(statSync(join(directory, "run.sh")).mode & 0o111).toBe(0o111);
      expect(readlinkSync(join(directory, "link"))).toBe("src/main.c");
      const some = await client.get(`${P}/archive?at=3&dir=src`);
      writeFileSync(join(directory, "b.tar"), some.bytes);
      expect(execFileSync("tar", ["tf", "b.tar"], { cwd: directory }).toString()).toBe("src/main.c\n");
      expect((await client.get(`${P}/archive?at=0`)).bytes).toHaveLength(1024);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  test("landings are listed newest first, by path and author, in pages", async () => {
    const all = await client.get(`${P}/landings`);
    expect(all.json.items.map((each: { position: number }) => each.position)).toEqual([5, 4, 3, 2, 1]);
    const page = await client.get(`${P}/landings?limit=3`);
    expect(page.json.before).toBe(3);
    expect((await client.get(`${P}/landings?limit=3&before=2`)).json.items).toHaveLength(1);
    expect((await client.get(`${P}/landings?before=0`)).json.items).toEqual([]);
    expect((await client.get(`${P}/landings?since=2`)).json.items).toHaveLength(3);
    const touched = await client.get(`${P}/landings?path=hello.txt&path=src`);
    expect(touched.json.items.map((each: { position: number }) => each.position)).toEqual([3, 2, 1]);
    expect((await client.get(`${P}/landings?author=BOT`)).json.items).toHaveLength(1);
    const one = await client.get(`${P}/landings/1`);
    expect(one.json).toMatchObject({
      goal: "Say hello",
      author: "Bot <bot@example.org>",
      agent: "robot/1",
      decisions: ["English first"],
      conversation: [{ role: "user", text: "Say hello" }],
    });
    expect((await client.get(`${P}/landings/latest`)).json).toMatchObject({
      position: 5,
      author: "ada",
      agent: "",
    });
    expect((await client.get(`${P}/landings/99`)).status).toBe(400);
  });

  test("differences are JSON, or a patch that git applies", async () => {
    const diff = await client.get(`${P}/diff?from=1&to=3&stat=true`);
    expect(diff.json).toMatchObject({ from: 1, to: 3 });
    expect(diff.json.changes.map((each: { op: string; path: string }) => [each.op, each.path])).toEqual([
      ["add", "d e/ü.txt"],
      ["modify", "hello.txt"],
      ["add", "link"],
      ["add", "run.sh"],
      ["add", "src/main.c"],
    ]);
    expect(diff.json.changes[1]).toMatchObject({
      added: 1,
      removed: 1,
      before: { size: 6 },
      after: { size: 12 },
    });
    expect((await client.get(`${P}/diff?from=1&to=3&path=src`)).json.changes).toHaveLength(1);
    const patch = await client.get(`${P}/diff?from=1&to=3`, { accept: "text/x-diff" });
    expect(patch.headers.get("content-type")).toBe("text/x-diff");
    const directory = mkdtempSync(join(tmpdir(), "mic-rest-patch-"));
    try {
      execFileSync("git", ["init", "-q"], { cwd: directory });
      writeFileSync(join(directory, "hello.txt"), "hello\n");
      execFileSync("git", ["apply", "-"], { cwd: directory, input: patch.bytes });
      expect(readFileSync(join(directory, "hello.txt"), "utf8")).toBe("hello there\n");
      expect(readFileSync(join(directory, "d e/ü.txt"), "utf8")).toBe("ü\n");
      expect(readlinkSync(join(directory, "link"))).toBe("src/main.c");
    } finally {
      rmSync(directory, { recursive: true });
    }
    expect((await client.get(`${P}/diff?from=3&to=1&format=patch`)).text).toContain(
      "deleted file mode 120000",
    );
    expect((await client.get(`${P}/diff?from=2&to=2&format=patch`)).text).toBe("");
  });

  test("blame names the landing of each line", async () => {
    const lines = (await client.get(`${P}/blame/hello.txt`)).json.lines;
    expect(lines).toMatchObject([
      { line: 1, text: "hello there", position: 2, goal: "Be polite", author: "ada" },
    ]);
    expect((await client.get(`${P}/blame/hello.txt?at=1`)).json.lines[0].position).toBe(1);
    expect((await client.get(`${P}/blame/nope`)).status).toBe(404);
    expect((await client.get(`${P}/blame/link`)).status).toBe(501);
  });

  test("a policy that refuses secrets stops a session that stored one, and says where", async () => {
    await client.post("/api/mic/projects", { name: "acme/kept" });
    const secret = `first\n${["ghp", "q8Zr1Wk5VbT2mXc9LdJ7nYh3PfS6gRw4a0Q2"].join("_")}\n`;
    const project = "/api/mic/projects/acme%2Fkept";
    const land = (text: string) => landFiles({ "key.txt": text }, "A key", {}, {}, project);
    await landFiles({ ".micpolicy": "secrets = refuse\n" }, "Keep keys out", {}, {}, project);
    const refused = await land(secret);
    expect(refused).toMatchObject({
      status: 400,
      json: {
        code: "unsafe-path",
        paths: ["key.txt"],
        secrets: [{ path: "key.txt", line: 2, kind: "a GitHub token" }],
        landingId: expect.stringMatching(/^[0-9a-f]{32}$/),
      },
    });
    expect(refused.text).not.toContain(secret.slice(10, 20));
    expect((await client.get(`${project}/head`)).json.position).toBe(1);
    expect(await land("no key\n")).toMatchObject({ status: 200, json: { position: 2 } });
  });

  test("OpenAPI is valid, and says what is there", async () => {
    const document = await client.call("GET", "/api/openapi.json", { anonymous: true });
    expect(document.json.openapi).toBe("3.1.0");
    const result = await new Validator().validate(document.json);
    expect(result).toEqual({ valid: true });
    const described: string[] = [];
    for (const [path, item] of Object.entries<object>(document.json.paths)) {
      for (const method of Object.keys(item)) described.push(`${method.toUpperCase()} ${path}`);
    }
    const served = ROUTES.map(({ method, path }) => `${method} ${path.replace("{+", "{")}`);
    expect(described.sort()).toEqual(served.sort());
    const references = document.text.match(/"#\/components\/schemas\/\w+"/g) ?? [];
    expect(references.length).toBeGreaterThan(50);
    for (const reference of new Set(references)) {
      expect(document.json.components.schemas).toHaveProperty(reference.slice(1, -1).split("/").at(-1)!);
    }
    const etag = document.headers.get("etag")!;
    expect((await client.get("/api/openapi.json", { "if-none-match": etag })).status).toBe(304);
  });

  test("live streams answer with events", async () => {
    const landings = await client.get(`${P}/sessions/${"a".repeat(32)}/events`);
    expect(landings.text).toContain("event: state");
    const last = "id: 5\nevent: landing\ndata: {";
    const onText = (text: string): void => {
      if (text.includes(last)) server.drain.abort();
    };
    expect((await client.call("GET", `${P}/landings/events?after=0`, { onText })).text).toContain(last);
  });

  test("what is for anybody needs no token", async () => {
    for (const path of ["/SKILL.md", "/llms.txt"]) {
      const answer = await client.call("GET", path, { anonymous: true });
      expect(answer.status).toBe(200);
      expect(answer.text).toMatch(/^(?:---|#)/);
    }
  });

  test("every route of the table has answered with success above", () => {
    // These have stories of their own: rest-accounts.test.ts and those of webhooks.
    const told = ROUTES.filter(({ tag }) => !["account", "users", "members", "webhooks"].includes(tag));
    // On a bucket only: direct-transfer.test.ts.
    const elsewhere = ["startUpload", "finishUpload"];
    expect(told.map(({ id }) => id).filter((id) => !client.succeeded.has(id))).toEqual(elsewhere);
  });
});
