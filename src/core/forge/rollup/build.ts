/** Builds rollups of a log: from its records on the lowest level, from the rollups below elsewhere. */

import { hexToBytes } from "../../base/bytes.ts";
import { throwIfAborted } from "../../base/clock.ts";
import { invariant, MicError } from "../../base/errors.ts";
import { type Epoch, epochOf, type Position } from "../../base/ids.ts";
import type { RollupRef } from "../../codec/head.ts";
import type { LandingRecord } from "../../codec/landing-record.ts";
import { type RollupFront, rollupSpan } from "../../codec/rollup.ts";
import { rollupKey } from "../../objects/keys.ts";
import type { Put } from "../../store/object-store.ts";
import type { ForgeContext } from "../context.ts";
import type { HeadChange } from "../head/change.ts";
import type { Snapshot } from "../log/snapshot.ts";
import { attachRollup } from "./attach.ts";
import { IdsCursor, IdTableCursor, OperationsCursor, type ReadableRollup, TouchedCursor } from "./cursors.ts";
import { digestOfDigests, digestOfRecords } from "./digest.ts";
import { DamagedRollupError, readFront } from "./extents.ts";
import { ROLLUP_FANOUT } from "./levels.ts";
import { rollupsWithin } from "./segments.ts";
import { type RollupSources, type WrittenRollup, writeRollup } from "./write.ts";

export interface BuiltRollup {
  readonly ref: RollupRef;
  readonly front: RollupFront;
  /** The front. Parts are stored already. */
  readonly puts: readonly Put[];
  /** Attaches it, in place of the rollups that it was built from. */
  readonly change: HeadChange;
}

interface SignalOption {
  readonly signal?: AbortSignal;
}

/**
 * The rollup of one stretch of the log, which `dueRollups` named: from records and operations on level 1, from the
 * ten rollups below it otherwise (one that is missing or damaged is built again first). Parts are stored while they
 * fill. Errors: `unreachable`, `corrupt` for a log that cannot be read, `aborted`.
 */
export async function buildRollup(
  context: Pick<ForgeContext, "store">,
  snapshot: Snapshot,
  level: number,
  first: Position,
  options: SignalOption = {},
): Promise<BuiltRollup> {
  const last = (first + rollupSpan(level) - 1) as Position;
  const replaces = rollupsWithin(snapshot.head.rollups, { first, last });
  const isPart = replaces.some((ref) => ref.level > level);
  invariant(last <= snapshot.head.position && !isPart, `a rollup of ${first} to ${last} on level ${level}`);
  const builder = new RollupBuilder(context, snapshot, epochOf(await context.store.nowMs()), options);
  const { ref, front, bytes } = await builder.build(level, first);
  const { project } = snapshot;
  const key = rollupKey(project, ref.epoch, ref.level, ref.first, ref.hash);
  const puts = [{ key, bytes }];
  const origin = { replaces, read: builder.readOutside(replaces) };
  return { ref, front, puts, change: attachRollup(ref, origin, puts) };
}

class RollupBuilder {
  readonly #context: Pick<ForgeContext, "store">;
  readonly #snapshot: Snapshot;
  readonly #epoch: Epoch;
  readonly #options: SignalOption;
  /** Children that the head does not name, or that are damaged there: what was built instead. */
  readonly #replaced = new Map<string, ReadableRollup>();
  /** Digests of the stretches that were read from the log, by first position. */
  readonly #read = new Map<Position, string>();

  constructor(context: Pick<ForgeContext, "store">, snapshot: Snapshot, epoch: Epoch, options: SignalOption) {
    this.#context = context;
    this.#snapshot = snapshot;
    this.#epoch = epoch;
    this.#options = options;
  }

  /** Those in none of `rollups`, by first position. */
  readOutside(rollups: readonly RollupRef[]): ReadonlyMap<Position, string> {
    const outside = [...this.#read].filter(
      ([first]) => !rollups.some((ref) => ref.first <= first && first <= ref.last),
    );
    return new Map(outside);
  }

  async build(level: number, first: Position): Promise<WrittenRollup> {
    throwIfAborted(this.#options.signal);
    if (level === 1) return await this.#write(level, first, await this.#fromLog(first));
    for (;;) {
      const children: ReadableRollup[] = [];
      for (let i = 0; i < ROLLUP_FANOUT; i++) {
        children.push(await this.#child(level - 1, (first + i * rollupSpan(level - 1)) as Position));
      }
      try {
        return await this.#write(level, first, this.#fromChildren(children, first));
      } catch (error) {
        if (!(error instanceof DamagedRollupError)) throw error;
        // Found while it was read: built again, and then all of it once more.
        const { ref } = error;
        // Twice damaged is not what is stored: the store's answers are.
        if (this.#replaced.has(placeOf(ref))) {
          throw new MicError("corrupt", `the rollup of ${ref.first} that was just built reads as damaged`, {
            hint: "try again; `mic fsck` tells whether the store keeps what it is given",
            cause: error,
          });
        }
        await this.#replace(ref.level, ref.first);
      }
    }
  }

  async #child(level: number, first: Position): Promise<ReadableRollup> {
    const replaced = this.#replaced.get(placeOf({ level, first }));
    if (replaced !== undefined) return replaced;
    const { rollups } = this.#snapshot.head;
    const ref = rollups.find((there) => there.level === level && there.first === first);
    if (ref !== undefined) {
      try {
        const { front } = await readFront(this.#place, ref, this.#options);
        return { ref, front };
      } catch (error) {
        if (!(error instanceof DamagedRollupError)) throw error;
      }
    }
    return await this.#replace(level, first);
  }

  /** Builds one that no head will name, and whose front is only here: its parent does not need it for long. */
  async #replace(level: number, first: Position): Promise<ReadableRollup> {
    const { ref, front } = await this.build(level, first);
    this.#replaced.set(placeOf(ref), { ref, front });
    return { ref, front };
  }

  get #place(): { store: ForgeContext["store"]; project: Snapshot["project"] } {
    return { store: this.#context.store, project: this.#snapshot.project };
  }

  async #fromLog(first: Position): Promise<RollupSources> {
    const snapshot = this.#snapshot;
    const last = (first + rollupSpan(1) - 1) as Position;
    const records: LandingRecord[] = [];
    for await (const page of snapshot.records((first - 1) as Position, last, this.#options)) {
      records.push(...page);
    }
    records.reverse();
    const digest = digestOfRecords(records);
    this.#read.set(first, digest);
    const placed = records.map((record) => ({ record, position: record.position - first }));
    return {
      digest,
      touched: placed.map(({ record, position }) => new OperationsCursor(snapshot, record, position)),
      landings: [sortedIds(placed.map(({ record, position }) => ({ hex: record.landingId, position })))],
      sessions: [sortedIds(placed.map(({ record, position }) => ({ hex: record.session, position })))],
    };
  }

  #fromChildren(children: readonly ReadableRollup[], first: Position): RollupSources {
    const place = this.#place;
    return {
      digest: digestOfDigests(children.map(({ front }) => front.digest)),
      touched: children.map((child) => new TouchedCursor(place, child, first)),
      landings: children.map((child) => new IdTableCursor(place, child, "landings", first)),
      sessions: children.map((child) => new IdTableCursor(place, child, "sessions", first)),
    };
  }

  async #write(level: number, first: Position, sources: RollupSources): Promise<WrittenRollup> {
    return await writeRollup(
      { ...this.#place, epoch: this.#epoch },
      { level, first },
      sources,
      this.#options,
    );
  }
}

function placeOf({ level, first }: Pick<RollupRef, "level" | "first">): string {
  return `${level}/${first}`;
}

function sortedIds(ids: readonly { readonly hex: string; readonly position: number }[]): IdsCursor {
  const sorted = [...ids].sort((a, b) =>
    a.hex === b.hex ? a.position - b.position : a.hex < b.hex ? -1 : 1,
  );
  return new IdsCursor(sorted.map(({ hex, position }) => ({ id: hexToBytes(hex), position })));
}
