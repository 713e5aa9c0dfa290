/** Writes the record of a name again, as the meta of its project says. */
import { isMicError } from "../../base/errors.ts";
import type { ProjectId } from "../../base/ids.ts";
import { encodeName } from "../../codec/name.ts";
import { NAMES_PREFIX } from "../../objects/keys.ts";
import type { ForgeContext } from "../context.ts";
import type { LostName } from "../fsck/damage.ts";
import { decodeFor } from "../projects/names.ts";

/**
 * True when it was written. One that is sound by now stays as it is, and so does one that newer code wrote. A swap
 * without an answer is not repeated: the next check tells. `keepAside`: keeps a copy of the damaged record first.
 */
export async function restoreName(
  { store }: Pick<ForgeContext, "store">,
  project: ProjectId,
  { name, state }: LostName,
  keepAside: (key: string) => Promise<void>,
): Promise<boolean> {
  const key = NAMES_PREFIX + name;
  const stored = await store.get(key, { fresh: true });
  if (stored !== undefined) {
    if (!isDamaged(name, stored.bytes)) return false;
    await keepAside(key);
  }
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
