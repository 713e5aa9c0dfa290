/** The rollups of a head against the log: each must say what one that is built from the log says. */
import { hashObject } from "../../base/hash.ts";
import type { ObjectId } from "../../base/ids.ts";
import type { RollupRef } from "../../codec/head.ts";
import { ROLLUP_TABLES, type RollupFront } from "../../codec/rollup.ts";
import { rollupKey, rollupPartKey } from "../../objects/keys.ts";
import { MemoryStore } from "../../store/memory-store.ts";
import type { ForgeContext } from "../context.ts";
import type { Progress } from "../forge.ts";
import type { Snapshot } from "../log/snapshot.ts";
import { buildRollup } from "../rollup/build.ts";
import { readFront } from "../rollup/extents.ts";
import type { Damage } from "./damage.ts";
import type { Findings } from "./findings.ts";

/** Rollups above this level are built from too much to keep it in memory; their parts and their digest are checked. */
const BUILT_LEVEL_MAX = 3;

/** Warnings: without a rollup everything is slower, and nothing is lost. */
export async function checkRollups(
  context: ForgeContext,
  snapshot: Snapshot,
  findings: Findings,
  damage: Damage,
  onProgress: (progress: Progress) => void,
): Promise<void> {
  const { project, head } = snapshot;
  for (const [done, ref] of head.rollups.entries()) {
    const object = rollupKey(project, ref.epoch, ref.level, ref.first, ref.hash);
    const problem = await findings.judge(() => problemOf(context, snapshot, ref, findings.signal));
    if (problem !== undefined) {
      findings.warning("rollup", `the rollup of ${ref.first} to ${ref.last}: ${problem}`, { object });
      damage.rollups.push(ref);
    }
    onProgress({ done: done + 1, total: head.rollups.length, unit: "objects" });
  }
}

/** Errors: `corrupt`. */
async function problemOf(
  context: ForgeContext,
  snapshot: Snapshot,
  ref: RollupRef,
  signal: AbortSignal | undefined,
): Promise<string | undefined> {
  const { project } = snapshot;
  const { front } = await readFront({ store: context.store, project }, ref);
  for (const { hash, length } of front.parts) {
    const problem = await problemOfPart(context, rollupPartKey(project, ref.epoch, hash), hash, length);
    if (problem !== undefined) return problem;
  }
  if (ref.level > BUILT_LEVEL_MAX) return undefined;
  // What is built is kept apart, for as long as it takes to compare.
  const scratch = { store: new MemoryStore(context.clock) };
  const options = signal === undefined ? {} : { signal };
  const built = await buildRollup(scratch, snapshot.withoutRollups(), ref.level, ref.first, options);
  return saysTheSame(front, built.front) ? undefined : "it does not say what the log says";
}

async function problemOfPart(
  context: ForgeContext,
  key: string,
  hash: ObjectId,
  length: number,
): Promise<string | undefined> {
  const stored = await context.store.get(key, { fresh: true });
  if (stored === undefined) return `its part ${hash} is missing`;
  const isSound = stored.bytes.length === length && hashObject(stored.bytes) === hash;
  return isSound ? undefined : `its part ${hash} is damaged`;
}

/** Up to compression, which another version of zstd may do otherwise. */
function saysTheSame(a: RollupFront, b: RollupFront): boolean {
  return (
    a.digest === b.digest &&
    ROLLUP_TABLES.every((name) => {
      const [left, right] = [a.tables[name], b.tables[name]];
      return left.entries === right.entries && left.content === right.content;
    })
  );
}
