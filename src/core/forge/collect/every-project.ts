/** The projects of a forge, for who looks after all of them. */
import { throwIfAborted } from "../../base/clock.ts";
import type { ProjectId } from "../../base/ids.ts";
import { NAMES_PREFIX } from "../../objects/keys.ts";
import type { ForgeContext } from "../context.ts";
import type { CallOptions } from "../forge.ts";
import { decodeFor } from "../projects/names.ts";

const READ_TOGETHER = 32;

/** Each once, deleted ones too. Errors: `corrupt` for a name record that is damaged. */
export async function* everyProject(
  context: ForgeContext,
  options: CallOptions = {},
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
      return stored === undefined
        ? undefined
        : decodeFor(key.slice(NAMES_PREFIX.length), stored.bytes).project;
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
