/** The projects of a forge, for who looks after all of them. */
import { throwIfAborted } from "../../base/clock.ts";
import { isMicError } from "../../base/errors.ts";
import type { ProjectId } from "../../base/ids.ts";
import { NAMES_PREFIX } from "../../objects/keys.ts";
import type { ForgeContext } from "../context.ts";
import type { EveryProjectOptions } from "../maintenance.ts";
import { decodeFor } from "../projects/names.ts";

const READ_TOGETHER = 32;

/** Each once, deleted ones too. */
export async function* everyProject(
  context: ForgeContext,
  { onDamaged, ...options }: EveryProjectOptions = {},
): AsyncIterable<readonly ProjectId[]> {
  const seen = new Set<ProjectId>();
  for (let after: string | undefined; ; ) {
    throwIfAborted(options.signal);
    const page = await context.store.list(NAMES_PREFIX, {
      limit: READ_TOGETHER,
      ...(after === undefined ? {} : { after }),
      ...options,
    });
    const records = page.objects.map(async ({ key }) => {
      const stored = await context.store.get(key, options);
      if (stored === undefined) return undefined;
      const name = key.slice(NAMES_PREFIX.length);
      try {
        return decodeFor(name, stored.bytes).project;
      } catch (error) {
        if (!isMicError(error, "corrupt") && !isMicError(error, "unsupported")) throw error;
        onDamaged?.(name, error);
        return undefined;
      }
    });
    const found: ProjectId[] = [];
    for (const project of await Promise.all(records)) {
      if (project === undefined || seen.has(project)) continue;
      seen.add(project);
      found.push(project);
    }
    if (found.length > 0) yield found;
    if (page.next === undefined) return;
    after = page.next;
  }
}
