/** What the handlers of several routes have in common. */
import type { Position, ProjectId } from "../../../core/base/ids.ts";
import type { Forge, PositionRef } from "../../../core/forge/forge.ts";

/** A position that was given, or the head's. Errors: `not-found` for the project. */
export async function positionOf(
  forge: Forge,
  project: ProjectId,
  at: Position | "latest",
): Promise<Position> {
  return at === "latest" ? (await forge.getHead(project)).position : at;
}

/** The same with its tree. Errors: `not-found`, `out-of-range`. */
export async function positionRefOf(
  forge: Forge,
  project: ProjectId,
  at: Position | "latest",
): Promise<PositionRef> {
  return at === "latest" ? await forge.getHead(project) : await forge.getPosition(project, at);
}

/** Options of a page, without what was not given. */
export function pageRequest(query: { readonly after?: string | undefined; readonly limit: number }): {
  readonly after?: string;
  readonly limit: number;
} {
  const { after, limit } = query;
  return after === undefined ? { limit } : { after, limit };
}
