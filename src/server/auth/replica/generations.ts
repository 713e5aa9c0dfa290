/** Replicas of past primaries: the last few stay, for whoever must look back. */
import type { ObjectStore } from "../../../core/store/object-store.ts";
import type { ServerLog } from "../../context.ts";
import { parseGeneration } from "./litestream-config.ts";

export const GENERATIONS_KEPT = 5;
const PREFIX = "generations/";

/** Of those below `newest`, all but the last few are deleted. Nobody restores them: the lease names a later one. */
export async function removeOldGenerations(
  store: ObjectStore,
  newest: number,
  log: ServerLog,
): Promise<void> {
  try {
    let after: string | undefined;
    do {
      const page = await store.list(PREFIX, after === undefined ? {} : { after });
      const old = page.objects.filter(
        ({ key }) => (parseGeneration(key) ?? newest) <= newest - GENERATIONS_KEPT,
      );
      if (old.length > 0) await store.delete(old.map(({ key }) => key));
      // Keys are in the order of their generations.
      if (old.length < page.objects.length) return;
      after = page.next;
    } while (after !== undefined);
  } catch (error) {
    log.warn("auth-replica", { message: error instanceof Error ? error.message : String(error) });
  }
}
