import { randomFillSync } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { FetchItem, Forge } from "../../src/core/forge/forge.ts";
import type { Frame } from "../../src/core/objects/frame.ts";
import { cloneWorkspace } from "../../src/core/workspace/commands/clone.ts";
import { TestWorkspaces } from "../support/workspaces.ts";

/** What a reader that asked for borrowed frames has to do with one that it keeps. */
function kept(item: FetchItem): FetchItem {
  if (item.kind !== "frame") return item;
  return { kind: "frame", frame: { ...item.frame, stored: new Uint8Array(item.frame.stored) } };
}

/** The same forge, with all frames of a fetch in one buffer, as they may come from a socket. */
function inOneBuffer(forge: Forge): Forge {
  return new Proxy(forge, {
    get(target, key) {
      const value = Reflect.get(target, key) as unknown;
      if (typeof value !== "function") return value;
      if (key !== "fetch") return value.bind(target);
      return async function* (...args: Parameters<Forge["fetch"]>): AsyncIterable<FetchItem> {
        const items: FetchItem[] = [];
        for await (const item of target.fetch(...args)) items.push(kept(item));
        const stored = items.map((item) => (item.kind === "frame" ? item.frame.stored : new Uint8Array(0)));
        const buffer = new Uint8Array(Buffer.concat(stored));
        let at = 0;
        for (const item of items) {
          if (item.kind !== "frame") {
            yield item;
            continue;
          }
          const end = at + item.frame.stored.length;
          yield { kind: "frame", frame: { ...item.frame, stored: buffer.subarray(at, end) } };
          at = end;
        }
      };
    },
  });
}

test.each([0, 1])("a clone with %i workers leaves memory alone that frames share", async (workers) => {
  await using spaces = new TestWorkspaces();
  const first = await spaces.init();
  const files: Record<string, Uint8Array> = {};
  for (let i = 0; i < 60; i++) files[`large/${i}`] = randomFillSync(new Uint8Array(60_000 + i));
  for (let i = 0; i < 1600; i++) files[`small/${i}`] = Buffer.from(`${i} `.repeat(20));
  first.write(files);
  await first.land("many files");
  const context = spaces.context();
  const dir = spaces.newDir();
  await cloneWorkspace(
    { address: first.ws.forgeAddress, projectName: first.ws.settings.projectName, dir, workers },
    { ...context, openForge: async (address) => inOneBuffer(await context.openForge(address)) },
  );
  for (const [name, content] of Object.entries(files)) {
    expect(Buffer.compare(readFileSync(join(dir, name)), content)).toBe(0);
  }
});

/** The same forge, with one byte changed in the last frame that a fetch sends. */
function withDamage(forge: Forge, at: (frame: Frame) => number): Forge {
  return new Proxy(forge, {
    get(target, key) {
      const value = Reflect.get(target, key) as unknown;
      if (typeof value !== "function") return value;
      if (key !== "fetch") return value.bind(target);
      return async function* (...args: Parameters<Forge["fetch"]>): AsyncIterable<FetchItem> {
        const items: FetchItem[] = [];
        for await (const item of target.fetch(...args)) items.push(kept(item));
        const last = items.at(-1)!;
        if (last.kind === "frame") last.frame.stored[at(last.frame)]! ^= 1;
        yield* items;
      };
    },
  });
}

test.each([0, 1])(
  "a clone with %i workers refuses content that a frame's bytes do not give",
  async (workers) => {
    await using spaces = new TestWorkspaces();
    const first = await spaces.init();
    const files: Record<string, Uint8Array> = {};
    for (let i = 0; i < 1600; i++) files[`small/${i}`] = Buffer.from(`${i} `.repeat(20));
    for (let i = 0; i < 4; i++) files[`zz/${i}`] = randomFillSync(new Uint8Array(60_000));
    first.write(files);
    await first.land("many files");
    const context = spaces.context();
    const { forgeAddress: address, settings } = first.ws;
    const damages = [() => 0, (frame: Frame) => frame.stored.length >> 1];
    for (const at of damages) {
      const dir = spaces.newDir();
      const clone = cloneWorkspace(
        { address, projectName: settings.projectName, dir, workers },
        { ...context, openForge: async (to) => withDamage(await context.openForge(to), at) },
      );
      await expect(clone).rejects.toMatchObject({ code: "corrupt" });
      expect(existsSync(join(dir, "small"))).toBe(false);
      // The same command, now with sound content, continues.
      await cloneWorkspace({ address, projectName: settings.projectName, dir, workers }, context);
      expect(Buffer.compare(readFileSync(join(dir, "zz/3")), files["zz/3"]!)).toBe(0);
    }
  },
);

test.each([0, 1])("a clone with %i workers writes frames of every size", async (workers) => {
  await using spaces = new TestWorkspaces();
  const first = await spaces.init();
  const files: Record<string, Uint8Array> = {};
  // Noise is stored as it is: in slots that one of them fills, in some that several share, and past any slot.
  const sizes = [1, 900, 40_000, 130_000, (256 << 10) - 1, 256 << 10, (256 << 10) + 1, 700_000, 1_900_000];
  for (let i = 0; i < 90; i++) files[`noise/${i}`] = randomFillSync(new Uint8Array(sizes[i % sizes.length]!));
  for (let i = 0; i < 1600; i++) files[`small/${i}`] = Buffer.from(`${i} `.repeat(20));
  first.write(files);
  await first.land("many files");
  const dir = spaces.newDir();
  const { forgeAddress: address, settings } = first.ws;
  await cloneWorkspace({ address, projectName: settings.projectName, dir, workers }, spaces.context());
  for (const [name, content] of Object.entries(files)) {
    expect(Buffer.compare(readFileSync(join(dir, name)), content)).toBe(0);
  }
});
