/** Rollups for tests: built for every stretch of a log, and put into its head in any combination. */
import type { Position } from "../../src/core/base/ids.ts";
import { decodeHead, encodeHead, type RollupRef } from "../../src/core/codec/head.ts";
import { rollupSpan } from "../../src/core/codec/rollup.ts";
import type { ProjectStore } from "../../src/core/forge/project-store.ts";
import { type BuiltRollup, buildRollup } from "../../src/core/forge/rollup/build.ts";
import { dueRollups } from "../../src/core/forge/rollup/levels.ts";
import { headKey } from "../../src/core/objects/keys.ts";
import type { ObjectStore } from "../../src/core/store/object-store.ts";

/** Attaches whatever is due, and what is due then. Returns all that were built. */
export async function rollUp(store: ObjectStore, project: ProjectStore): Promise<BuiltRollup[]> {
  const built: BuiltRollup[] = [];
  for (;;) {
    const snapshot = await project.snapshot();
    const due = dueRollups(snapshot.head)[0];
    if (due === undefined) return built;
    const rollup = await buildRollup({ store }, snapshot, due.level, due.first);
    if ((await project.attach(rollup.change)) !== "applied") throw new Error("a rollup did not fit its head");
    built.push(rollup);
  }
}

/** Replaces the rollups in the head as it is stored. */
export async function setRollups(
  store: ObjectStore,
  project: ProjectStore,
  rollups: readonly RollupRef[],
): Promise<void> {
  const key = headKey(project.project);
  const stored = (await store.get(key))!;
  const head = decodeHead(stored.bytes);
  const bytes = encodeHead({ ...head, rollups });
  const outcome = await store.commit([], { key, expected: stored.etag, bytes });
  if (outcome.kind !== "committed") throw new Error("the head moved");
}

/** Those that `keep` takes, from the largest down, none of which covers another. */
export function pickRollups(
  all: readonly BuiltRollup[],
  keep: (level: number, first: Position) => boolean,
): RollupRef[] {
  const picked: RollupRef[] = [];
  for (const { ref } of [...all].sort((a, b) => b.ref.level - a.ref.level)) {
    const isCovered = picked.some(({ first, last }) => first <= ref.first && ref.last <= last);
    if (!isCovered && keep(ref.level, ref.first)) picked.push(ref);
  }
  return picked.sort((a, b) => a.first - b.first);
}

export function lastOf(level: number, first: Position): Position {
  return (first + rollupSpan(level) - 1) as Position;
}
