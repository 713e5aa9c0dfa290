/** The log in the end, against what everybody did. */
import type { Position } from "../../../src/core/base/ids.ts";
import { type Logged, must } from "../auditor.ts";
import { hasMarkers, tokensOf } from "./content.ts";
import type { Person } from "./person.ts";
import type { Truth } from "./world.ts";

export async function auditWorkspaces(
  log: readonly Logged[],
  people: readonly Person[],
  truth: Truth,
): Promise<void> {
  const byName = new Map(people.map((person) => [person.name, person]));
  const goals = new Set<string>();
  for (const { record, operations } of log.slice(1)) {
    const { position, author, goal, landingId } = record;
    const person = byName.get(author);
    must(person !== undefined, `${position} is by ${author}`);
    must(!goals.has(goal), `"${goal}" landed twice, the second time at ${position}`);
    goals.add(goal);
    const adopted = person.adopted.get(landingId);
    must(adopted === position, `${author} knows nothing of its landing at ${position}`);
    const base = await truth.at(record.base.position);
    const before = await truth.at((position - 1) as Position);
    const after = await truth.at(position);
    for (const operation of operations) {
      const { path } = operation;
      const now = after.files.get(path)?.text ?? "";
      // Nobody writes the same twice: what is there already was landed a second time. (Modes are.)
      const isThere = before.entries.get(path)?.id === after.entries.get(path)?.id;
      const wasThere = base.entries.get(path)?.id === after.entries.get(path)?.id;
      must(operation.kind === "delete" || !isThere || wasThere, `${position} lands ${path} again`);
      must(!hasMarkers(now), `${position} lands markers in ${path}`);
      const kept = new Set(tokensOf(now));
      for (const token of tokensOf(before.files.get(path)?.text ?? "")) {
        const isMeant = kept.has(token) || person.dropped.has(token);
        must(isMeant, `${position} by ${author} takes ${token} out of ${path}, which nobody asked for`);
      }
    }
  }
  for (const { name, adopted } of people) {
    for (const [id, position] of adopted) {
      const { record } = log[position]!;
      must(record.landingId === id && record.author === name, `${name} took ${position} for its own`);
    }
  }
}
