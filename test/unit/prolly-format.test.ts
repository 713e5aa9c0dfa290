/** The tree against a second implementation: docs/format/prolly-node.md word by word, with no regard to speed. */
import { describe, expect, it } from "vitest";
import { bytesToHex, concatBytes } from "../../src/core/base/bytes.ts";
import { hashBytes } from "../../src/core/base/hash.ts";
import { buildTree } from "../../src/core/prolly/build.ts";
import { cutSeed, hashKey } from "../../src/core/prolly/cut-rule.ts";
import { CUT_TABLE } from "../../src/core/prolly/cut-table.ts";
import { GOLDEN_SETS } from "../golden/prolly-sets.ts";
import { MemoryNodes, SALT } from "../support/prolly-trees.ts";

interface Item {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
  readonly total: bigint;
}

function u16(value: number): Uint8Array {
  return Uint8Array.of(value & 0xff, value >> 8);
}

function ends(parts: readonly Uint8Array[]): Uint8Array[] {
  let end = 0;
  return parts.map((part) => {
    end += part.length;
    return u16(end);
  });
}

function encode(level: number, items: readonly Item[]): Uint8Array {
  const keys = items.map((item) => item.key);
  const values = items.map((item) => item.value);
  const header = [Buffer.from("MPTN"), Uint8Array.of(1, level), u16(items.length), SALT, ...ends(keys)];
  if (level === 0) return concatBytes([...header, ...ends(values), ...keys, ...values]);
  const totals = items.map((item) => {
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64LE(item.total);
    return bytes;
  });
  return concatBytes([...header, ...keys, ...values, ...totals]);
}

function energy(hash: number): bigint {
  const low = BigInt(CUT_TABLE[hash >>> 24]!);
  const high = BigInt(CUT_TABLE[(hash >>> 24) + 1]!);
  return low + ((high - low) * BigInt((hash >>> 8) & 0xffff)) / 65536n;
}

function cut(level: number, items: readonly Item[]): Item[][] {
  const nodes: Item[][] = [];
  let node: Item[] = [];
  let size = 0n;
  for (const item of items) {
    const before = size;
    size += BigInt(item.key.length + (level === 0 ? item.value.length : 40) + 4);
    node.push(item);
    if (size < 512n || (level > 0 && node.length < 4)) continue;
    const hash = hashKey(cutSeed(SALT, level), item.key, 0, item.key.length);
    if (size >= 16384n || energy(hash) < size ** 3n - before ** 3n) {
      nodes.push(node);
      node = [];
      size = 0n;
    }
  }
  if (node.length > 0) nodes.push(node);
  return nodes;
}

function referenceRoot(entries: readonly { key: Uint8Array; value: Uint8Array }[]): string {
  let items: Item[] = entries.map(({ key, value }) => ({ key, value, total: 1n }));
  if (items.length === 0) return "0".repeat(64);
  for (let level = 0; ; level++) {
    const nodes = cut(level, items);
    items = nodes.map((node) => ({
      key: node.at(-1)!.key,
      value: hashBytes(encode(level, node)),
      total: node.reduce((sum, item) => sum + item.total, 0n),
    }));
    if (items.length === 1) return bytesToHex(items[0]!.value);
  }
}

describe("buildTree()", () => {
  it.each(Object.keys(GOLDEN_SETS))(
    "gives the root that the format's text gives, for the set %s",
    async (name) => {
      const entries = GOLDEN_SETS[name]!();
      const nodes = new MemoryNodes();
      const tree = await buildTree(entries, nodes.context(), { position: 1, emit: nodes.emit });
      expect(tree.root).toBe(referenceRoot(entries));
    },
  );
});
