/** The landings of a project as they come. What is recent is shared by all who follow; the rest is in the log. */
import type { Position, ProjectId } from "../../core/base/ids.ts";
import type { Forge, LandingSummary } from "../../core/forge/forge.ts";
import { NOTHING_SEEN, type Watch } from "./watch.ts";

const RECENT_LANDINGS_MAX = 1024;
/** Characters of goals. */
const RECENT_TEXT_MAX = 4 << 20;
/** Landings that a reader who is behind takes from the log at once. */
const LOG_WINDOW = 64;

export interface LandingsState {
  readonly head: Position;
  readonly recent: RecentLandings;
}

/** The newest landings without a gap, at most so many. */
export class RecentLandings {
  /** Oldest first. */
  #items: LandingSummary[] = [];
  #text = 0;

  /** Consecutive, oldest first. */
  add(landings: readonly LandingSummary[]): void {
    const last = this.#items.at(-1);
    if (last !== undefined && landings[0]?.position !== last.position + 1) this.#drop(this.#items.length);
    this.#items.push(...landings);
    for (const { goal } of landings) this.#text += goal.length;
    let drop = Math.max(0, this.#items.length - RECENT_LANDINGS_MAX);
    let text = this.#text;
    for (let i = 0; i < this.#items.length; i++) {
      if (i >= drop && text <= RECENT_TEXT_MAX) break;
      text -= this.#items[i]!.goal.length;
      drop = Math.max(drop, i + 1);
    }
    this.#drop(drop);
  }

  /** Those after a position, oldest first; undefined when some of them are not here any more. */
  after(position: Position): readonly LandingSummary[] | undefined {
    const first = this.#items[0];
    if (first === undefined || first.position > position + 1) return undefined;
    return this.#items.slice(position + 1 - first.position);
  }

  #drop(count: number): void {
    for (const { goal } of this.#items.splice(0, count)) this.#text -= goal.length;
  }
}

/** The next state of a project. `told`: a position that somebody saw, which saves asking for the head. */
export async function readLandings(
  forge: Forge,
  project: ProjectId,
  previous: LandingsState | undefined,
  told: Position | undefined,
  signal: AbortSignal,
): Promise<LandingsState> {
  if (previous === undefined) {
    const { position } = await forge.getHead(project, { signal });
    return { head: position, recent: new RecentLandings() };
  }
  const { head, recent } = previous;
  const position =
    told !== undefined && told > head ? told : (await forge.getHead(project, { signal })).position;
  if (position <= head) return previous;
  const after = Math.max(head, position - RECENT_LANDINGS_MAX) as Position;
  recent.add(await logBetween(forge, project, after, position, signal));
  return { head: position, recent };
}

/** Every landing after a position, until the signal fires. */
export async function* followLandings(
  forge: Forge,
  project: ProjectId,
  after: Position,
  watch: Watch<LandingsState>,
  signal: AbortSignal,
): AsyncIterable<LandingSummary> {
  let position = after;
  let seen = NOTHING_SEEN;
  for (;;) {
    const next = await watch.next(seen, signal);
    if (next === undefined) return;
    seen = next.version;
    const { head, recent } = next.value;
    while (position < head) {
      const upTo = Math.min(head, position + LOG_WINDOW) as Position;
      const landings = recent.after(position) ?? (await logBetween(forge, project, position, upTo, signal));
      for (const landing of landings) {
        if (signal.aborted) return;
        yield landing;
        position = landing.position;
      }
    }
  }
}

/** Of (after, upTo], oldest first. */
async function logBetween(
  forge: Forge,
  project: ProjectId,
  after: Position,
  upTo: Position,
  signal: AbortSignal,
): Promise<LandingSummary[]> {
  const landings: LandingSummary[] = [];
  for await (const page of forge.listLandings(project, { after, upTo }, { signal })) landings.push(...page);
  return landings.reverse();
}
