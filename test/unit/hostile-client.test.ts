/**
 * Clients that send what no client of ours would, to a real server over each of its transports. Every refusal has its
 * code, nothing of it is stored, and the server goes on in the memory it had.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { utf8 } from "../../src/core/base/bytes.ts";
import { isMicError } from "../../src/core/base/errors.ts";
import { hashObject } from "../../src/core/base/hash.ts";
import type { Position } from "../../src/core/base/ids.ts";
import type { TreePath } from "../../src/core/base/path.ts";
import { mintLandingId, mintSessionId } from "../../src/core/base/random.ts";
import { systemRandom } from "../../src/core/base/system.ts";
import { encodePack } from "../../src/core/codec/pack.ts";
import type { Forge, LandRequest } from "../../src/core/forge/forge.ts";
import { TestProject } from "../support/forge-project.ts";
import { BOMB_BYTES, FORBIDDEN_PATHS, lyingFrames, lyingPacks, repeated } from "../support/hostile-inputs.ts";
import { LyingServer, openClient } from "../support/lying-server.ts";
import { EMPTY_BASE, landRequest } from "../support/project-fixture.ts";
import { REFUSED_LANDINGS } from "../support/refused-landings.ts";
import { type RestClient, RestServer } from "../support/rest-server.ts";

const ZERO = 0 as Position;
const CONTENT = utf8("12");
/** Paths are refused for what they are, or for their length. */
const PATH_CODE = /^(unsafe-path|too-large)$/;

async function drain(items: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of items);
}

describe.each(["http", "grpc"] as const)("a hostile client over %s", (transport) => {
  let server: LyingServer;
  let forge: Forge;
  let project: TestProject;
  let rss: number;

  beforeAll(async () => {
    server = await LyingServer.start(transport);
    forge = server.forge;
    project = await TestProject.create(forge, "acme/app");
    rss = process.memoryUsage.rss();
  });
  afterAll(async () => {
    await server[Symbol.asyncDispose]();
  });

  const land = (
    change: Partial<LandRequest>,
    contents: Readonly<Record<string, string>> = { a: "1", b: "2" },
  ) =>
    forge.land(project.id, {
      ...landRequest(EMPTY_BASE, contents),
      landingId: mintLandingId(systemRandom),
      ...change,
    });

  // On the wire an author that is left out is the account, text is Unicode, and no number is below 0.
  const sendable = REFUSED_LANDINGS.filter(
    ([{ author, decisions, base }]) => (author ?? decisions ?? base) === undefined,
  );

  test.each(
    sendable.map(
      ([change, code], i) => [`${i} ${JSON.stringify(change).slice(0, 60)}`, change, code] as const,
    ),
  )("landing %s is refused", async (_, change, code) => {
    // Some of them cannot even be written as a message: the client itself says so.
    await expect(land(change)).rejects.toMatchObject({ code: expect.stringMatching(`^(${code}|usage)$`) });
  });

  test("no forbidden path is landed, recorded or asked for", async () => {
    const { id } = await forge.startSession(project.id, {
      id: mintSessionId(systemRandom),
      goal: "g",
      owner: "eve",
    });
    for (const bad of FORBIDDEN_PATHS as readonly TreePath[]) {
      const entry = { kind: "file", size: 1, id: hashObject(utf8("1")) } as const;
      const operations = [{ kind: "put", path: bad, entry, hint: 0 }] as const;
      const calls: Promise<unknown>[] = [
        land({ operations }, { a: "1" }),
        land({ operations: [{ kind: "delete", path: bad }] }, {}),
        forge.recordOperations(project.id, id, operations),
        forge.getPath(project.id, ZERO, bad),
        forge.blame(project.id, ZERO, bad),
        forge.listDirectory(project.id, { at: ZERO, dir: bad }),
        drain(forge.listEntries(project.id, ZERO, [bad])),
        drain(forge.diff(project.id, { from: ZERO, to: ZERO, paths: [bad] })),
        drain(forge.fetch(project.id, { from: ZERO, to: ZERO, paths: [bad] })),
        drain(forge.listLandings(project.id, { paths: [bad] })),
      ];
      for (const [i, result] of (await Promise.allSettled(calls)).entries()) {
        const code =
          result.status === "rejected" && isMicError(result.reason) ? result.reason.code : undefined;
        expect(
          code,
          `call ${i} with ${JSON.stringify(bad).slice(0, 60)}: ${JSON.stringify(result).slice(0, 300)}`,
        ).toMatch(PATH_CODE);
      }
    }
    expect((await forge.getSession(project.id, id)).operations).toEqual([]);
    await forge.abandonSession(project.id, id);
  });

  test.each(lyingFrames(CONTENT))("%s, with a landing or in a sound pack, is refused", async (_, frame) => {
    const text = frame.compressed ? repeated(CONTENT).toString() : "12";
    const code = { code: expect.stringMatching(/^(corrupt|usage|too-large)$/) };
    await expect(land({ frames: [frame] }, { a: text })).rejects.toMatchObject(code);
    // What no pack could hold cannot be encoded; then there is nothing to upload.
    let pack: Uint8Array;
    try {
      pack = encodePack([frame]).bytes;
    } catch (error) {
      expect(isMicError(error)).toBe(true);
      return;
    }
    await expect(forge.putPack(project.id, pack)).rejects.toMatchObject(code);
  });

  test.each(lyingPacks(CONTENT))("a pack with %s is refused", async (_, pack) => {
    await expect(forge.putPack(project.id, pack)).rejects.toMatchObject({
      code: expect.stringMatching(/^(corrupt|unsupported|too-large)$/),
    });
  });

  test("positions above what there is, and above what there can be, are out of range", async () => {
    for (const position of [1, 2 ** 32, Number.MAX_SAFE_INTEGER] as Position[]) {
      const outOfRange = { code: "out-of-range" };
      await expect(forge.getPosition(project.id, position)).rejects.toMatchObject(outOfRange);
      await expect(forge.getLanding(project.id, position)).rejects.toMatchObject(outOfRange);
      await expect(drain(forge.fetch(project.id, { from: ZERO, to: position }))).rejects.toMatchObject(
        outOfRange,
      );
    }
  });

  test("objects that nobody has are not found, wherever they are said to be", async () => {
    for (const hint of [0, 1, Number.MAX_SAFE_INTEGER]) {
      const wants = [{ id: hashObject(utf8("nobody")), hint }];
      await expect(drain(forge.readObjects(project.id, wants))).rejects.toMatchObject({ code: "not-found" });
      const entry = { kind: "file", size: 2 ** 50, id: hashObject(utf8("nobody")) } as const;
      await expect(drain(forge.readFile(project.id, { entry, hint }))).rejects.toMatchObject({
        code: "not-found",
      });
    }
  });

  test("after all of that nothing is stored, and the server is as it was", async () => {
    expect(await forge.getHead(project.id)).toMatchObject({ position: 0 });
    expect(await forge.findContent(project.id, { id: hashObject(CONTENT) })).toBeUndefined();
    expect((await forge.fsck(project.id)).findings).toEqual([]);
    expect(process.memoryUsage.rss() - rss).toBeLessThan(BOMB_BYTES);
    await using other = await openClient(forge.address, transport);
    expect(await other.land(project.id, landRequest(EMPTY_BASE, { a: "1" }))).toMatchObject({ position: 1 });
  });
});

describe("a hostile client over REST", () => {
  const P = "/api/mic/projects/acme%2Fapp";
  let server: RestServer;
  let client: RestClient;

  beforeAll(async () => {
    server = await RestServer.start();
    client = server.client();
    await client.post("/api/mic/projects", { name: "acme/app" });
  });
  afterAll(async () => {
    await server[Symbol.asyncDispose]();
  });

  test("no forbidden path is recorded or asked for", async () => {
    const { json: session } = await client.post(`${P}/sessions`, { goal: "g" });
    const hash = hashObject(utf8("1"));
    for (const bad of FORBIDDEN_PATHS) {
      for (const operation of [
        { op: "put", path: bad, hash, size: 1 },
        { op: "delete", path: bad },
      ]) {
        const answer = await client.post(`${P}/sessions/${session.id}/operations`, {
          operations: [operation],
        });
        expect([answer.json.code, bad.slice(0, 40)]).toEqual([
          expect.stringMatching(PATH_CODE),
          bad.slice(0, 40),
        ]);
      }
      if (bad.length > 5000) continue;
      for (const place of [`files/${encodeURIComponent(bad)}`, `tree?dir=${encodeURIComponent(bad)}`]) {
        expect((await client.get(`${P}/${place}`)).json.code).toMatch(PATH_CODE);
      }
    }
    const recorded = await client.get(`${P}/sessions/${session.id}`);
    expect(recorded.json.operations).toEqual([]);
  });

  test.each([
    ...lyingPacks(CONTENT),
    ...lyingFrames(CONTENT).flatMap(([what, frame]) => {
      try {
        return [[what, encodePack([frame]).bytes] as const];
      } catch {
        return [];
      }
    }),
  ])("a pack with %s is refused", async (_, bytes) => {
    const answer = await client.call("POST", `${P}/packs`, { bytes });
    expect(answer.json.code).toMatch(/^(corrupt|unsupported|too-large|usage)$/);
    expect((await client.get(`${P}/head`)).json.position).toBe(0);
    expect((await client.get(`${P}/blobs/${hashObject(CONTENT)}`)).status).toBe(404);
  });
});
