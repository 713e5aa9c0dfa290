import type { Patch } from "./copy.ts";

/**
 * Lines of the landing protocol, each with what it guards against. The simulator is worth something when it
 * finds every one of them missing.
 */
export interface Mutant extends Patch {
  readonly name: string;
  /** What else is different: other guards against the same, without which nothing would be seen of it. */
  readonly also?: readonly Patch[];
  /** One that finds it: those before it are passed over, to save time. Default 1. */
  readonly firstSeed?: number;
}

export function patchesOf(mutant: Mutant): readonly Patch[] {
  return [mutant, ...(mutant.also ?? [])];
}

const PUBLISHER = "src/core/forge/landing/publisher.ts";
const PENDING = "src/core/forge/landing/pending.ts";
const SNAPSHOT = "src/core/forge/log/snapshot.ts";
const BATCH = "src/core/forge/landing/batch.ts";
const TOUCHED = "src/core/forge/log/touched-paths.ts";
const CONFLICTS = "src/core/forge/landing/conflicts.ts";

export const MUTANTS: readonly Mutant[] = [
  {
    name: "no look-up before building on a head",
    file: PUBLISHER,
    from: "const known = await snapshot.findLanding(landingId, base.position);",
    to: "const known = undefined as LandingRecord | undefined;",
  },
  {
    name: "only the newest id is looked for",
    file: SNAPSHOT,
    from: "const index = ring.lastIndexOf(landingId);",
    to: "const index = ring.at(-1) === landingId ? ring.length - 1 : -1;",
  },
  {
    name: "the digest of a repeated id is not compared",
    file: PUBLISHER,
    from: "known.digest === landing.digest && known.author === request.author",
    to: "known.author === request.author",
  },
  {
    name: "a clash with a batch-mate is reported before the swap",
    file: PUBLISHER,
    from: "        waiting.push(pending);\n",
    to: '        pending.resolve({ kind: "conflict", paths: [pending.landing.request.operations[0]!.path] });\n',
  },
  {
    name: "batch-mates are not checked against each other",
    file: BATCH,
    from: "doClash(landing.request.operations, request.operations)",
    to: "false",
  },
  {
    name: "the same id twice in one batch",
    file: BATCH,
    from: "if (this.#ids.has(request.landingId)) return true;",
    to: "",
  },
  {
    name: "the landing right after the base is not looked at",
    file: CONFLICTS,
    from: "snapshot.records(base, upTo, options)",
    to: "snapshot.records(Math.min(base + 1, upTo) as Position, upTo, options)",
  },
  {
    name: "only the newest landing is looked at",
    file: CONFLICTS,
    from: "snapshot.records(base, upTo, options)",
    to: "snapshot.records((upTo - 1) as Position, upTo, options)",
  },
  {
    name: "a file that is somebody's directory is no conflict",
    file: CONFLICTS,
    from: 'if (below.kind === "put") report(below.path);',
    to: "",
  },
  {
    name: "a batch-mate's directory is not in the way of a file",
    firstSeed: 155,
    file: TOUCHED,
    from: "if (isAfter(this.#below.get(path), base)) return true;",
    to: "",
  },
  {
    name: "a batch-mate's file is not in the way of what goes below it",
    file: TOUCHED,
    from: "for (const directory of ancestorsOf(path)) if (isAfter(this.#touched.get(directory), base)) return true;",
    to: "",
  },
  {
    name: "what was sent counts as not landed when its caller goes away",
    file: PENDING,
    from: "    this.#mayBeApplied = true;\n    return true;",
    to: "    return true;",
  },
  {
    name: "a caller that goes away while the batch is built is not asked about",
    firstSeed: 890,
    file: PENDING,
    from: "    if (this.#isSettled) return false;\n    this.#mayBeApplied",
    to: "    this.#mayBeApplied",
  },
  {
    name: "a request that was not sent again means that the first was not sent",
    firstSeed: 345,
    file: PUBLISHER,
    from: "if (attempt === 0) {",
    to: "if (attempt >= 0) {",
  },
  {
    name: "readers keep the head they have",
    file: "src/core/forge/project-store.ts",
    from: "const read = await this.#read(known, options);",
    to: "const read = known === undefined ? await this.#read(known, options) : undefined;",
  },
  {
    name: "a base newer than the head of the batch is refused",
    file: PUBLISHER,
    from: "(isAhead && pending.asksBefore === this.#asks) || ",
    to: "",
  },
];

/** Not a mutant: the index of the recent log is asked about every landing, not only about those from far back. */
export const INDEX_AT_ONCE: Mutant = {
  name: "the index of the recent log for every landing",
  file: "src/core/forge/log/recent-log.ts",
  from: "const WALKED_MAX = 32;",
  to: "const WALKED_MAX = 0;",
};

/** Not a mutant: with a ring of four ids, most look-ups need the log behind it. */
export const SHORT_RING: Mutant = {
  name: "a ring of four ids, and the log behind it",
  file: BATCH,
  from: "export const RING_SIZE = 256;",
  to: "export const RING_SIZE = 4;",
};
