/** Live streams over a forge: one watch for each project or session that somebody follows. */
import type { Clock } from "../../core/base/clock.ts";
import type { Position, ProjectId, SessionId } from "../../core/base/ids.ts";
import type { Forge, LandingSummary } from "../../core/forge/forge.ts";
import { followLandings, type LandingsState, readLandings } from "./landings-feed.ts";
import type { LiveEvents, SessionEvent } from "./live-events.ts";
import { followSession, nextView, parseSessionCursor, type SessionView } from "./session-feed.ts";
import { Watch } from "./watch.ts";

const POLL_MS_DEFAULT = 1_000;

export interface LiveEventsOptions {
  readonly forge: Forge;
  readonly clock: Clock;
  /** How often what other processes do is looked for. Default 1 s. */
  readonly pollMs?: number;
}

/** Where those who change something say so. */
export interface ChangeNotices {
  landed(project: ProjectId, position: Position): void;
  sessionChanged(project: ProjectId, session: SessionId): void;
}

interface ProjectWatch {
  readonly watch: Watch<LandingsState>;
  told: Position | undefined;
}

export function createLiveEvents(options: LiveEventsOptions): LiveEvents & ChangeNotices {
  return new WatchedEvents(options);
}

class WatchedEvents implements LiveEvents, ChangeNotices {
  readonly #forge: Forge;
  readonly #clock: Clock;
  readonly #pollMs: number;
  readonly #projects = new Map<ProjectId, ProjectWatch>();
  readonly #sessions = new Map<string, Watch<SessionView>>();
  #isClosed = false;

  constructor(options: LiveEventsOptions) {
    this.#forge = options.forge;
    this.#clock = options.clock;
    this.#pollMs = options.pollMs ?? POLL_MS_DEFAULT;
  }

  landed(project: ProjectId, position: Position): void {
    const watched = this.#projects.get(project);
    if (watched === undefined) return;
    watched.told = Math.max(watched.told ?? 0, position) as Position;
    watched.watch.notice();
  }

  sessionChanged(project: ProjectId, session: SessionId): void {
    this.#sessions.get(sessionName(project, session))?.notice();
  }

  async *landings(project: ProjectId, after: Position, signal: AbortSignal): AsyncIterable<LandingSummary> {
    if (this.#isClosed) return;
    const { watch } = this.#projectWatch(project);
    using _use = watch.use();
    yield* followLandings(this.#forge, project, after, watch, signal);
  }

  async *session(
    project: ProjectId,
    session: SessionId,
    cursor: string | undefined,
    signal: AbortSignal,
  ): AsyncIterable<SessionEvent> {
    const resumeAt = cursor === undefined ? undefined : parseSessionCursor(cursor);
    if (this.#isClosed) return;
    const watch = this.#sessionWatch(project, session);
    using _use = watch.use();
    yield* followSession(watch, resumeAt, signal);
  }

  #projectWatch(project: ProjectId): ProjectWatch {
    const known = this.#projects.get(project);
    if (known !== undefined) return known;
    const watched: ProjectWatch = {
      told: undefined,
      watch: new Watch<LandingsState>({
        clock: this.#clock,
        pollMs: this.#pollMs,
        read: (previous, signal) => {
          const { told } = watched;
          watched.told = undefined;
          return readLandings(this.#forge, project, previous, told, signal);
        },
        onIdle: () => {
          if (this.#projects.get(project) === watched) this.#projects.delete(project);
        },
      }),
    };
    this.#projects.set(project, watched);
    return watched;
  }

  #sessionWatch(project: ProjectId, session: SessionId): Watch<SessionView> {
    const name = sessionName(project, session);
    const known = this.#sessions.get(name);
    if (known !== undefined) return known;
    const watch: Watch<SessionView> = new Watch<SessionView>({
      clock: this.#clock,
      pollMs: this.#pollMs,
      read: async (previous, signal) =>
        nextView(previous, await this.#forge.getSession(project, session, { signal })),
      onIdle: () => {
        if (this.#sessions.get(name) === watch) this.#sessions.delete(name);
      },
    });
    this.#sessions.set(name, watch);
    return watch;
  }

  /** Ends every stream. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    for (const { watch } of this.#projects.values()) watch.close();
    for (const watch of this.#sessions.values()) watch.close();
  }
}

function sessionName(project: ProjectId, session: SessionId): string {
  return `${project}/${session}`;
}
