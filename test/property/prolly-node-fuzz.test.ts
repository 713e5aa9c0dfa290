import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { compareBytes, utf8 } from "../../src/core/base/bytes.ts";
import { isMicError } from "../../src/core/base/errors.ts";
import { buildTree } from "../../src/core/prolly/build.ts";
import { decodeNode } from "../../src/core/prolly/node.ts";
import type { TreeNode } from "../../src/core/prolly/tree-node.ts";
import type { StoredNode } from "../../src/core/prolly/types.ts";
import { MemoryNodes, SALT } from "../support/prolly-trees.ts";

/** Either a clean refusal, or a node whose every part can be read and is in order. */
function expectSound(stored: StoredNode): void {
  let node: TreeNode;
  try {
    node = decodeNode(stored, SALT);
  } catch (error) {
    if (!isMicError(error)) throw error;
    expect(["corrupt", "unsupported", "different-lineage"]).toContain(error.code);
    return;
  }
  expect(node.hints.length).toBe(node.count);
  let total = 0;
  for (let i = 0; i < node.count; i++) {
    const key = node.key(i);
    if (i > 0) expect(compareBytes(node.key(i - 1), key)).toBeLessThan(0);
    expect(node.search(key)).toBe(i);
    if (node.level === 0) expect(node.value(i).length).toBeLessThanOrEqual(1024);
    else expect(node.hashAt(i) + 32).toBeLessThanOrEqual(node.bytes.length);
    total += node.level === 0 ? 1 : node.childTotal(i);
  }
  expect(node.total).toBe(total);
  expect(Number.isSafeInteger(total)).toBe(true);
}

describe("decodeNode()", async () => {
  const nodes = new MemoryNodes();
  const entries = Array.from({ length: 3000 }, (_, i) => ({
    key: utf8(`dir${Math.floor(i / 50) + 100}\0file${String(i).padStart(5, "0")}`),
    value: new Uint8Array(i % 60),
    hint: i,
  }));
  await buildTree(entries, nodes.context(), { position: 1, emit: nodes.emit });
  const samples = [...nodes.stored.values()];
  const sample = fc.constantFrom(...samples.filter(({ bytes }, i) => bytes[5]! > 0 || i % 20 === 0));

  it("survives random bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(40), (bytes, hints) => {
        expectSound({ bytes, hints: new Float64Array(hints) });
      }),
      { numRuns: 2000 },
    );
  });

  it("survives random bytes behind a valid header", () => {
    const header = fc.record({
      level: fc.nat(33),
      count: fc.oneof(fc.nat(12), fc.nat(0xffff)),
      rest: fc.uint8Array({ maxLength: 300 }),
      zeros: fc.boolean(),
    });
    fc.assert(
      fc.property(header, ({ level, count, rest, zeros }) => {
        const head = Uint8Array.of(0x4d, 0x50, 0x54, 0x4e, 1, level, count & 0xff, count >> 8, ...SALT);
        // Small odd bytes make offsets that are nearly right.
        const body = zeros ? rest.map((byte, i) => (i % 2 ? 0 : byte & 15)) : rest;
        expectSound({ bytes: Uint8Array.of(...head, ...body), hints: new Float64Array(count) });
      }),
      { numRuns: 3000 },
    );
  });

  it("survives changed, cut and spliced nodes", () => {
    const edit = fc.tuple(
      fc.double({ min: 0, max: 1, noNaN: true }),
      fc.nat(255),
      fc.constantFrom("set", "flip", "insert", "remove"),
    );
    fc.assert(
      fc.property(
        sample,
        fc.array(edit, { minLength: 1, maxLength: 4 }),
        fc.boolean(),
        (node, edits, inHead) => {
          let bytes = [...node.bytes];
          for (const [where, byte, kind] of edits) {
            const at = Math.floor(where * (inHead ? Math.min(bytes.length, 200) : bytes.length));
            if (kind === "set") bytes[at] = byte;
            else if (kind === "flip") bytes[at] = (bytes[at] ?? 0) ^ (1 << (byte % 8));
            else if (kind === "insert") bytes = [...bytes.slice(0, at), byte, ...bytes.slice(at)];
            else bytes.splice(at, 1);
          }
          expectSound({ bytes: Uint8Array.from(bytes), hints: node.hints });
        },
      ),
      { numRuns: 2000 },
    );
  });
});
