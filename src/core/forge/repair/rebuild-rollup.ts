/** Builds a rollup that is damaged again, from the log. */
import type { RollupRef } from "../../codec/head.ts";
import type { ForgeContext } from "../context.ts";
import type { ProjectStore } from "../project-store.ts";
import { buildRollup } from "../rollup/build.ts";

/**
 * After it the project has the rollup, under today's epoch: `rebuilt`; or its head no longer names the old one:
 * `obsolete`. Errors: those of `buildRollup` and of the head's swap.
 */
export async function rebuildRollup(
  context: Pick<ForgeContext, "store">,
  project: ProjectStore,
  ref: RollupRef,
  options: { readonly signal?: AbortSignal } = {},
): Promise<"rebuilt" | "obsolete"> {
  const snapshot = await project.snapshot(options);
  const isThere = snapshot.head.rollups.some(({ hash, epoch }) => hash === ref.hash && epoch === ref.epoch);
  if (!isThere) return "obsolete";
  const built = await buildRollup(context, snapshot, ref.level, ref.first, options);
  if (built.ref.hash === ref.hash && built.ref.epoch === ref.epoch) {
    // The name in the head is right already: what it leads to was put back.
    for (const { key, bytes } of built.puts) await context.store.put(key, bytes, options);
    snapshot.rollups.forgive(ref);
    return "rebuilt";
  }
  return (await project.attach(built.change, options)) === "applied" ? "rebuilt" : "obsolete";
}
