/** What a swap of the head may name: uploads of today and yesterday, and content that the newest head has. */
import { describe, expect, test } from "vitest";
import { utf8 } from "../../src/core/base/bytes.ts";
import { hashObject } from "../../src/core/base/hash.ts";
import { epochOf } from "../../src/core/base/ids.ts";
import { decodeHead, encodeHead, type Head } from "../../src/core/codec/head.ts";
import { encodePack } from "../../src/core/codec/pack.ts";
import { UploadedPacks } from "../../src/core/forge/content/uploaded-packs.ts";
import { FrameBuilder } from "../../src/core/objects/frame-builder.ts";
import { headKey, packKey } from "../../src/core/objects/keys.ts";
import type { ObjectStore, Swap } from "../../src/core/store/object-store.ts";
import {
  EMPTY_BASE,
  landRequest,
  makeFixture,
  newest,
  openFixture,
  PROJECT,
} from "../support/project-fixture.ts";

const DAY_MS = 86_400_000;

function packOf(text: string): ReturnType<typeof encodePack> {
  const builder = new FrameBuilder({ rawTarget: 1000 });
  builder.add("blob", hashObject(utf8(text)), utf8(text));
  return encodePack(builder.finish());
}

/** Calls `before` with each swap of the head before it is sent. */
function watching(inner: ObjectStore, before: (swap: Swap) => Promise<void>): ObjectStore {
  return new Proxy(inner, {
    get(target, name) {
      const method = (target as ObjectStore)[name as keyof ObjectStore] as unknown;
      if (typeof method !== "function") return method;
      if (name !== "commit") return method.bind(target);
      return async (...args: Parameters<ObjectStore["commit"]>) => {
        await before(args[1]);
        return await target.commit(...args);
      };
    },
  });
}

async function headOf(store: ObjectStore): Promise<Head> {
  return decodeHead((await store.get(headKey(PROJECT)))!.bytes);
}

describe("a landing that names a pack which was uploaded before", () => {
  test.each([
    [0, 0],
    [1, 1],
    [2, 0],
    [3, 0],
  ])("%i days ago names it under the day %i days ago", async (uploaded, named) => {
    const { store, clock, project } = await makeFixture();
    const { id, bytes } = packOf("content");
    await project.putPack(bytes);
    clock.ms += uploaded * DAY_MS;
    const request = landRequest(EMPTY_BASE, { f: "content" }, { packs: [id], frames: [] });
    expect((await project.land(request)).kind).toBe("landed");
    const { packs } = await headOf(store);
    const entry = packs.find(({ pack }) => pack === id)!;
    expect(entry.epoch).toBe(epochOf(clock.ms - named * DAY_MS));
    expect((await store.get(packKey(PROJECT, entry.epoch, id)))?.bytes).toEqual(bytes);
  });

  test("four days ago is refused: a collector may be about to take it", async () => {
    const { clock, project, store } = await makeFixture();
    const { id, bytes } = packOf("content");
    await project.putPack(bytes);
    clock.ms += 6 * DAY_MS;
    await store.delete([packKey(PROJECT, epochOf(clock.ms - 6 * DAY_MS), id)]);
    const request = landRequest(EMPTY_BASE, { f: "content" }, { packs: [id], frames: [] });
    await expect(project.land(request)).rejects.toMatchObject({ code: "not-found" });
    expect((await headOf(store)).packs).toEqual([]);
  });

  test("days ago, and again today through another process, names the one of today", async () => {
    const { clock, project, store } = await makeFixture();
    const { id, bytes } = packOf("content");
    await project.putPack(bytes);
    clock.ms += 6 * DAY_MS;
    await store.delete([packKey(PROJECT, epochOf(clock.ms - 6 * DAY_MS), id)]);
    await openFixture(store, clock).putPack(bytes);
    const request = landRequest(EMPTY_BASE, { f: "content" }, { packs: [id], frames: [] });
    expect((await project.land(request)).kind).toBe("landed");
    expect((await headOf(store)).packs.find(({ pack }) => pack === id)?.epoch).toBe(epochOf(clock.ms));
  });

  test("is found under the day that a chunk list names, when the one that is remembered was collected", async () => {
    const { store, clock } = await makeFixture();
    const { id, bytes } = packOf("content");
    const options = { store, project: PROJECT, trustWriters: true };
    const own = new UploadedPacks(options);
    await own.put(bytes);
    clock.ms += DAY_MS;
    const named = { pack: id, epoch: epochOf(clock.ms) };
    await new UploadedPacks(options).put(bytes);
    clock.ms += 7 * DAY_MS;
    await store.delete([packKey(PROJECT, epochOf(clock.ms - 8 * DAY_MS), id)]);
    expect(await own.findAll([named], clock.ms)).toHaveLength(1);
    expect((await own.require(id, clock.ms)).epoch).toBe(epochOf(clock.ms));
  });

  test("signs its swap with the time from before the check, however long that takes", async () => {
    let checkedAtMs: number | undefined;
    let pass: (() => void) | undefined;
    const { clock, project } = await makeFixture({
      wrap: (memory) => {
        const slow = new Proxy(memory, {
          get(target, name) {
            const method = (target as ObjectStore)[name as keyof ObjectStore] as unknown;
            if (typeof method !== "function") return method;
            return async (...args: unknown[]) => {
              const answer = await (method as (...all: unknown[]) => Promise<unknown>).apply(target, args);
              if (name === "get" || name === "list") pass?.();
              return answer;
            };
          },
        });
        return watching(slow, async (swap) => {
          checkedAtMs = swap.checkedAtMs;
        });
      },
    });
    const { id, bytes } = packOf("content");
    await project.putPack(bytes);
    clock.ms += 2 * DAY_MS;
    pass = () => {
      clock.ms += 60_000;
    };
    const startedMs = clock.ms;
    await project.land(landRequest(EMPTY_BASE, { f: "content" }, { packs: [id], frames: [] }));
    // The head was read first; what was checked after that, an old pack and its copy, took minutes.
    expect(checkedAtMs! - startedMs).toBeLessThanOrEqual(60_000);
    expect(clock.ms - checkedAtMs!).toBeGreaterThanOrEqual(60_000);
  });
});

test("content that the project had is looked for again on every new head", async () => {
  let change: ((swap: Swap) => Promise<void>) | undefined;
  const { store, project } = await makeFixture({
    wrap: (memory) => watching(memory, async (swap) => change?.(swap)),
  });
  const { id, bytes } = packOf("content");
  await project.putPack(bytes);
  await project.land(landRequest(EMPTY_BASE, { f: "content" }, { packs: [id], frames: [] }));
  await project.land(landRequest(await newest(project), { f: undefined }));
  const before = await headOf(store);
  // While the landing's swap is on its way the head changes to one that does not lead to the content any more.
  change = async (swap) => {
    change = undefined;
    const current = (await store.get(headKey(PROJECT)))!;
    const packs = before.packs.filter(({ pack }) => pack !== id);
    const other = encodeHead({ ...before, packs, nonce: "ab".repeat(16) });
    await store.commit([], { key: swap.key, expected: current.etag, bytes: other });
  };
  const request = landRequest(await newest(project), { again: "content" }, { frames: [] });
  await expect(project.land(request)).rejects.toMatchObject({ code: "not-found" });
  expect((await headOf(store)).position).toBe(before.position);
});
