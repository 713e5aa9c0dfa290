/**
 * Upkeep by a command that works on a directory or a bucket, where no server does it: after its answer is out, when
 * what it has seen of the project shows that something is due.
 */
import type { Position, ProjectId } from "../core/base/ids.ts";
import type { Forge } from "../core/forge/forge.ts";
import { maintenanceOf } from "../core/forge/maintenance.ts";
import type { Invocation } from "./invocation.ts";

const BUDGET_MS = 2000;
/** Of a larger one a command would not see the end: it is left to a server. */
const ROLLUP_ENTRIES_MAX = 200_000;
/** Of the positions, one in so many is followed by upkeep: of many who land at the same time, few do the same. */
const TURN = 8;

/**
 * Says nothing and fails nothing: another command does what this one did not. `landedAt`: where this command landed;
 * absent after one that stored much.
 */
export async function keepUp(
  invocation: Invocation,
  forge: Forge,
  project: ProjectId,
  landedAt?: Position,
): Promise<void> {
  const maintenance = maintenanceOf(forge);
  if (maintenance === undefined || (landedAt ?? 0) % TURN !== 0) return;
  const { output, signal } = invocation;
  output.flush();
  // What is begun fits into the time; where it does not after all, on a slow disk or bucket, it ends there.
  const late = AbortSignal.timeout(BUDGET_MS);
  try {
    await maintenance.upkeep(project, {
      budgetMs: BUDGET_MS,
      rollupEntriesMax: ROLLUP_ENTRIES_MAX,
      onlyIfSeen: true,
      signal: AbortSignal.any([signal, late]),
    });
  } catch (error) {
    if (invocation.options.verbose === true) output.note(`upkeep: ${messageOf(error)}`);
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
