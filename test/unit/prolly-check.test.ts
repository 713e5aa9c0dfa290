import { describe, expect, it } from "vitest";
import { bytesToHex, utf8 } from "../../src/core/base/bytes.ts";
import { MicError } from "../../src/core/base/errors.ts";
import { hashBytes } from "../../src/core/base/hash.ts";
import type { ObjectId } from "../../src/core/base/ids.ts";
import { buildTree } from "../../src/core/prolly/build.ts";
import { type CheckOptions, checkTree } from "../../src/core/prolly/check.ts";
import { editTree } from "../../src/core/prolly/edit.ts";
import { Tree } from "../../src/core/prolly/tree.ts";
import type { TreeContext } from "../../src/core/prolly/tree-context.ts";
import type { LeafEntry } from "../../src/core/prolly/types.ts";
import { MemoryNodes, SALT } from "../support/prolly-trees.ts";

const key = (i: number) => utf8(`key${String(i).padStart(6, "0")}`);
const entries: LeafEntry[] = Array.from({ length: 20_000 }, (_, i) => ({
  key: key(i),
  value: new Uint8Array(41),
  hint: 1,
}));

async function stored(list = entries): Promise<{ nodes: MemoryNodes; tree: Tree }> {
  const nodes = new MemoryNodes();
  const tree = await buildTree(list, nodes.context(), { position: 1, emit: nodes.emit, retain: false });
  return { nodes, tree: Tree.open({ root: tree.root, hint: 1 }, nodes.context()) };
}

async function findings(tree: Tree, options: CheckOptions = {}): Promise<string[]> {
  const found: string[] = [];
  for await (const { kind } of checkTree(tree, options)) found.push(kind);
  return found;
}

/** Stores another content under the hash of a node. */
function spoil(nodes: MemoryNodes, level: number, change: (bytes: Uint8Array) => void, which = 3): void {
  const [hash, node] = [...nodes.stored].filter(([, { bytes }]) => bytes[5] === level)[which]!;
  const bytes = node.bytes.slice();
  change(bytes);
  nodes.stored.set(hash, { bytes, hints: node.hints });
}

/** Writes a leaf by hand, as canonical or not as the caller wants. */
function writeNode(
  nodes: MemoryNodes,
  level: number,
  keys: Uint8Array[],
  values: Uint8Array[],
  totals: number[],
): Uint8Array {
  const parts: Uint8Array[] = [utf8("MPTN"), Uint8Array.of(1, level, keys.length, 0), SALT];
  const ends = (list: Uint8Array[]) => {
    let end = 0;
    for (const item of list) {
      end += item.length;
      parts.push(Uint8Array.of(end & 0xff, end >> 8));
    }
  };
  ends(keys);
  if (level === 0) ends(values);
  parts.push(...keys, ...values);
  if (level > 0) for (const total of totals) parts.push(Uint8Array.of(total, 0, 0, 0, 0, 0, 0, 0));
  const bytes = new Uint8Array(Buffer.concat(parts));
  const hash = hashBytes(bytes);
  nodes.stored.set(bytesToHex(hash), { bytes, hints: new Float64Array(keys.length) });
  return hash;
}

describe("checkTree()", () => {
  it("finds nothing in trees made by builds and edits, and reads every node once", async () => {
    const { nodes, tree } = await stored();
    nodes.loads = 0;
    expect(await findings(tree)).toEqual([]);
    expect(nodes.loads).toBe(nodes.stored.size);
    const edits = entries
      .filter((_, i) => i % 97 === 0)
      .map(({ key: each }, i) => ({ key: each, value: i % 2 ? undefined : utf8("x"), hint: 2 }));
    const edited = await editTree(tree, edits, { position: 2, emit: nodes.emit });
    expect(await findings(edited)).toEqual([]);
    expect(await findings(Tree.empty(nodes.context()))).toEqual([]);
  });

  it("reports every kind of damage and goes on", async () => {
    const { nodes, tree } = await stored();
    const leaves = [...nodes.stored].filter(([, { bytes }]) => bytes[5] === 0);
    nodes.stored.delete(leaves[5]![0]);
    spoil(nodes, 0, (bytes) => bytes.fill(0xaa, bytes.length - 1), 9);
    spoil(nodes, 0, (bytes) => bytes.fill(0, 0, 4), 12);
    expect(await findings(tree)).toEqual(["unreadable", "wrong-hash", "unreadable"]);
  });

  it("detects a flip of any byte of any node", async () => {
    const { nodes, tree } = await stored(entries.slice(0, 100));
    for (const [hash, node] of [...nodes.stored]) {
      for (let at = 0; at < node.bytes.length; at += 7) {
        const bytes = node.bytes.slice();
        bytes[at]! ^= 1 << (at % 8);
        nodes.stored.set(hash, { bytes, hints: node.hints });
        expect((await findings(tree)).length).toBeGreaterThan(0);
      }
      nodes.stored.set(hash, node);
    }
  });

  it("reports trees that are readable but not canonical", async () => {
    const nodes = new MemoryNodes();
    const value = new Uint8Array(10);
    const [a, b, c] = [utf8("a"), utf8("b"), utf8("c")];
    const open = (root: Uint8Array) =>
      Tree.open({ root: bytesToHex(root) as ObjectId, hint: 0 }, nodes.context());
    const ab = writeNode(nodes, 0, [a, b], [value, value], []);
    const onlyC = writeNode(nodes, 0, [c], [value], []);
    // Two small leaves where one belongs.
    expect(await findings(open(writeNode(nodes, 1, [b, c], [ab, onlyC], [2, 1])))).toEqual([
      "wrong-boundary",
    ]);
    // A root above a single node.
    expect(await findings(open(writeNode(nodes, 1, [b], [ab], [2])))).toEqual(["wrong-boundary"]);
    // A leaf that should have been cut.
    const many = Array.from({ length: 200 }, (_, i) => key(i));
    const uncut = writeNode(
      nodes,
      0,
      many,
      many.map(() => new Uint8Array(60)),
      [],
    );
    expect(await findings(open(uncut))).toEqual(["wrong-boundary"]);
  });

  it("reports children that do not fit their parent, and reads refuse them", async () => {
    const nodes = new MemoryNodes();
    const value = new Uint8Array(10);
    const [a, b, c] = [utf8("a"), utf8("b"), utf8("c")];
    const open = (root: Uint8Array) =>
      Tree.open({ root: bytesToHex(root) as ObjectId, hint: 0 }, nodes.context());
    const ab = writeNode(nodes, 0, [a, b], [value, value], []);
    const bc = writeNode(nodes, 0, [b, c], [value, value], []);
    const wrong = {
      count: writeNode(nodes, 1, [b, c], [ab, bc], [3, 2]),
      separator: writeNode(nodes, 1, [c, utf8("d")], [ab, bc], [2, 2]),
      overlap: writeNode(nodes, 1, [b, c], [ab, bc], [2, 2]),
      level: writeNode(nodes, 2, [b, c], [ab, bc], [2, 2]),
    };
    for (const [name, root] of Object.entries(wrong)) {
      expect(await findings(open(root)), name).toContain("misplaced");
      await expect(
        (async () => {
          for await (const _ of open(root).pages());
        })(),
        name,
      ).rejects.toMatchObject({ code: "corrupt" });
    }
  });

  it("passes over what was checked before, and says what it saw", async () => {
    const { nodes, tree } = await stored();
    const seen = new Set<string>();
    const options: CheckOptions = {
      shouldVisit: (hash) => !seen.has(bytesToHex(hash)),
      onNode: (_, hash) => void seen.add(bytesToHex(hash)),
    };
    expect(await findings(tree, options)).toEqual([]);
    expect(seen.size).toBe(nodes.stored.size);
    const next = await editTree(tree, [{ key: key(10_000), value: utf8("other"), hint: 2 }], {
      position: 2,
      emit: nodes.emit,
    });
    nodes.loads = 0;
    expect(await findings(Tree.open(next, nodes.context()), options)).toEqual([]);
    expect(nodes.loads).toBeLessThan(3 * ((await tree.height()) + 1));
    expect(seen.size).toBe(nodes.stored.size);
  });

  it("throws when the store cannot be asked", async () => {
    const { tree } = await stored();
    const context: TreeContext = {
      salt: SALT,
      nodes: {
        load: () => Promise.reject(new MicError("unreachable", "no network")),
      },
    };
    await expect(findings(Tree.open(tree, context))).rejects.toMatchObject({ code: "unreachable" });
  });
});
