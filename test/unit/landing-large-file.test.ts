import { expect, test } from "vitest";
import { hashObject } from "../../src/core/base/hash.ts";
import type { TreePath } from "../../src/core/base/path.ts";
import { encodeChunkList } from "../../src/core/codec/chunk-list.ts";
import { encodePack } from "../../src/core/codec/pack.ts";
import { FrameBuilder } from "../../src/core/objects/frame-builder.ts";
import { landNow, makeFixture } from "../support/project-fixture.ts";

const [a, b, c, d] = ["a", "b", "c", "d"].map((letter) => Buffer.alloc(700, letter)) as [
  Buffer,
  Buffer,
  Buffer,
  Buffer,
];

/** `stored` in frames of their own or together, and the list of a file that consists of `order`. */
function packOf(stored: readonly Buffer[], order: readonly Buffer[], rawTarget: number) {
  const frames = new FrameBuilder({ rawTarget });
  for (const chunk of stored) frames.add("blob", hashObject(chunk), chunk);
  const list = encodeChunkList({
    chunks: order.map((chunk) => ({ id: hashObject(chunk), length: chunk.length, hint: 0 })),
  });
  frames.add("chunk-list", hashObject(list.content), list.content, list.sidecar);
  return { pack: encodePack(frames.finish()).bytes, chunks: hashObject(list.content) };
}

test.each([
  ["in the order of the file", [a, b, c], [a, b, c]],
  ["in another order", [c, a, b], [a, b, c]],
  ["that repeat", [a, b, c], [a, b, a, a, c, b]],
  ["beside others", [d, a, d, b], [a, b]],
])("the id of a large file is checked over stored chunks %s", async (_name, stored, order) => {
  for (const rawTarget of [512, 1500, 8192]) {
    const { project } = await makeFixture({ trustWriters: false });
    const unique = [...new Set(stored)];
    const { pack, chunks } = packOf(unique, order, rawTarget);
    const packs = [await project.putPack(pack)];
    const whole = Buffer.concat(order);
    const land = (id: Buffer) => {
      const entry = { kind: "file", size: whole.length, id: hashObject(id), chunks } as const;
      const operations = [{ kind: "put", path: "big" as TreePath, entry, hint: 0 } as const];
      return landNow(project, {}, { packs, operations });
    };
    await expect(land(Buffer.concat([...order].reverse().concat(d)))).rejects.toMatchObject({
      code: "corrupt",
    });
    expect((await land(whole)).position).toBe(1);
  }
});
