import { type Mutant, patchesOf, type Variant } from "../mutants.ts";

const COLLECT = "src/core/forge/collect/collect.ts";
const ROOTS = "src/core/forge/collect/roots.ts";
const WORLD = "test/sim/life/world.ts";
const AUTHOR = "test/sim/life/author.ts";
const TROUBLES = "test/sim/troubles.ts";
const CONTENT_ORDER = "src/core/forge/merge-packs/content-order.ts";
const MERGE = "src/core/forge/merge-packs/merge-packs.ts";
const CLASHES = "src/core/forge/rollup/clashes.ts";
const RENEWAL = "src/core/objects/renewal.ts";
const RENEWS = "    if (!(await this.#directory.renew(this.#version))) throw error;\n";

const LOST = /DATA LOSS: \S+ is deleted, and the head names it/;
const MISSING = /the content of "\S+" is missing|the pack \w+ was not uploaded/;
/** A conflict that was not seen, in the audit or by what it leads to. */
const CLASHED =
  /filters say|overwrote what was landed|landed over a conflict|would be a file and the directory/;
const MISSED_OR_MISSING = /pack \w+ is missing from the store|the content of "\S+" is missing/;
const MISSED_PACK = /pack \w+ is missing from the store/;

/**
 * Not a mutant: packs, pages and rollups go in the first pass that finds them old, however long that pass takes and
 * as old as they are when it lists them. That the head is read after the listing is then the only guard left.
 */
export const ONE_PASS: Variant = {
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
    { file: WORLD, from: '"list project": { weight: 6,', to: '"list project": { weight: 60,' },
    // What is uploaded may be gone before anybody lands it.
    { file: TROUBLES, from: "return mayMiss ||", to: "return true ||" },
  ],
};

/**
 * Not a mutant: a merged pack leaves out content that no landing names, as far as the very head that takes it in
 * knows. Authors land content that came with an earlier landing of theirs, while somebody merges.
 */
export const DROPPING: Variant = {
  name: "merged packs that leave out what no landing names",
  file: CONTENT_ORDER,
  from: "  const blobs = ofKind.blob.filter((object) => !chunks.has(object));\n",
  to: `  const isDropped = (object: number): boolean => !chunks.has(object) && ranks[object] === RANK_LAST;
  const dropped = ofKind.blob.filter(isDropped).map((object) => run.idOf(object));
  const blobs = ofKind.blob.filter((object) => !chunks.has(object) && !isDropped(object));\n`,
  also: [
    {
      file: CONTENT_ORDER,
      from: "    chunks: [...chunks],\n",
      to: "    chunks: [...chunks],\n    dropped,\n",
    },
    { file: MERGE, from: "entry: { pack: packIdOf", to: "entry: { dropped: content.dropped, pack: packIdOf" },
    {
      file: "src/core/forge/merge-packs/replace-change.ts",
      from: "    apply: async ({ head }, { epoch, storeMs }) => {\n",
      to: `    apply: async (snapshot, { epoch, storeMs }) => {
      const { head } = snapshot;
      const dropped = new Set((merged as any).dropped);
      for await (const page of dropped.size === 0 ? [] : snapshot.records(0 as any, head.position)) {
        for (const record of page) {
          for (const { entry } of (await snapshot.operations(record)) as any) {
            if (dropped.has(entry?.id)) return undefined;
          }
        }
      }\n`,
    },
    // What lands with the same swap is not in the log yet.
    {
      file: "src/core/forge/landing/publisher.ts",
      from: "const changes = this.#changes.length === 0 ?",
      to: "const changes = members.length > 0 || this.#changes.length === 0 ?",
    },
    {
      file: AUTHOR,
      from: "    await this.pursue(attempted, 2 + random.below(5));\n    if (attempted",
      to: `    const { forge } = this.world.agent();
    forge.upkeep(this.project.id, { all: true }).catch(() => undefined);
    for (let turns = random.below(400); turns > 0; turns--) await undefined;
    await this.pursue(attempted, 2 + random.below(5));
    if (attempted`,
    },
    { file: AUTHOR, from: "random.below(8) === 0) await this.#prepare", to: "true) await this.#prepare" },
    { file: AUTHOR, from: "random.below(2) === 0 ? this.#newText", to: "true ? this.#newText" },
    { file: AUTHOR, from: "await clock.sleep(random.below(6 * DAY_MS));", to: "" },
    {
      file: WORLD,
      from: "[20 * 60 * SECOND_MS, 3 * HOUR_MS, 12 * HOUR_MS, 40 * HOUR_MS]",
      to: "[40 * HOUR_MS]",
    },
    { file: WORLD, from: "[HOUR_MS, 3 * HOUR_MS]", to: "[40 * HOUR_MS]" },
    { file: AUTHOR, from: "this.#old[random.below(OLD_MAX)]", to: "this.#old.at(-1)" },
    // Whoever lands what is gone is told so, and sends it.
    { file: AUTHOR, from: "    return atMs !== undefined && ", to: "    return true || " },
  ],
};

/**
 * Not a mutant: whoever misses a pack does not read the head again, and nobody reads from one head for as long as a
 * day. What a head named is there for that long after another head does not: two passes a day apart saw to it.
 */
export const SHORT_READS: Variant = {
  name: "readers who keep to the head they have read, and are done within the day",
  file: RENEWAL,
  from: RENEWS,
  to: "    throw error;\n",
  also: [
    {
      file: "test/sim/life/slow-reader.ts",
      from: "const NAP_MS_MAX = 8 * DAY_MS;",
      to: "const NAP_MS_MAX = (DAY_MS * 20) / 24;",
    },
    {
      file: "test/sim/life/slow-reader.ts",
      from: "let left = 1 + random.below(3);",
      to: "let left = 1;",
    },
    { file: AUTHOR, from: "- atMs > 3 * DAY_MS - CLOCK_SLACK_MS", to: "- atMs > 0" },
    {
      file: "test/sim/life/reader.ts",
      from: "? random.below(4 * DAY_MS) : 0;",
      to: "? random.below(3_600_000) : 0;",
    },
  ],
};

/**
 * Lines of upkeep and collection, each with what it guards against. Days in the life of a project must find every
 * one of them missing.
 */
export const LIFE_MUTANTS: readonly Mutant[] = [
  {
    name: "the collector takes whatever is unnamed at once",
    finds: MISSING,
    file: COLLECT,
    from: "    if (!this.#isOld(object)) {\n      this.#tally",
    to: "    if (days > 0) {\n      this.#doomed.push(object);\n      return;\n    }\n    if (!this.#isOld(object)) {\n      this.#tally",
  },
  {
    name: "the collector reads the head before it lists, and not after",
    finds: LOST,
    firstSeed: 29,
    file: COLLECT,
    from: "    if (!this.#isDeleted) await this.#roots.readHead();\n    if ((await store",
    to: "    if ((await store",
    also: patchesOf(ONE_PASS),
  },
  {
    name: "content that need not come along is not looked for again on a new head",
    finds: /object \w+ is in no pack of the project|the content of \S+ is missing at \d+/,
    firstSeed: 33,
    file: "src/core/forge/landing/locate-content.ts",
    from: "const found = await snapshot.reader.has(ref);",
    to: "const found = ((this.#places.landing as any)[id] ??= await snapshot.reader.has(ref));",
    also: patchesOf(DROPPING),
  },
  {
    name: "pages of the head are no roots",
    finds: LOST,
    firstSeed: 3,
    file: ROOTS,
    from: "    for (const ref of head.pages) await this.#addPage(ref);\n",
    to: "",
  },
  {
    name: "what stands in pages is no root",
    finds: LOST,
    firstSeed: 9,
    file: ROOTS,
    from: '    if ("packs" in page) this.#addPacks(page.packs);\n',
    to: '    if ("packs" in page) this.#pages.add(ref.hash);\n',
  },
  {
    name: "a merged pack leaves out former versions",
    finds:
      /the content of .* is missing|objects of a fetch did not come|is not in the project|object \w+ is in no pack/,
    file: MERGE,
    from: "  await writer.addOlder(content.older);\n",
    to: "",
  },
  {
    name: "a merged pack leaves out former nodes",
    finds: /object \w+ is/,
    file: MERGE,
    from: "  await writer.add(nodes.older, OLDER_NODES_RAW_BYTES);\n",
    to: "",
  },
  {
    name: "a head may newly name what was written however long ago",
    finds: /the head newly names/,
    file: "src/core/forge/head/epochs.ts",
    from: "return lastEpochs(storeMs, NAMEABLE).includes(epoch);",
    to: "return storeMs > 0 || epoch === lastEpochs(storeMs, NAMEABLE)[0];",
  },
  {
    name: "a swap is signed when it is sent, whenever what it names was checked",
    finds: /the head newly names|DATA LOSS/,
    firstSeed: 5,
    file: "src/core/forge/landing/sealed-head.ts",
    from: ", checkedAtMs: storeMs }",
    to: " }",
  },
  {
    name: "rollups know nothing of what was put below a path",
    finds: CLASHED,
    firstSeed: 12,
    file: CLASHES,
    from: "if (own === undefined) return kind !== KIND_DELETE;",
    to: "if (own === undefined) return false;",
  },
  {
    name: "rollups compare kinds only",
    finds: CLASHED,
    file: CLASHES,
    from: "    if (block.fingerprints[at + i] !== fingerprint[i]) return true;\n",
    to: "",
  },
  {
    name: "rollups leave out the landing right after the base",
    finds: CLASHED,
    firstSeed: 3,
    file: CLASHES,
    from: "block.positions[entry]! > after;",
    to: "block.positions[entry]! > after + 1;",
  },
  {
    name: "the front of a rollup is a root, and its parts are not",
    finds: /DATA LOSS: \S+\/landing-log\/parts\/\S+ is deleted, and the head names it/,
    file: ROOTS,
    from: 'for (const part of decodeRollupFront(stored.bytes).parts) this.#named.add("part", days, part.hash);',
    to: "decodeRollupFront(stored.bytes);",
  },
  {
    name: "packs that only stored chunk lists name are no roots",
    finds: MISSING,
    firstSeed: 19,
    file: ROOTS,
    from: 'for (const { pack, epoch } of object.packs) this.#named.add("pack", epochToDays(epoch), pack);',
    to: "",
  },
  {
    name: "what open sessions recorded is no root",
    finds: MISSING,
    firstSeed: 7,
    file: COLLECT,
    from: 'return kind === "blob" ? this.#roots.isWanted(id) : ',
    to: 'return kind === "blob" ? false : ',
  },
  {
    name: "what a session recorded is looked for on the last days only",
    finds: MISSING,
    file: "src/core/forge/head/epochs.ts",
    from: "const since = Math.max(0, Math.floor(storeMs / DAY_MS) - Math.floor(sinceMs / DAY_MS));",
    to: "const since = sinceMs > 0 ? 0 : 1;",
  },
  {
    name: "whoever misses a pack does not read the head again",
    finds: MISSED_PACK,
    firstSeed: 27,
    file: RENEWAL,
    from: RENEWS,
    to: "    throw error;\n",
  },
  {
    name: "what is of yesterday may be collected",
    finds: /DATA LOSS/,
    firstSeed: 8,
    file: COLLECT,
    from: "export const COLLECTABLE_DAYS = 3;",
    to: "export const COLLECTABLE_DAYS = 1;",
    also: patchesOf(ONE_PASS),
  },
  {
    name: "one pass is enough",
    finds: MISSED_PACK,
    firstSeed: 44,
    file: COLLECT,
    from: "    if (this.#isGapOver && this.#comparable?.has(object) === true) {",
    to: '    if (object.kind !== "blob" || (this.#isGapOver && this.#comparable?.has(object) === true)) {',
    also: patchesOf(SHORT_READS),
  },
  {
    name: "two passes may follow each other at once",
    finds: MISSED_OR_MISSING,
    firstSeed: 81,
    file: COLLECT,
    from: "export const PASS_GAP_MS: number = DAY_MS;",
    to: "export const PASS_GAP_MS: number = 0;",
    also: patchesOf(SHORT_READS),
  },
  {
    name: "a change of the head's lists goes to whatever head there is",
    finds: /went back|is not in the log|is missing|DATA LOSS|history|is at \d+, before \d+/,
    file: "src/core/forge/landing/publisher.ts",
    from: "      const outcome = await this.#commit(sealed, changing);\n      if (outcome",
    to: `      await this.#options.clock.sleep(5_000);
      const { etag } = await this.#options.refresh();
      const outcome = await this.#commit({ ...sealed, swap: { ...sealed.swap, expected: etag } }, changing);
      if (outcome`,
    // Somebody lands meanwhile.
    also: [
      {
        file: AUTHOR,
        from: "    await this.pursue(attempted, 2 + random.below(5));\n    if (attempted",
        to: `    const { forge } = this.world.agent();
    forge.upkeep(this.project.id, { all: true }).catch(() => undefined);
    await this.world.clock.sleep(random.below(5_000));
    await this.pursue(attempted, 2 + random.below(5));
    if (attempted`,
      },
    ],
  },
];
