import { type Mutant, patchesOf } from "../mutants.ts";

const COLLECT = "src/core/forge/collect/collect.ts";
const ROOTS = "src/core/forge/collect/roots.ts";
const MERGE = "src/core/forge/merge-packs/merge-packs.ts";
const CLASHES = "src/core/forge/rollup/clashes.ts";

/**
 * Not a mutant: packs, pages and rollups go in the first pass that finds them old, however long that pass takes and
 * as old as they are when it lists them. That the head is read after the listing is then the only guard left.
 */
export const ONE_PASS: Mutant = {
  name: "a collector that takes what is old and unnamed in one pass",
  file: COLLECT,
  from: "    if (this.#isGapOver && this.#comparable?.has(object) === true) {",
  to: '    if (object.kind !== "blob" || (this.#isGapOver && this.#comparable?.has(object) === true)) {',
  also: [
    {
      file: COLLECT,
      from: "      for (const object of listed) {\n",
      to: "      this.#startedMs = await store.nowMs();\n      for (const object of listed) {\n",
    },
    { file: COLLECT, from: "const PASS_MS_MAX = 6 * 3_600_000;", to: "const PASS_MS_MAX = 1e15;" },
  ],
};

/**
 * Lines of upkeep and collection, each with what it guards against. Days in the life of a project must find every
 * one of them missing.
 */
export const LIFE_MUTANTS: readonly Mutant[] = [
  {
    name: "the collector takes whatever is unnamed at once",
    file: COLLECT,
    from: "    if (!this.#isOld(object)) {\n      this.#tally",
    to: "    if (days > 0) {\n      this.#doomed.push(object);\n      return;\n    }\n    if (!this.#isOld(object)) {\n      this.#tally",
  },
  {
    name: "the collector reads the head before it lists, and not after",
    file: COLLECT,
    from: "    if (!this.#isDeleted) await this.#roots.readHead();\n    if ((await store",
    to: "    if ((await store",
    also: patchesOf(ONE_PASS),
  },
  {
    name: "pages of the head are no roots",
    file: ROOTS,
    from: "    for (const ref of head.pages) await this.#addPage(ref);\n",
    to: "",
  },
  {
    name: "what stands in pages is no root",
    file: ROOTS,
    from: '    if ("packs" in page) this.#addPacks(page.packs);\n',
    to: '    if ("packs" in page) this.#pages.add(ref.hash);\n',
  },
  {
    name: "a merged pack leaves out former versions",
    file: MERGE,
    from: "  await writer.addOlder(content.older);\n",
    to: "",
  },
  {
    name: "a merged pack leaves out former nodes",
    file: MERGE,
    from: "  await writer.add(nodes.older, OLDER_NODES_RAW_BYTES);\n",
    to: "",
  },
  {
    name: "a head may newly name what was written however long ago",
    file: "src/core/forge/epochs.ts",
    from: "return lastEpochs(storeMs, NAMEABLE).includes(epoch);",
    to: "return storeMs > 0 || epoch === lastEpochs(storeMs, NAMEABLE)[0];",
  },
  {
    name: "a swap is signed when it is sent, whenever what it names was checked",
    file: "src/core/forge/sealed-head.ts",
    from: ", checkedAtMs: storeMs }",
    to: " }",
  },
  {
    name: "rollups know nothing of what was put below a path",
    file: CLASHES,
    from: "if (own === undefined) return kind !== KIND_DELETE;",
    to: "if (own === undefined) return false;",
  },
  {
    name: "rollups compare kinds only",
    file: CLASHES,
    from: "    if (block.fingerprints[at + i] !== fingerprint[i]) return true;\n",
    to: "",
  },
  {
    name: "rollups leave out the landing right after the base",
    file: CLASHES,
    from: "block.positions[entry]! > after;",
    to: "block.positions[entry]! > after + 1;",
  },
];
