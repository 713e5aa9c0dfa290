/** Writes one rollup from sorted streams of what it says, with one block of each in memory. */
import { throwIfAborted } from "../../base/clock.ts";
import { invariant } from "../../base/errors.ts";
import { GarbagePace } from "../../base/garbage.ts";
import { hashObject } from "../../base/hash.ts";
import type { Epoch, Position } from "../../base/ids.ts";
import type { RollupRef } from "../../codec/head.ts";
import { encodeRollupFront, type RollupFront, rollupSpan } from "../../codec/rollup.ts";
import { ID_BYTES } from "../../codec/rollup-ids.ts";
import { rollupPartKey } from "../../objects/keys.ts";
import type { RollupPlace } from "./extents.ts";
import { type EntryCursor, mergeEntries } from "./merge.ts";
import { StreamWriter } from "./stream-writer.ts";
import { IdTableWriter, TouchedTableWriter } from "./table-writer.ts";

/** About as many: what is left behind by reading and writing a block is good for so many items. */
const ENTRIES_PER_BLOCK = 2048;

/** Positions in them are those − first position of the rollup. */
export interface RollupSources {
  /** Of the landings (digest.ts). */
  readonly digest: string;
  readonly touched: readonly EntryCursor[];
  readonly landings: readonly EntryCursor[];
  readonly sessions: readonly EntryCursor[];
}

export interface WrittenRollup {
  readonly ref: RollupRef;
  readonly front: RollupFront;
  /** Of the front. */
  readonly bytes: Uint8Array;
}

/**
 * Stores the parts, under `place.epoch`; the front is left to the caller. Errors: those of the sources and the
 * store, `corrupt` for a landing id that comes twice, `aborted`.
 */
export async function writeRollup(
  place: RollupPlace & { readonly epoch: Epoch },
  { level, first }: { readonly level: number; readonly first: Position },
  sources: RollupSources,
  options: { readonly signal?: AbortSignal } = {},
): Promise<WrittenRollup> {
  const { store, project, epoch } = place;
  const stream = new StreamWriter((part, bytes) =>
    store.put(rollupPartKey(project, epoch, part.hash), bytes, options),
  );
  const touched = new TouchedTableWriter(stream);
  const pace = new GarbagePace();
  await mergeEntries(sources.touched, (entry) => {
    touched.add(entry.key, entry.keyStart, entry.keyEnd, entry);
    if (!touched.isFull) return undefined;
    throwIfAborted(options.signal);
    pace.passed(ENTRIES_PER_BLOCK);
    return touched.flush();
  });
  await touched.close();
  const landings = await writeIds(stream, sources.landings, { mayRepeat: false, pace });
  const sessions = await writeIds(stream, sources.sessions, { mayRepeat: true, pace });
  await stream.endsWith(touched.pageBytes + landings.pageBytes + sessions.pageBytes);
  const tables = {
    touched: await touched.finish(),
    landings: await landings.finish(),
    sessions: await sessions.finish(),
  };
  const inline = await stream.finish();
  const front = { level, first, digest: sources.digest, parts: stream.parts, tables, inline };
  const bytes = encodeRollupFront(front);
  const last = (first + rollupSpan(level) - 1) as Position;
  return { ref: { level, epoch, first, last, hash: hashObject(bytes) }, front, bytes };
}

async function writeIds(
  stream: StreamWriter,
  cursors: readonly EntryCursor[],
  options: { readonly mayRepeat: boolean; readonly pace: GarbagePace },
): Promise<IdTableWriter> {
  const table = new IdTableWriter(stream, options);
  await mergeEntries(cursors, (entry) => {
    invariant(entry.keyEnd - entry.keyStart === ID_BYTES, "an id of another length");
    table.add(entry.key, entry.keyStart, entry.position);
    if (!table.isFull) return undefined;
    options.pace.passed(ENTRIES_PER_BLOCK);
    return table.flush();
  });
  await table.close();
  return table;
}
