/** The session objects of a project. */
import { corrupt } from "../../base/errors.ts";
import { sessionKey } from "../../objects/keys.ts";
import type { ForgeContext } from "../context.ts";
import type { Snapshot } from "../log/snapshot.ts";
import { sessionIds } from "../sessions/list.ts";
import { readSession } from "../sessions/sessions.ts";
import type { Damage } from "./damage.ts";
import type { Findings } from "./findings.ts";

export async function checkSessions(
  context: ForgeContext,
  snapshot: Snapshot,
  findings: Findings,
  damage: Damage,
): Promise<void> {
  const { project } = snapshot;
  const options = findings.signal === undefined ? {} : { signal: findings.signal };
  for await (const ids of sessionIds(context, project, undefined, options)) {
    for (const id of ids) {
      const object = sessionKey(project, id);
      const read = await findings.attempt({ object }, async () => ({
        session: await readSession(context, project, id, findings.signal),
      }));
      if (read === undefined) damage.kept.push(object);
      const session = read?.session;
      if (session === undefined) continue;
      await findings.attempt({ object }, async () => {
        const isKnown = session.basePosition <= snapshot.head.position;
        if (isKnown && (await snapshot.rootAt(session.basePosition)) === session.baseRoot) return;
        throw corrupt(`session ${id}`, `its base ${session.basePosition} is not in this history`);
      });
    }
  }
}
