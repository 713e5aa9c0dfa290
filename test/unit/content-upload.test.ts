import { randomFillSync } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { hashObject } from "../../src/core/base/hash.ts";
import { PACK_TARGET_BYTES } from "../../src/core/base/limits.ts";
import type { Forge } from "../../src/core/forge/forge.ts";
import { FrameBuilder } from "../../src/core/objects/frame-builder.ts";
import { ContentUpload } from "../../src/core/workspace/packing/content-upload.ts";
import { TestWorkspaces } from "../support/workspaces.ts";

const CHUNK_BYTES = 1 << 20;

/** The same forge, with what is seen of its packs. */
function watchPacks(forge: Forge, put: (pack: Uint8Array, next: () => Promise<string>) => Promise<string>) {
  return new Proxy(forge, {
    get(target, name) {
      if (name === "putPack") {
        return (...[project, pack, options]: Parameters<Forge["putPack"]>) =>
          put(pack, () => target.putPack(project, pack, options));
      }
      const value = Reflect.get(target, name) as unknown;
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

/** A frame that does not compress. */
function randomFrame() {
  const content = randomFillSync(new Uint8Array(CHUNK_BYTES));
  const builder = new FrameBuilder({ rawTarget: 4096 });
  builder.add("blob", hashObject(content), content);
  return builder.finish()[0]!;
}

test("a landing holds two packs at most, however much it uploads", async () => {
  await using workspaces = new TestWorkspaces();
  const { ws } = await workspaces.init();
  const memory = new Set<ArrayBufferLike>();
  let inFlight = 0;
  let inFlightMax = 0;
  const forge = watchPacks(await ws.forge(), async (pack, next) => {
    memory.add(pack.buffer);
    inFlightMax = Math.max(inFlightMax, ++inFlight);
    try {
      return await next();
    } finally {
      inFlight--;
    }
  });
  await using upload = new ContentUpload(ws, forge);
  const packs = 6;
  for (let bytes = 0; bytes < packs * PACK_TARGET_BYTES; bytes += CHUNK_BYTES) {
    const frame = randomFrame();
    await upload.add(frame);
    expect(frame.stored.length).toBe(0);
  }
  await upload.finish();
  expect(upload.packs.length).toBe(packs);
  expect(upload.inline).toEqual([]);
  expect(inFlight).toBe(0);
  expect(inFlightMax).toBe(1);
  expect(memory.size).toBe(2);
});

test("a pack that cannot be stored stops the landing", async () => {
  await using workspaces = new TestWorkspaces();
  const { ws } = await workspaces.init();
  let puts = 0;
  const forge = watchPacks(await ws.forge(), async () => {
    puts++;
    throw new Error("the disk is full");
  });
  await using upload = new ContentUpload(ws, forge);
  const fill = async (): Promise<void> => {
    for (let bytes = 0; bytes < 3 * PACK_TARGET_BYTES; bytes += CHUNK_BYTES) await upload.add(randomFrame());
    await upload.finish();
  };
  await expect(fill()).rejects.toThrow("the disk is full");
  expect(puts).toBe(1);
});

test("what a landing uploaded is what it names", async () => {
  await using workspaces = new TestWorkspaces();
  const first = await workspaces.init();
  const files: Record<string, Uint8Array> = {};
  for (let i = 0; i < 40; i++) files[`file-${i}`] = randomFillSync(new Uint8Array(CHUNK_BYTES - i));
  first.write(files);
  await first.land("many packs");
  const second = await workspaces.clone(first);
  for (const [name, content] of Object.entries(files)) {
    expect(hashObject(readFileSync(join(second.dir, name)))).toBe(hashObject(content));
  }
});
