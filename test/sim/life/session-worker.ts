/** Somebody who records work in sessions, through any agent, and lands or abandons them hours or days later. */
import { isMicError } from "../../../src/core/base/errors.ts";
import type { SessionId } from "../../../src/core/base/ids.ts";
import { mintSessionId } from "../../../src/core/base/random.ts";
import type { LandRequest, LandResult, Operation, PositionRef } from "../../../src/core/forge/forge.ts";
import { Author } from "./author.ts";
import { lookAtSessions } from "./session-list.ts";
import { DAY_MS, HOUR_MS, type LifeAgent, SECOND_MS } from "./world.ts";

const TRIES = 12;
const CALL_TIMEOUT_MS = 5 * 60 * SECOND_MS;

export interface WorkedSession {
  readonly id: SessionId;
  readonly goal: string;
  readonly owner: string;
  readonly base: PositionRef;
  /** When it was acknowledged. */
  startedMs: number;
  /** Recorded and acknowledged. */
  readonly operations: Operation[];
  readonly decisions: string[];
  /** A landing or an abandonment was asked for. */
  mayBeClosed: boolean;
  /** An abandonment was asked for; or acknowledged. */
  abandoned: "no" | "asked" | "yes";
}

export class SessionWorker extends Author {
  override async live(): Promise<void> {
    while (!this.world.isOver) {
      await this.world.rest();
      if (this.world.isOver) return;
      await this.syncNow();
      await this.#work();
    }
  }

  async #work(): Promise<void> {
    const { random } = this.world;
    const { id } = this.project;
    const session: WorkedSession = {
      id: mintSessionId(random),
      goal: `session of ${this.name}`,
      owner: this.name,
      base: this.baseNow(),
      startedMs: 0,
      mayBeClosed: false,
      operations: [],
      decisions: [],
      abandoned: "no",
    };
    const { goal, owner, base } = session;
    const operations = this.changeNow().map((operation) => ({ ...operation, hint: 0 }));
    if (operations.length === 0) return;
    const isStarted = await this.#until(`starts ${session.id.slice(0, 4)}`, (agent) =>
      agent.forge.startSession(id, { id: session.id, goal, owner, base }),
    );
    if (!isStarted) return;
    session.startedMs = this.world.clock.nowMs();
    this.project.sessions.push(session);
    this.world.stats.sessions++;
    if (random.below(3) === 0) await this.#look();
    for (const operation of operations) {
      // One call for each path, so that a call that is applied twice or late changes nothing.
      const isRecorded = await this.#until(`records in ${session.id.slice(0, 4)}`, async (agent) => {
        if (operation.kind === "put") await this.store(agent, operation.entry.id);
        return await agent.forge.recordOperations(id, session.id, [operation]);
      });
      if (!isRecorded) return;
      session.operations.push(operation);
      if (random.below(6) === 0) await this.world.rest(12 * HOUR_MS);
    }
    const decision = `decided ${random.below(1_000_000)}`;
    const isDecided = await this.#until(`decides in ${session.id.slice(0, 4)}`, (agent) =>
      agent.forge.recordDecision(id, session.id, decision),
    );
    if (!isDecided) return;
    session.decisions.push(decision);
    if (random.below(4) === 0) return await this.#abandon(session);
    if (random.below(5) === 0) await this.world.sleepUntilEnd(random.below(9 * DAY_MS));
    else await this.world.rest(24 * HOUR_MS);
    session.mayBeClosed = true;
    await this.#land(session);
  }

  /** Just after one was started, which a list may not show yet. */
  async #look(): Promise<void> {
    const agent = this.world.agent();
    const since = this.since(agent);
    try {
      await this.inTime(CALL_TIMEOUT_MS, () => lookAtSessions(this.name, this.world, this.project, agent));
    } catch (error) {
      this.expected(error, `lists sessions through ${agent.name}`, since);
    }
  }

  async #abandon(session: WorkedSession): Promise<void> {
    session.mayBeClosed = true;
    session.abandoned = "asked";
    const isDone = await this.#until(`abandons ${session.id.slice(0, 4)}`, async (agent) => {
      try {
        await agent.forge.abandonSession(this.project.id, session.id);
        return true;
      } catch (error) {
        if (isMicError(error, "landed")) return true;
        throw error;
      }
    });
    if (isDone) session.abandoned = "yes";
  }

  async #land(session: WorkedSession): Promise<void> {
    const first = this.attempt({ ...this.request(session.operations, session.id), base: session.base });
    await this.pursue(first, 3);
    if (first.answer?.kind !== "conflict" || this.world.random.below(2) === 0) return;
    // Merged with what was landed meanwhile, it lands under a new id.
    await this.syncNow();
    if (!this.fits(session.operations)) return;
    await this.pursue(this.attempt(this.request(session.operations, session.id)), 3);
  }

  protected override land(
    agent: LifeAgent,
    request: LandRequest,
    options: { readonly signal?: AbortSignal } = {},
  ): Promise<LandResult> {
    const { session, landingId, base, author } = request;
    return agent.forge.landSession(
      this.project.id,
      { session: session!, landingId, base, author, agent: "" },
      options,
    );
  }

  /** Calls through one agent after the other until one says that it is done; false when none does. */
  async #until(what: string, call: (agent: LifeAgent) => Promise<unknown>): Promise<boolean> {
    for (let tries = 0; tries < TRIES; tries++) {
      const agent = this.world.agent();
      const since = this.since(agent);
      try {
        const done = await this.inTime(CALL_TIMEOUT_MS, async () => {
          await call(agent);
          return true;
        });
        if (done === true) return true;
      } catch (error) {
        this.expected(error, `${what} through ${agent.name}`, since);
      }
      await this.world.clock.sleep(this.world.random.below(60 * SECOND_MS));
    }
    return false;
  }
}
