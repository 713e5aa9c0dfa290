import { describe, expect, it } from "vitest";
import { utf8 } from "../../src/core/base/bytes.ts";
import { type ErrorCode, isMicError } from "../../src/core/base/errors.ts";
import { buildTree } from "../../src/core/prolly/build.ts";
import { CUT_MAX_BYTES, cutSeed, isCut } from "../../src/core/prolly/cut-rule.ts";
import { decodeNode, NODE_BYTES_MAX } from "../../src/core/prolly/node.ts";
import type { NewNode, StoredNode } from "../../src/core/prolly/types.ts";
import { MemoryNodes, SALT } from "../support/prolly-trees.ts";

async function nodesOf(
  count: number,
  key: (i: number) => Uint8Array,
  valueLength: (i: number) => number = () => 20,
): Promise<NewNode[]> {
  const made: NewNode[] = [];
  const entries = Array.from({ length: count }, (_, i) => ({
    key: key(i),
    value: new Uint8Array(valueLength(i)),
    hint: i,
  }));
  await buildTree(entries, new MemoryNodes().context(), { position: 3, emit: (node) => made.push(node) });
  return made;
}

const numbered = (i: number) => utf8(`key${String(i).padStart(5, "0")}`);

function changed(node: StoredNode, change: (bytes: Uint8Array, view: DataView) => unknown): StoredNode {
  const bytes = node.bytes.slice();
  change(bytes, new DataView(bytes.buffer));
  return { bytes, hints: node.hints };
}

function expectCode(code: ErrorCode, work: () => unknown): void {
  let thrown: unknown;
  try {
    work();
  } catch (error) {
    thrown = error;
  }
  expect(isMicError(thrown) ? thrown.code : thrown).toBe(code);
}

describe("decodeNode()", async () => {
  const nodes = await nodesOf(1000, numbered);
  const leaf = nodes.find((node) => node.level === 0)!;
  const inner = nodes.find((node) => node.level === 1)!;

  it("reads back what a build made", () => {
    const node = decodeNode(leaf, SALT);
    expect(node.level).toBe(0);
    expect(node.total).toBe(node.count);
    expect(node.key(0)).toEqual(numbered(0));
    expect(node.hints[node.count - 1]).toBe(node.count - 1);
    expect(decodeNode(inner, SALT).total).toBe(1000);
  });

  it("does not keep the bytes it was given", () => {
    const frame = new Uint8Array(leaf.bytes.length + 7);
    frame.set(leaf.bytes, 5);
    const node = decodeNode({ bytes: frame.subarray(5, 5 + leaf.bytes.length), hints: leaf.hints }, SALT);
    frame.fill(0xff);
    expect(node.key(0)).toEqual(numbered(0));
  });

  it.each<[string, ErrorCode, (bytes: Uint8Array, view: DataView) => unknown]>([
    ["another magic", "corrupt", (b) => b.fill(0, 0, 1)],
    ["an unknown version", "unsupported", (b) => b.fill(2, 4, 5)],
    ["an impossible level", "corrupt", (b) => b.fill(32, 5, 6)],
    ["no entries", "corrupt", (_, v) => v.setUint16(6, 0, true)],
    ["one entry too many", "corrupt", (_, v) => v.setUint16(6, v.getUint16(6, true) + 1, true)],
    ["the largest count", "corrupt", (_, v) => v.setUint16(6, 0xffff, true)],
    ["another salt", "different-lineage", (b) => b.fill(9, 8, 9)],
    ["a key that ends before it starts", "corrupt", (_, v) => v.setUint16(18, 1, true)],
    ["a key longer than 4,096 bytes", "corrupt", (_, v) => v.setUint16(16, 4097, true)],
    [
      "an end beyond the block",
      "corrupt",
      (_, v) => v.setUint16(16 + 2 * (v.getUint16(6, true) - 1), 0xffff, true),
    ],
    ["keys out of order", "corrupt", (_, v) => v.setUint8(16 + 4 * v.getUint16(6, true) + 7, 0x7a)],
    ["a leaf that says it is not one", "corrupt", (b) => b.fill(1, 5, 6)],
  ])("refuses a leaf with %s", (_, code, change) => {
    expectCode(code, () => decodeNode(changed(leaf, change), SALT));
  });

  it.each<[string, (bytes: Uint8Array, view: DataView) => unknown]>([
    ["a child count of zero", (b, v) => v.setBigUint64(b.length - 8, 0n, true)],
    ["a child count of 2^53", (b, v) => v.setBigUint64(b.length - 8, 1n << 53n, true)],
    [
      "child counts that add up to more than 2^53",
      (b, v) => {
        v.setBigUint64(b.length - 8, (1n << 53n) - 1n, true);
        v.setBigUint64(b.length - 16, (1n << 53n) - 1n, true);
      },
    ],
    ["a child count of 2^64 - 1", (b, v) => v.setBigUint64(b.length - 8, (1n << 64n) - 1n, true)],
    ["a level of zero", (b) => b.fill(0, 5, 6)],
  ])("refuses an internal node with %s", (_, change) => {
    expectCode("corrupt", () => decodeNode(changed(inner, change), SALT));
  });

  it("refuses every truncation and every trailing byte", () => {
    for (const node of [leaf, inner]) {
      for (let length = 0; length < node.bytes.length; length++) {
        expectCode("corrupt", () =>
          decodeNode({ bytes: node.bytes.subarray(0, length), hints: node.hints }, SALT),
        );
      }
      const longer = new Uint8Array(node.bytes.length + 1);
      longer.set(node.bytes);
      expectCode("corrupt", () => decodeNode({ bytes: longer, hints: node.hints }, SALT));
    }
  });

  it("refuses equal keys, more bytes than a node can have, and hints of another number", () => {
    const twin = changed(leaf, (bytes, view) => {
      const keys = 16 + 4 * view.getUint16(6, true);
      bytes.copyWithin(keys + 8, keys, keys + 8);
    });
    expectCode("corrupt", () => decodeNode(twin, SALT));
    expectCode("corrupt", () => decodeNode({ bytes: leaf.bytes, hints: leaf.hints.slice(1) }, SALT));
    const large = new Uint8Array(NODE_BYTES_MAX + 1);
    large.set(leaf.bytes.subarray(0, 16));
    expectCode("corrupt", () => decodeNode({ bytes: large, hints: leaf.hints }, SALT));
  });

  it("takes the largest leaf that crafted keys can make of a known salt", async () => {
    const seed = cutSeed(SALT, 0);
    const keys: Uint8Array[] = [];
    let size = 0;
    // Only keys whose hash avoids a cut, until one more entry would force it.
    for (let i = 0; size + 14 < CUT_MAX_BYTES; i++) {
      for (let nonce = 0; ; nonce++) {
        const key = utf8(`${String(i).padStart(5, "0")}-${String(nonce).padStart(4, "0")}`);
        if (isCut(seed, size, size + 14, i + 1, key, 0, key.length)) continue;
        keys.push(key);
        break;
      }
      size += 14;
    }
    keys.push(utf8("x".repeat(4096)), utf8("y"));
    const last = keys.length - 2;
    const [first] = await nodesOf(
      keys.length,
      (i) => keys[i]!,
      (i) => (i === last ? 1024 : 0),
    );
    expect(decodeNode(first!, SALT).count).toBe(keys.length - 1);
    expect(first!.bytes.length).toBeGreaterThan(NODE_BYTES_MAX - 14);
    expect(first!.bytes.length).toBeLessThanOrEqual(NODE_BYTES_MAX);
  });
});

describe("TreeNode.search()", () => {
  it("agrees with a linear search, for keys with and without a common prefix", async () => {
    const families: ((i: number) => Uint8Array)[] = [
      numbered,
      (i) => utf8("p".repeat(i)),
      (i) => Uint8Array.of(i * 5, i),
      (i) => Uint8Array.of(0, 0, 0, 0, 0, 0).subarray(0, i),
      (i) => Uint8Array.of(1, 2, 3, 0x80 + i * 3, 0, 0, i),
    ];
    for (const family of families) {
      const [made] = await nodesOf(6, family, () => 1);
      const node = decodeNode(made!, SALT);
      const keys = Array.from({ length: node.count }, (_, i) => node.key(i));
      const probes = keys.flatMap((key) => [
        key,
        key.subarray(0, Math.max(0, key.length - 1)),
        Uint8Array.of(...key, 0),
        Uint8Array.of(...key, 0xff),
        key.map((byte, at) => (at === key.length - 1 ? byte ^ 1 : byte)),
      ]);
      for (const probe of [...probes, utf8(""), Uint8Array.of(0xff, 0xff)]) {
        const expected = keys.findIndex((key) => Buffer.compare(key, probe) >= 0);
        const bound = expected === -1 ? keys.length : expected;
        const isHere = bound < keys.length && Buffer.compare(keys[bound]!, probe) === 0;
        expect(node.search(probe)).toBe(isHere ? bound : ~bound);
      }
    }
  });
});
