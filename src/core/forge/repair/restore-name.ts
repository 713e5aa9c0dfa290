/** Writes the record of a name again, as the meta of its project says. */
import { isMicError } from "../../base/errors.ts";
import type { ProjectId } from "../../base/ids.ts";
import { encodeName } from "../../codec/name.ts";
import { NAMES_PREFIX } from "../../objects/keys.ts";
import type { ForgeContext } from "../context.ts";
import type { CallOptions } from "../forge.ts";
import type { LostName } from "../fsck/damage.ts";
import { projectsNamed } from "../projects/locate.ts";
import { decodeFor } from "../projects/names.ts";

/**
 * True when it was written. One that is sound by now stays as it is, and so do one that newer code wrote and one that
 * the meta of another project says is its own: nothing tells whose it was. A swap without an answer is not repeated: the
 * next check tells. `keepAside`: keeps a copy of the damaged record first.
 */
export async function restoreName(
  context: Pick<ForgeContext, "store">,
  project: ProjectId,
  { name, state }: LostName,
  keepAside: (key: string) => Promise<void>,
  options: CallOptions,
): Promise<boolean> {
  const { store } = context;
  const key = NAMES_PREFIX + name;
  const stored = await store.get(key, { fresh: true });
  if (stored !== undefined && !isDamaged(name, stored.bytes)) return false;
  const claimants = await projectsNamed(context, name, options);
  if (claimants.some((id) => id !== project)) return false;
  if (stored !== undefined) await keepAside(key);
  const bytes = encodeName({ name, project, state });
  const outcome = await store.commit([], { key, expected: stored?.etag ?? null, bytes });
  return outcome.kind === "committed";
}

function isDamaged(name: string, bytes: Uint8Array): boolean {
  try {
    decodeFor(name, bytes);
    return false;
  } catch (error) {
    if (isMicError(error, "corrupt")) return true;
    if (isMicError(error, "unsupported")) return false;
    throw error;
  }
}
