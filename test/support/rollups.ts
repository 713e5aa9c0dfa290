/** Rollups for tests: built for every stretch of a log, and put into its head in any combination. */
import type { Epoch, Position } from "../../src/core/base/ids.ts";
import { comparePaths, pathToKey, type TreePath } from "../../src/core/base/path.ts";
import { decodeHead, encodeHead, type RollupRef } from "../../src/core/codec/head.ts";
import { rollupSpan } from "../../src/core/codec/rollup.ts";
import { fingerprintOf, KIND_DELETE, touchedKind } from "../../src/core/codec/rollup-touched.ts";
import type { ProjectStore } from "../../src/core/forge/project-store.ts";
import { type BuiltRollup, buildRollup } from "../../src/core/forge/rollup/build.ts";
import { IdsCursor } from "../../src/core/forge/rollup/cursors.ts";
import type { RollupPlace } from "../../src/core/forge/rollup/extents.ts";
import { dueRollups } from "../../src/core/forge/rollup/levels.ts";
import type { EntryCursor } from "../../src/core/forge/rollup/merge.ts";
import { type WrittenRollup, writeRollup } from "../../src/core/forge/rollup/write.ts";
import { headKey, rollupKey } from "../../src/core/objects/keys.ts";
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

export interface TouchedEntry {
  readonly path: string;
  /** Position − first position of the rollup. */
  readonly position: number;
  /** 64 hex digits; undefined: deleted. */
  readonly id: string | undefined;
}

class ListedEntries implements EntryCursor {
  key: Uint8Array = new Uint8Array(0);
  readonly keyStart = 0;
  keyEnd = 0;
  position = 0;
  kind = KIND_DELETE;
  fingerprints: Uint8Array = new Uint8Array(0);
  readonly fingerprintAt = 0;
  readonly #entries: readonly TouchedEntry[];
  #at = -1;

  constructor(entries: readonly TouchedEntry[]) {
    this.#entries = entries;
  }

  advance(): boolean {
    const entry = this.#entries[++this.#at];
    if (entry === undefined) return false;
    this.key = pathToKey(entry.path as TreePath);
    this.keyEnd = this.key.length;
    this.position = entry.position;
    this.kind = entry.id === undefined ? KIND_DELETE : touchedKind("file");
    if (entry.id !== undefined) this.fingerprints = fingerprintOf(entry.id);
    return true;
  }

  async load(): Promise<boolean> {
    return this.#at < 0 && this.advance();
  }
}

/** A rollup that says this, stored with its front; each position has a landing and a session of its own. */
export async function storeRollup(
  place: RollupPlace & { readonly epoch: Epoch },
  level: number,
  first: Position,
  entries: readonly TouchedEntry[],
): Promise<WrittenRollup> {
  const sorted = [...entries].sort((a, b) => comparePaths(a.path, b.path) || a.position - b.position);
  const ids = Array.from({ length: rollupSpan(level) }, (_, position) => {
    const id = new Uint8Array(16);
    new DataView(id.buffer).setUint32(12, position);
    return { id, position };
  });
  const written = await writeRollup(
    place,
    { level, first },
    {
      digest: "d1".repeat(32),
      touched: [new ListedEntries(sorted)],
      landings: [new IdsCursor(ids)],
      sessions: [new IdsCursor(ids)],
    },
  );
  const { project, epoch, store } = place;
  await store.put(rollupKey(project, epoch, level, first, written.ref.hash), written.bytes);
  return written;
}
