/**
 * Figures of the prolly tree: `bun scripts/bench/prolly.ts [entries]` (1,000,000 by default). Medians of
 * user CPU time, in one process; "warm" means that the nodes concerned are decoded in memory.
 */
import { buildTree } from "../../src/core/prolly/build.ts";
import { diffTrees } from "../../src/core/prolly/diff.ts";
import { editTree } from "../../src/core/prolly/edit.ts";
import { mergeTrees } from "../../src/core/prolly/merge.ts";
import { Tree } from "../../src/core/prolly/tree.ts";
import type { TreeContext } from "../../src/core/prolly/tree-context.ts";
import type { LeafEntry, NewNode, StoredNode, TreeEdit } from "../../src/core/prolly/types.ts";

const ENTRIES = Number(process.argv[2] ?? 1_000_000);
const stored = new Map<string, StoredNode>();
let loads = 0;
let written = 0;
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");
const context: TreeContext = {
  salt: Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8),
  nodes: {
    load(hash) {
      loads++;
      return stored.get(hex(hash))!;
    },
  },
};
const emit = (node: NewNode) => {
  written += node.bytes.length;
  stored.set(hex(node.hash), node);
};
const discard = () => undefined;
const count = (node: NewNode) => {
  written += node.bytes.length;
};
const encoder = new TextEncoder();

let state = 12345;
function random(below: number): number {
  state = (Math.imul(state, 1664525) + 1013904223) | 0;
  return Math.floor(((state >>> 0) / 2 ** 32) * below);
}
const rowKey = (i: number) => encoder.encode(`row${String(i).padStart(9, "0")}`);
const value = (i: number, length = 41) => new Uint8Array(length).fill(i & 0xff);

function median(values: number[]): number {
  return values.sort((a, b) => a - b)[values.length >> 1]!;
}

async function measure(
  name: string,
  unit: "µs" | "ms",
  runs: number,
  per: number,
  work: (run: number) => unknown,
) {
  const wall: number[] = [];
  const cpu: number[] = [];
  for (let run = 0; run < runs; run++) {
    const before = process.cpuUsage();
    const start = performance.now();
    await work(run);
    wall.push(performance.now() - start);
    cpu.push(process.cpuUsage(before).user / 1000);
  }
  const scale = (unit === "µs" ? 1000 : 1) / per;
  console.log(
    `${name.padEnd(58)} ${(median(wall) * scale).toFixed(2).padStart(9)} ${unit}   cpu ${(median(cpu) * scale).toFixed(2).padStart(9)} ${unit}`,
  );
}

function randomEdits(count: number, length: number, seed: number, insert = false): TreeEdit[] {
  state = seed;
  const picked = new Set<number>();
  while (picked.size < count) picked.add(random(ENTRIES));
  return [...picked]
    .sort((a, b) => a - b)
    .map((i) => ({
      key: insert ? encoder.encode(`row${String(i).padStart(9, "0")}x`) : rowKey(i),
      value: value(seed, length),
      hint: 2,
    }));
}

const paths: LeafEntry[] = [];
for (let i = 0; i < 100_000; i++) {
  const key = encoder.encode(
    `packages\0package-${i % 300}\0src\0module-${Math.floor(i / 300) % 20}\0file-${i}.ts`,
  );
  paths.push({ key, value: value(i), hint: 1 });
}
paths.sort((a, b) => Buffer.compare(a.key, b.key));
const pathEdits: TreeEdit[] = paths;

await measure("build 100,000 paths", "ms", 9, 1, () =>
  buildTree(paths, context, { position: 1, emit: discard }),
);
await measure("edit 100,000 paths into the empty tree", "ms", 9, 1, () =>
  editTree(Tree.empty(context), pathEdits, { position: 1, emit: discard }),
);
const pathTree = await buildTree(paths, context, { position: 1, emit });
const rewrites = paths.map(({ key }, i) => ({ key, value: value(i + 7), hint: 2 }));
await measure("edit 100,000 paths of 100,000 (values)", "ms", 9, 1, () =>
  editTree(pathTree, rewrites, { position: 2, emit: discard }),
);

const rows: LeafEntry[] = [];
for (let i = 0; i < ENTRIES; i++) rows.push({ key: rowKey(i), value: value(i), hint: 1 });
await measure(`build ${ENTRIES} rows`, "ms", 3, 1, () =>
  buildTree(rows, context, { position: 1, emit: discard }),
);
const tree = await buildTree(rows, context, { position: 1, emit });
console.log(`  ${stored.size} nodes, ${(written / 1e6).toFixed(1)} MB, height ${await tree.height()}`);

await measure("get, warm", "µs", 5, 100_000, async () => {
  for (let i = 0; i < 100_000; i++) await tree.get(rows[random(ENTRIES)]!.key);
});
await measure("find, warm", "µs", 5, 100_000, () => {
  for (let i = 0; i < 100_000; i++) tree.find(rows[random(ENTRIES)]!.key);
});
await measure("getMany of 1,000, warm, per key", "µs", 9, 1000, (run) =>
  tree.getMany(randomEdits(1000, 1, run).map((edit) => edit.key)),
);
await measure("range of 1,000, warm", "µs", 9, 100, async () => {
  for (let i = 0; i < 100; i++) {
    for await (const _ of tree.pages({ gte: rows[random(ENTRIES - 1000)]!.key, limit: 1000 }));
  }
});
await measure("rank, warm", "µs", 5, 10_000, async () => {
  for (let i = 0; i < 10_000; i++) await tree.rank(rows[random(ENTRIES)]!.key);
});

for (const [name, length, insert] of [
  ["one-key edit, value of the same length, warm", 41, false],
  ["one-key edit, value of another length, warm", 30, false],
  ["one-key insert, warm", 41, true],
] as const) {
  written = 0;
  const edits = randomEdits(1000, length, 99, insert);
  await measure(name, "µs", 5, edits.length, async () => {
    for (const edit of edits) await editTree(tree, [edit], { position: 2, emit: discard });
  });
  for (const edit of edits) await editTree(tree, [edit], { position: 2, emit: count });
  console.log(`  ${(written / edits.length / 1024).toFixed(1)} KiB written per edit`);
}

const options = { position: 2, emit };
const hundred = await editTree(tree, randomEdits(100, 41, 5), options);
const collect = async (a: Tree, b: Tree) => {
  let count = 0;
  for await (const page of diffTrees(a, b)) count += page.length;
  return count;
};
await measure("diff of 100 scattered changes, warm", "ms", 9, 1, () => collect(tree, hundred));
await measure("diff of 100 scattered changes, cold", "ms", 5, 1, () => {
  loads = 0;
  return collect(
    Tree.open({ root: tree.root, hint: 1 }, context),
    Tree.open({ root: hundred.root, hint: 2 }, context),
  );
});
console.log(`  ${loads} nodes read`);

const ours = await editTree(tree, randomEdits(1000, 41, 21), options);
const theirs = await editTree(tree, randomEdits(1000, 41, 22), options);
const theirInserts = await editTree(tree, randomEdits(1000, 41, 23, true), options);
const resolve = () => "conflict" as const;
await measure("edit of 1,000 scattered keys, warm", "ms", 9, 1, () =>
  editTree(tree, randomEdits(1000, 41, 21), { position: 2, emit: discard }),
);
await measure("merge of 1,000 and 1,000 scattered changes, warm", "ms", 9, 1, () =>
  mergeTrees(tree, ours, theirs, { ...options, resolve }),
);
await measure("merge of 1,000 changes and 1,000 inserts, warm", "ms", 9, 1, () =>
  mergeTrees(tree, ours, theirInserts, { ...options, resolve }),
);
await measure("merge of 1,000 and 1,000 scattered changes, cold", "ms", 5, 1, () => {
  loads = 0;
  const open = (other: Tree) => Tree.open({ root: other.root, hint: 1 }, context);
  return mergeTrees(open(tree), open(ours), open(theirs), { ...options, resolve });
});
console.log(`  ${loads} nodes read`);
