/** A list of sessions as somebody asked for it in the middle of things, and what must hold of it. */
import type { ListSessions, SessionSummary } from "../../../src/core/forge/forge.ts";
import type { LifeProject } from "./project.ts";
import { FRESH_MS, type LifeAgent, type LifeWorld } from "./world.ts";

/**
 * Reads every page of all sessions, or (which looks at fewer objects) of those that are open. Throws where a session
 * is missing that is not new, comes twice, or contradicts itself.
 */
export async function lookAtSessions(
  name: string,
  world: LifeWorld,
  project: LifeProject,
  { forge }: LifeAgent,
): Promise<void> {
  const { random, clock } = world;
  const settled = project.sessions.filter(({ startedMs }) => startedMs < clock.nowMs() - FRESH_MS);
  const isAll = random.below(6) === 0;
  const request: ListSessions = {
    limit: random.below(4) === 0 ? 4 : 100,
    ...(isAll ? {} : { state: "open" }),
  };
  const listed = new Map<string, SessionSummary>();
  for (let after: string | undefined; ; ) {
    const page = await forge.listSessions(project.id, after === undefined ? request : { ...request, after });
    for (const session of page.items) {
      if (listed.has(session.id)) throw new Error(`${name} saw session ${session.id} twice in a list`);
      listed.set(session.id, session);
    }
    if (page.next === undefined) break;
    after = page.next;
  }
  for (const { id, mayBeClosed } of settled) {
    if ((isAll || !mayBeClosed) && !listed.has(id)) {
      throw new Error(`${name} did not see session ${id} in a list`);
    }
  }
  for (const { id, state, landedAt } of listed.values()) {
    if ((state === "landed") !== (landedAt !== undefined)) {
      throw new Error(`${name} saw session ${id} listed as ${state}, landed at ${landedAt}`);
    }
  }
}
