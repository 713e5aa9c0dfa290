/** Positions that a rollup knows: of landing ids, of sessions, of paths. */
import { hexToBytes } from "../../base/bytes.ts";
import type { LandingId, Position, SessionId } from "../../base/ids.ts";
import { pathToKey, type TreePath } from "../../base/path.ts";
import { filterProbe } from "../../codec/path-filter.ts";
import { outermost } from "../../prolly/path-ranges.ts";
import type { OpenRollup } from "./read.ts";
import { isInRange, type KeyQuery, TableWalk } from "./walk.ts";

/** With more blocks than this the log itself is as good. */
const BLOCKS_MAX = 256;
const BLOCKS_TOGETHER = 32;

/** Where a landing id landed, or the newest place where a session did. Errors: DamagedRollupError, `unreachable`. */
export async function findInRollup(
  rollup: OpenRollup,
  table: "landings" | "sessions",
  id: LandingId | SessionId,
): Promise<Position | undefined> {
  const key = hexToBytes(id);
  const query: KeyQuery = { key, probes: [filterProbe("touched", key)] };
  const [candidate] = await new TableWalk(rollup, table, [query], Number.MAX_SAFE_INTEGER).next();
  if (candidate === undefined) return undefined;
  const [block] = await rollup.idBlocks([candidate.extent]);
  const { keys, positions } = block!;
  const at = keys.lowerBound(key);
  if (at === keys.length || keys.compare(at, key) !== 0) return undefined;
  return (rollup.ref.first + positions[at]!) as Position;
}

/**
 * Positions in (after, upTo] that touched one of the paths or something below them, newest first; undefined when
 * there is so much of it that the log is read as quickly. Errors: DamagedRollupError, `unreachable`.
 */
export async function positionsTouching(
  rollup: OpenRollup,
  paths: readonly TreePath[],
  after: Position,
  upTo: Position,
): Promise<readonly Position[] | undefined> {
  const queries = outermost(paths).map((path): KeyQuery => {
    const key = pathToKey(path);
    const end = new Uint8Array(key.length + 1);
    end.set(key);
    end[key.length] = 1;
    // A block has the path itself, or something below it, or neither.
    return { key, end, probes: [filterProbe("touched", key), filterProbe("ancestor", key)] };
  });
  const found = new Set<number>();
  const { first } = rollup.ref;
  const walk = new TableWalk(rollup, "touched", queries, 0);
  let blocksLeft = BLOCKS_MAX;
  for (;;) {
    const candidates = await walk.next();
    if (candidates.length === 0) break;
    blocksLeft -= candidates.length;
    if (blocksLeft < 0) return undefined;
    for (let from = 0; from < candidates.length; from += BLOCKS_TOGETHER) {
      const together = candidates.slice(from, from + BLOCKS_TOGETHER);
      const blocks = await rollup.touchedBlocks(together.map(({ extent }) => extent));
      for (const [i, { walks }] of together.entries()) {
        const { keys, entryEnds, positions } = blocks[i]!;
        for (const state of walks) {
          const { query } = state;
          for (let n = keys.lowerBound(query.key); n < keys.length && isInRange(keys, n, query); n++) {
            for (let entry = n === 0 ? 0 : entryEnds[n - 1]!; entry < entryEnds[n]!; entry++) {
              const position = first + positions[entry]!;
              if (position > after && position <= upTo) found.add(position);
            }
          }
        }
      }
    }
  }
  return [...found].sort((a, b) => b - a) as Position[];
}
