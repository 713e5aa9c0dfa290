import type { Mutant } from "../mutants.ts";

const COLLECT = "src/core/forge/collect/collect.ts";
const ROOTS = "src/core/forge/collect/roots.ts";
const MERGE = "src/core/forge/merge-packs/merge-packs.ts";
const CLASHES = "src/core/forge/rollup/clashes.ts";

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
    name: "an uploaded pack is looked at once, and not again for a new head",
    file: "src/core/forge/batch.ts",
    from: "await uploads.require(pack, storeMs)",
    to: "await ((landing as any)[pack] ??= uploads.require(pack, storeMs))",
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
