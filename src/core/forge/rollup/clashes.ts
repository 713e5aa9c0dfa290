/**
 * Which of our operations clash with the landings that a rollup stands for: conflicts.ts by its tables. Our paths
 * and their ancestors are looked for among the touched paths, our puts also as directories of what others put.
 */
import { throwIfAborted } from "../../base/clock.ts";
import type { Position } from "../../base/ids.ts";
import { ancestorsOf, pathToKey, type TreePath } from "../../base/path.ts";
import { filterProbe } from "../../codec/path-filter.ts";
import {
  FINGERPRINT_BYTES,
  fingerprintOf,
  KIND_DELETE,
  type TouchedBlock,
  touchedKind,
} from "../../codec/rollup-touched.ts";
import type { Operation } from "../forge.ts";
import type { OpenRollup } from "./read.ts";
import { isInRange, type KeyQuery, rangeBelow, TableWalk } from "./walk.ts";

/** Blocks that are in memory at once, beside those in the cache. */
const BLOCKS_TOGETHER = 64;

interface ClashQuery extends KeyQuery {
  /** What we set it to: the same is no clash. Absent: any put is one. */
  readonly own: { readonly kind: number; readonly fingerprint: Uint8Array | undefined } | undefined;
  /** Of our paths: those that a match clashes with. */
  readonly paths: TreePath[];
}

/** What is asked of rollups about some of our operations: a few thousand at most, for each takes memory. */
export class ClashQueries {
  readonly #queries: readonly ClashQuery[];

  constructor(operations: readonly Operation[]) {
    this.#queries = queriesOf(operations);
  }

  /**
   * Reports each of our paths that clashes with a landing after `base`; a path may be reported more than once.
   * Errors: DamagedRollupError, `unreachable`, `aborted`.
   */
  async search(
    rollup: OpenRollup,
    base: Position,
    report: (ours: TreePath) => void,
    signal?: AbortSignal,
  ): Promise<void> {
    const after = base - rollup.ref.first;
    const walk = new TableWalk(rollup, "touched", this.#queries, after + 1);
    for (;;) {
      const candidates = await walk.next();
      if (candidates.length === 0) return;
      for (let from = 0; from < candidates.length; from += BLOCKS_TOGETHER) {
        throwIfAborted(signal);
        const together = candidates.slice(from, from + BLOCKS_TOGETHER);
        const blocks = await rollup.touchedBlocks(together.map(({ extent }) => extent));
        for (const [i, { walks }] of together.entries()) {
          for (const state of walks) {
            if (!hasClash(blocks[i]!, state.query, after)) continue;
            state.isOver = true;
            for (const path of state.query.paths) report(path);
          }
        }
      }
    }
  }
}

function queriesOf(operations: readonly Operation[]): ClashQuery[] {
  const queries: ClashQuery[] = [];
  const belowAncestor = new Map<TreePath, TreePath[]>();
  for (const operation of operations) {
    const { path } = operation;
    const key = pathToKey(path);
    const paths = [path];
    const probes = [filterProbe("touched", key)];
    if (operation.kind === "delete") {
      queries.push({ key, probes, own: { kind: KIND_DELETE, fingerprint: undefined }, paths });
      continue;
    }
    const { kind, id } = operation.entry;
    queries.push({ key, probes, own: { kind: touchedKind(kind), fingerprint: fingerprintOf(id) }, paths });
    queries.push({ ...rangeBelow(key), probes: [filterProbe("ancestor", key)], own: undefined, paths });
    for (const ancestor of ancestorsOf(path)) {
      const known = belowAncestor.get(ancestor);
      if (known === undefined) belowAncestor.set(ancestor, [path]);
      else known.push(path);
    }
  }
  for (const [ancestor, paths] of belowAncestor) {
    const key = pathToKey(ancestor);
    queries.push({ key, probes: [filterProbe("touched", key)], own: undefined, paths });
  }
  return queries;
}

function hasClash(block: TouchedBlock, query: ClashQuery, after: number): boolean {
  const { keys, entryEnds } = block;
  for (let i = keys.lowerBound(query.key); i < keys.length && isInRange(keys, i, query); i++) {
    const start = i === 0 ? 0 : entryEnds[i - 1]!;
    for (let entry = entryEnds[i]! - 1; entry >= start && block.positions[entry]! > after; entry--) {
      if (clashes(block, entry, query.own)) return true;
    }
  }
  return false;
}

function clashes(block: TouchedBlock, entry: number, own: ClashQuery["own"]): boolean {
  const kind = block.kinds[entry]!;
  if (own === undefined) return kind !== KIND_DELETE;
  if (kind !== own.kind) return true;
  const { fingerprint } = own;
  if (fingerprint === undefined) return false;
  const at = block.puts[entry]! * FINGERPRINT_BYTES;
  for (let i = 0; i < FINGERPRINT_BYTES; i++) {
    if (block.fingerprints[at + i] !== fingerprint[i]) return true;
  }
  return false;
}
