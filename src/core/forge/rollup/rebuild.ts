/** Builds a rollup that is missing or damaged again, from the log. */
import { corrupt } from "../../base/errors.ts";
import type { RollupRef } from "../../codec/head.ts";
import type { ObjectStore } from "../../store/object-store.ts";
import type { ChangeOutcome, HeadChange } from "../head/change.ts";
import type { Snapshot } from "../log/snapshot.ts";
import { buildRollup } from "./build.ts";

interface SignalOption {
  readonly signal?: AbortSignal;
}

/** A project whose head can be changed. */
export interface RolledUpProject {
  snapshot(options?: SignalOption): Promise<Snapshot>;
  attach(change: HeadChange, options?: SignalOption): Promise<ChangeOutcome>;
}

/**
 * After it the project has the rollup, under today's epoch: `rebuilt`; or its head no longer names the old one:
 * `obsolete`. What it was made from is built again as well where no head names it any more: of a high level that is all
 * of its stretch of the log. Errors: those of `buildRollup` and of the head's swap.
 */
export async function rebuildRollup(
  { store }: { readonly store: ObjectStore },
  project: RolledUpProject,
  ref: RollupRef,
  options: SignalOption = {},
): Promise<"rebuilt" | "obsolete"> {
  const snapshot = await project.snapshot(options);
  const isThere = snapshot.head.rollups.some(({ hash, epoch }) => hash === ref.hash && epoch === ref.epoch);
  if (!isThere) return "obsolete";
  if (ref.last > snapshot.head.position) throw corrupt("head", `it names a rollup up to ${ref.last}`);
  const built = await buildRollup({ store }, snapshot, ref.level, ref.first, options);
  if (built.ref.hash === ref.hash && built.ref.epoch === ref.epoch) {
    // The name in the head is right already: what it leads to was put back.
    for (const { key, bytes } of built.puts) await store.put(key, bytes, options);
    snapshot.rollups.forgive(ref);
    return "rebuilt";
  }
  return (await project.attach(built.change, options)) === "applied" ? "rebuilt" : "obsolete";
}
