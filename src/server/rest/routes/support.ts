/** What the handlers of several routes have in common. */
import type { Position, ProjectId } from "../../../core/base/ids.ts";
import type { Forge } from "../../../core/forge/forge.ts";

/** A position that was given, or the head's. Errors: `not-found` for the project. */
export async function positionOf(
  forge: Forge,
  project: ProjectId,
  at: Position | "latest",
): Promise<Position> {
  return at === "latest" ? (await forge.getHead(project)).position : at;
}

/** Options of a page, without what was not given. */
export function pageRequest(query: { readonly after?: string | undefined; readonly limit: number }): {
  readonly after?: string;
  readonly limit: number;
} {
  const { after, limit } = query;
  return after === undefined ? { limit } : { after, limit };
}

/** `undefined` members taken out, as exact optional properties want it. */
export function defined<T extends object>(value: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(value).filter(([, each]) => each !== undefined)) as {
    [K in keyof T]: Exclude<T[K], undefined>;
  };
}
