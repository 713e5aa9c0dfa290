import type { Patch } from "./copy.ts";

/** Other code that has to do as well. */
export interface Variant extends Patch {
  readonly name: string;
  /** What else is different: other guards against the same, without which nothing would be seen of it. */
  readonly also?: readonly Patch[];
}

/**
 * A line of the landing protocol that is missing. The simulator is worth something when it finds every one of them
 * missing, by what that breaks.
 */
export interface Mutant extends Variant {
  /** What the simulator says. Anything else has another cause. */
  readonly finds: RegExp;
  /** One that finds it: those before it are passed over, to save time. Default 1. */
  readonly firstSeed?: number;
}

export function patchesOf(variant: Variant): readonly Patch[] {
  return [variant, ...(variant.also ?? [])];
}

const TWICE = /was told .*"landed".*then .*"landed"|a landing has two positions/;
const NO_TREE = /would be a file and the directory of/;
const NOT_FAILED = /was reported as failed \(\w+\) and landed/;
const HISTORY = /is not in the history of this project/;

const PUBLISHER = "src/core/forge/landing/publisher.ts";
const PENDING = "src/core/forge/landing/pending.ts";
const SNAPSHOT = "src/core/forge/log/snapshot.ts";
const BATCH = "src/core/forge/landing/batch.ts";
const TOUCHED = "src/core/forge/log/touched-paths.ts";
const CONFLICTS = "src/core/forge/landing/conflicts.ts";

const FOUND = "await snapshot.findLanding(landingId, base.position)";
const FIND = `const known = ${FOUND};`;

/** Not a mutant: the index of the recent log is asked about every landing, not only about those from far back. */
export const INDEX_AT_ONCE: Variant = {
  name: "the index of the recent log for every landing",
  file: "src/core/forge/log/recent-log.ts",
  from: "const WALKED_MAX = 32;",
  to: "const WALKED_MAX = 0;",
};

/** Not a mutant: with a ring of four ids, most look-ups need the log behind it. */
export const SHORT_RING: Variant = {
  name: "a ring of four ids, and the log behind it",
  file: BATCH,
  from: "export const RING_SIZE = 256;",
  to: "export const RING_SIZE = 4;",
};

export const MUTANTS: readonly Mutant[] = [
  {
    name: "no look-up before building on a head",
    finds: TWICE,
    file: PUBLISHER,
    from: "const known = await snapshot.findLanding(landingId, base.position);",
    to: "const known = undefined as LandingRecord | undefined;",
  },
  {
    name: "only the newest id is looked for",
    finds: TWICE,
    file: SNAPSHOT,
    from: "const index = ring.lastIndexOf(landingId);",
    to: "const index = ring.at(-1) === landingId ? ring.length - 1 : -1;",
  },
  {
    name: "the digest of a repeated id is not compared",
    finds: /was acknowledged at \d+ and is not in the log/,
    file: PUBLISHER,
    from: "known.digest === landing.digest && known.author === request.author",
    to: "known.author === request.author",
  },
  {
    name: "a clash with a batch-mate is reported before the swap",
    finds: /was told .*"conflict".*then .*"landed"|was reported as a conflict and landed/,
    file: PUBLISHER,
    from: "        waiting.push(pending);\n        continue;\n",
    to: '        pending.resolve({ kind: "conflict", paths: [pending.landing.request.operations[0]!.path] });\n        continue;\n',
  },
  {
    name: "batch-mates are not checked against each other",
    finds: NO_TREE,
    file: BATCH,
    from: "doClash(landing.request.operations, request.operations)",
    to: "false",
  },
  {
    name: "the same id twice in one batch",
    finds: TWICE,
    file: BATCH,
    from: "if (this.#ids.has(request.landingId)) return true;",
    to: "",
  },
  {
    name: "the landing right after the base is not looked at",
    finds: /overwrote what was landed in/,
    file: CONFLICTS,
    from: "snapshot.records(base, upTo, options)",
    to: "snapshot.records(Math.min(base + 1, upTo) as Position, upTo, options)",
  },
  {
    name: "only the newest landing is looked at",
    finds: /overwrote what was landed in/,
    file: CONFLICTS,
    from: "snapshot.records(base, upTo, options)",
    to: "snapshot.records((upTo - 1) as Position, upTo, options)",
  },
  {
    name: "a file that is somebody's directory is no conflict",
    finds: NO_TREE,
    file: CONFLICTS,
    from: 'if (below.kind === "put") report(below.path);',
    to: "",
  },
  {
    name: "a batch-mate's directory is not in the way of a file",
    finds: NO_TREE,
    firstSeed: 155,
    file: TOUCHED,
    from: "if (isAfter(this.#below.get(path), base)) return true;",
    to: "",
  },
  {
    name: "a batch-mate's file is not in the way of what goes below it",
    finds: NO_TREE,
    file: TOUCHED,
    from: "for (const directory of ancestorsOf(path)) if (isAfter(this.#touched.get(directory), base)) return true;",
    to: "",
  },
  {
    name: "what was sent counts as not landed when its caller goes away",
    finds: NOT_FAILED,
    file: PENDING,
    from: "    this.#mayBeApplied = true;\n    return true;",
    to: "    return true;",
  },
  {
    name: "a caller that goes away while the batch is built is not asked about",
    finds: NOT_FAILED,
    firstSeed: 890,
    file: PENDING,
    from: "    if (this.#isSettled) return false;\n    this.#mayBeApplied",
    to: "    this.#mayBeApplied",
  },
  {
    name: "a request that was not sent again means that the first was not sent",
    finds: NOT_FAILED,
    firstSeed: 345,
    file: PUBLISHER,
    from: "if (attempt === 0) {",
    to: "if (attempt >= 0) {",
  },
  {
    name: "readers keep the head they have",
    finds: HISTORY,
    file: "src/core/forge/project-store.ts",
    from: "const read = await this.#read(known, options);",
    to: "const read = known === undefined ? await this.#read(known, options) : undefined;",
  },
  {
    name: "a base newer than the head of the batch is refused",
    finds: HISTORY,
    file: PUBLISHER,
    from: "(isAhead && pending.asksBefore === this.#asks) || ",
    to: "",
  },
  {
    name: "only what this agent may have sent is looked for",
    finds: TWICE,
    file: PUBLISHER,
    from: FIND,
    to: `const known = pending.mayBeApplied ? ${FOUND} : undefined;`,
    also: [
      {
        file: PENDING,
        from: "  get isSettled(): boolean {",
        to: "  get mayBeApplied(): boolean {\n    return this.#mayBeApplied;\n  }\n\n  get isSettled(): boolean {",
      },
    ],
  },
  {
    name: "a swap that the store refuses was lost",
    finds: TWICE,
    file: PUBLISHER,
    from: FIND,
    to: `const known = (pending as any).isLost === true ? undefined : ${FOUND};`,
    also: [
      {
        file: PUBLISHER,
        from: "      this.#mustAsk = true;\n      const capMs",
        to: `      if (outcome.kind === "lost") for (const pending of members) (pending as any).isLost = true;
      this.#mustAsk = true;\n      const capMs`,
      },
    ],
  },
  {
    name: "a path that was changed back is no conflict",
    finds: /landed over a conflict/,
    firstSeed: 25,
    file: PUBLISHER,
    from: '  return paths.length === 0 ? undefined : { kind: "conflict", paths };',
    to: `  const trees = [await snapshot.treeAt(base.position), snapshot.headTree()];
  const differing: typeof paths = [];
  for (const path of paths) {
    const key = new TextEncoder().encode(path.replaceAll("/", String.fromCharCode(0)));
    const [before, now] = await Promise.all(trees.map(async (tree) => String((await tree.get(key))?.value)));
    if (before !== now || before === "undefined") differing.push(path);
  }
  return differing.length === 0 ? undefined : { kind: "conflict", paths: differing };`,
  },
  {
    name: "a client believes a refusal after an answer that did not come",
    finds: NOT_FAILED,
    file: "test/sim/asker.ts",
    from: "if (!isUncertain && refusal !== undefined",
    to: "if (refusal !== undefined",
  },
  {
    name: "a client moves the base of a landing that may have landed",
    finds: /a landing has two positions/,
    firstSeed: 1000,
    file: "test/sim/client.ts",
    from: "      // A careless client uses an id twice.\n",
    to: `      if (attempted.answer === undefined) {
        await this.#sync();
        const fits = operations.every(({ path }) => this.#files.has(path));
        const isMoved = this.#base.position > attempted.request.base.position;
        if (fits && isMoved) await this.pursue(this.attempt({ ...attempted.request, base: this.#base }), 3);
      }\n`,
    also: [SHORT_RING],
  },
];
