import { beforeEach, describe, expect, test } from "vitest";
import { hashObject } from "../../src/core/base/hash.ts";
import { type Epoch, epochOf, type Position } from "../../src/core/base/ids.ts";
import { mintSessionId } from "../../src/core/base/random.ts";
import { systemClock, systemRandom } from "../../src/core/base/system.ts";
import { decodeHead, encodeHead } from "../../src/core/codec/head.ts";
import { decodeMeta, encodeMeta } from "../../src/core/codec/meta.ts";
import { encodePack } from "../../src/core/codec/pack.ts";
import type { FsckReport } from "../../src/core/forge/forge.ts";
import { ForgeService } from "../../src/core/forge/service.ts";
import { FrameBuilder } from "../../src/core/objects/frame-builder.ts";
import {
  headKey,
  metaKey,
  packKey,
  projectPrefix,
  sessionKey,
  stagingKey,
} from "../../src/core/objects/keys.ts";
import { MemoryStore } from "../../src/core/store/memory-store.ts";
import { TestProject } from "../support/forge-project.ts";

async function allKeys(store: MemoryStore): Promise<string[]> {
  const keys: string[] = [];
  let after: string | undefined;
  do {
    const page = await store.list("", after === undefined ? {} : { after });
    keys.push(...page.objects.map((object) => object.key));
    after = page.next;
  } while (after !== undefined);
  return keys;
}

/** Writes behind the forge's back. */
async function overwrite(store: MemoryStore, key: string, bytes: Uint8Array): Promise<void> {
  const current = await store.get(key);
  const outcome = await store.commit([], { key, expected: current?.etag ?? null, bytes });
  expect(outcome.kind).toBe("committed");
}

describe("fsck()", () => {
  let store: MemoryStore;
  let forge: ForgeService;
  let project: TestProject;

  function open(): ForgeService {
    const ports = { clock: systemClock, random: systemRandom };
    return new ForgeService({ store, address: "memory", ...ports, trustWriters: true });
  }

  beforeEach(async () => {
    store = new MemoryStore(systemClock);
    forge = open();
    project = await TestProject.create(forge, "acme/old");
    await forge.updateProject(project.id, { name: "acme/app" });
    const many = Object.fromEntries(Array.from({ length: 80 }, (_, i) => [`many/${i}`, `content ${i}`]));
    await project.land({ put: { ...many, a: "1", big: Buffer.alloc(1_500_000, "big file") } });
    await project.land({ put: { a: "2", "d/x": "new" }, delete: ["many/3"] });
    await project.land({ put: { "d/y": "1" } });
    const id = mintSessionId(systemRandom);
    await forge.startSession(project.id, { id, goal: "g", owner: "Ada" });
    await forge.recordDecision(project.id, id, "because");
  });

  async function check(): Promise<FsckReport> {
    return await open().fsck(project.id);
  }

  test("finds nothing in a sound project", async () => {
    expect((await check()).findings).toEqual([]);
    expect((await forge.fsck(project.id)).findings).toEqual([]);
  });

  test("finds a flipped byte in every stored object", async () => {
    const keys = await allKeys(store);
    expect(keys.length).toBeGreaterThanOrEqual(8);
    for (const key of keys) {
      const { bytes } = (await store.get(key))!;
      const step = Math.max(1, Math.floor(bytes.length / 24));
      const offsets = Array.from({ length: 24 }, (_, i) => Math.min(i * step, bytes.length - 1));
      for (const offset of new Set([...offsets, bytes.length - 1])) {
        const flipped = bytes.slice();
        flipped[offset]! ^= 1 << (offset % 8);
        await overwrite(store, key, flipped);
        const { findings } = await check();
        expect(findings.length, `${key} at ${offset}`).toBeGreaterThan(0);
        expect(findings.some((finding) => finding.severity === "error")).toBe(true);
        await overwrite(store, key, bytes);
      }
    }
    expect((await check()).findings).toEqual([]);
  });

  test("finds every missing object but a session; that of an organization is a warning", async () => {
    for (const key of await allKeys(store)) {
      if (key.includes("/sessions/")) continue;
      const { bytes } = (await store.get(key))!;
      await store.delete([key]);
      const severity = key.startsWith("organizations/") ? "warning" : "error";
      expect((await check()).findings, key).toContainEqual(expect.objectContaining({ severity }));
      await overwrite(store, key, bytes);
    }
  });

  test("an absent and a deleted project are not found", async () => {
    await forge.deleteProject(project.id);
    await expect(check()).rejects.toMatchObject({ code: "not-found" });
    await expect(open().fsck("ab".repeat(16) as never)).rejects.toMatchObject({ code: "not-found" });
  });

  test("a pack that nothing leads to is counted, and an error when it is not what it is named", async () => {
    const builder = new FrameBuilder({ rawTarget: 1000 });
    builder.add("blob", hashObject(Buffer.from("left over")), Buffer.from("left over"));
    const { id, bytes } = encodePack(builder.finish());
    await forge.putPack(project.id, bytes);
    const object = packKey(project.id, epochOf(await store.nowMs()), id);
    expect(await check()).toMatchObject({ unreferenced: 1, findings: [] });
    await overwrite(store, object, bytes.slice(1));
    expect((await check()).findings).toEqual([
      expect.objectContaining({ severity: "error", code: "corrupt", object }),
    ]);
  });

  test("an upload past the server is counted, whatever it is", async () => {
    await store.put(stagingKey(project.id, epochOf(await store.nowMs()), "ab".repeat(16)), Buffer.from("?"));
    expect(await check()).toMatchObject({ unreferenced: 1, findings: [] });
  });

  test("an object that nothing is known about is a warning", async () => {
    await store.put(`${projectPrefix(project.id)}notes`, Buffer.from("?"));
    expect((await check()).findings).toEqual([
      expect.objectContaining({ severity: "warning", code: "unknown" }),
    ]);
  });

  test("a head that was put back or that names another tree is found", async () => {
    const key = headKey(project.id);
    const head = decodeHead((await store.get(key))!.bytes);
    const changes = [
      { root: "ab".repeat(32) as never },
      { hlc: head.hlc + 1n },
      { salt: "ffffffffffffffff" },
      { ring: head.ring.toReversed() },
      { packs: head.packs.slice(1) },
      { packs: head.packs.map((pack) => ({ ...pack, epoch: "2020-01-01" as Epoch })) },
      { packs: head.packs.map((pack) => ({ ...pack, size: pack.size + 1 })) },
    ];
    for (const change of changes) {
      await overwrite(store, key, encodeHead({ ...head, ...change }));
      const { findings } = await check();
      expect(findings, Object.keys(change)[0]).toContainEqual(expect.objectContaining({ severity: "error" }));
    }
  });

  test("a session object under another session's key is found", async () => {
    const key = (await allKeys(store)).find((each) => each.includes("/sessions/"))!;
    const { bytes } = (await store.get(key))!;
    await overwrite(store, sessionKey(project.id, "cd".repeat(16) as never), bytes);
    expect((await check()).findings).toEqual([
      expect.objectContaining({ severity: "error", code: "corrupt" }),
    ]);
  });

  test("a rename that stopped half way is a warning; a name of another project an error", async () => {
    const key = metaKey(project.id);
    const meta = decodeMeta((await store.get(key))!.bytes);
    const stopped = { ...meta, name: "acme/old", formerNames: ["acme/app"] };
    await overwrite(store, key, encodeMeta(stopped));
    const { findings } = await check();
    expect(findings.map((finding) => finding.code)).toEqual(["unfinished", "unfinished"]);
    await TestProject.create(forge, "acme/other");
    await overwrite(store, key, encodeMeta({ ...meta, formerNames: ["acme/other"] }));
    expect((await check()).findings).toContainEqual(
      expect.objectContaining({ severity: "error", code: "mismatch", object: "names/acme/other" }),
    );
  });

  test("a position of the log without its record is named", async () => {
    const head = decodeHead((await store.get(headKey(project.id)))!.bytes);
    const second = head.packs.find((pack) => pack.first === 2)!;
    await store.delete([packKey(project.id, second.epoch, second.pack)]);
    const { findings } = await check();
    expect(findings.map((finding) => finding.position)).toContain(2 as Position);
  });
});
