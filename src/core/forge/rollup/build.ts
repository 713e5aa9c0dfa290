/** Builds rollups of a log and attaches them to a head. */
import type { Position } from "../../base/ids.ts";
import type { RollupRef } from "../../codec/head.ts";
import type { ForgeContext } from "../context.ts";
import type { HeadChange } from "../head-change.ts";
import type { Snapshot } from "../snapshot.ts";

export interface BuiltRollup {
  readonly ref: RollupRef;
  /** Attaches it, in place of its children. Parts are stored by then; the front comes with the change. */
  readonly change: HeadChange;
}

/**
 * The rollup of one stretch of the log, which `dueRollups` named: from records and operations on level 1, from the
 * ten rollups below it otherwise (one that is damaged is built again first). Parts are stored while they fill.
 * Errors: `unreachable`, `corrupt` for a log that cannot be read, `aborted`.
 */
export async function buildRollup(
  _context: Pick<ForgeContext, "store">,
  _snapshot: Snapshot,
  _level: number,
  _first: Position,
  _options: { readonly signal?: AbortSignal } = {},
): Promise<BuiltRollup> {
  throw new Error("soon");
}
