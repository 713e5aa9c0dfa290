/**
 * Somebody who lands and asks again through any agent until the answer is final. What it was told is kept for the
 * auditor.
 */
import type { Clock } from "../../src/core/base/clock.ts";
import { isMicError } from "../../src/core/base/errors.ts";
import { POSITION_ZERO, type Position } from "../../src/core/base/ids.ts";
import type { LandRequest, LandResult } from "../../src/core/forge/forge.ts";
import { prepareOperations } from "../../src/core/forge/landing/prepared-landing.ts";
import type { SeededRandom } from "../support/seeded-random.ts";
import type { Answer, Attempted, Sighting, Witness } from "./ledger.ts";
import { Since, type TroubledAgent } from "./troubles.ts";

export interface AskerWorld<Agent extends TroubledAgent> {
  /** Whoever may have a part in what an agent does. */
  readonly agents: readonly Agent[];
  readonly random: SeededRandom;
  readonly clock: Clock;
  agent(): Agent;
  note(line: string): void;
}

export abstract class Asker<Agent extends TroubledAgent> implements Witness {
  readonly name: string;
  readonly attempted: Attempted[] = [];
  readonly sightings: Sighting[] = [];
  protected readonly asked: AskerWorld<Agent>;
  protected seen: Position = POSITION_ZERO;

  constructor(name: string, world: AskerWorld<Agent>) {
    this.name = name;
    this.asked = world;
  }

  /** Lands once through an agent. */
  protected abstract send(
    attempted: Attempted,
    agent: Agent,
    controller: AbortController | undefined,
  ): Promise<LandResult>;

  /** Asks until every answer is final. For the end, when nothing fails any more. */
  async settle(): Promise<void> {
    for (const attempted of this.attempted) {
      for (let tries = 0; attempted.answer === undefined; tries++) {
        if (tries > 50) throw new Error(`${this.name}: no final answer for ${attempted.request.landingId}`);
        await this.#attempt(attempted, false);
        await this.asked.clock.sleep(1_000);
      }
    }
  }

  protected see(sighting: Sighting): void {
    this.sightings.push(sighting);
    if (sighting.position < this.seen) {
      throw new Error(`${this.name} went back from ${this.seen} to ${sighting.position}`);
    }
    this.seen = sighting.position;
  }

  protected attempt(request: LandRequest): Attempted {
    const { digest } = prepareOperations(request.base, request.operations);
    const attempted = { request, digest, answer: undefined, isUncertain: false, refusal: undefined };
    this.attempted.push(attempted);
    return attempted;
  }

  protected async pursue(attempted: Attempted, attempts: number): Promise<void> {
    const { random, clock } = this.asked;
    for (let i = 0; i < attempts && attempted.answer === undefined; i++) {
      const copies = random.below(6) === 0 ? 2 : 1;
      await Promise.all(Array.from({ length: copies }, () => this.#attempt(attempted, true)));
      if (attempted.answer !== undefined) return;
      // Nothing is under way and every attempt said that it did not land: then that has to be true.
      const { isUncertain, refusal } = attempted;
      if (!isUncertain && refusal !== undefined && random.below(3) === 0) {
        attempted.answer = { kind: "failed", code: refusal };
        return;
      }
      await clock.sleep(random.below(2_000));
    }
  }

  async #attempt(attempted: Attempted, mayGiveUp: boolean): Promise<void> {
    const { random } = this.asked;
    const agent = this.asked.agent();
    const controller = random.below(5) === 0 && mayGiveUp ? new AbortController() : undefined;
    const since = this.since(agent);
    const { request } = attempted;
    const timeoutMs = mayGiveUp ? 1_000 + random.below(60_000) : 600_000;
    const id = attempted.request.landingId.slice(0, 4);
    try {
      const result = await this.inTime(timeoutMs, () => this.send(attempted, agent, controller));
      if (result === undefined) {
        // The agent hangs or is too slow, and may be at it still.
        attempted.isUncertain = true;
        this.asked.note(`${this.name} ${id} gets no answer from ${agent.name}`);
        return;
      }
      this.asked.note(
        `${this.name} ${id} via ${agent.name}: ${result.kind} ${"position" in result ? result.position : ""}`,
      );
      this.#accept(attempted, result);
    } catch (error) {
      const mayMiss = this.mayMiss(attempted, request);
      this.#refused(attempted, error, (what) =>
        this.expected(error, `${what} ${agent.name}`, since, mayMiss),
      );
    }
  }

  #accept(attempted: Attempted, result: LandResult): void {
    const answer: Answer =
      result.kind === "landed"
        ? { kind: "landed", position: result.position, root: result.root }
        : { kind: "conflict", paths: result.paths };
    const earlier = attempted.answer;
    if (earlier !== undefined && JSON.stringify(earlier) !== JSON.stringify(answer)) {
      // Conflict paths grow as others land, and an agent may not have seen the other use of an id yet.
      const isSameVerdict =
        earlier.kind !== "landed" && earlier.kind !== "failed" && answer.kind === "conflict";
      if (!isSameVerdict) {
        throw new Error(`${this.name} was told ${JSON.stringify(earlier)}, then ${JSON.stringify(answer)}`);
      }
    }
    attempted.answer = answer;
    if (answer.kind !== "landed") return;
    this.sightings.push({ position: answer.position, root: answer.root });
    if (answer.position > this.seen) this.seen = answer.position;
  }

  #refused(attempted: Attempted, error: unknown, codeOf: (what: string) => string): void {
    if (isMicError(error, "landing-id-reused")) {
      attempted.answer ??= { kind: "reused" };
      return;
    }
    const id = attempted.request.landingId.slice(0, 4);
    const code = codeOf(`lands ${id} through`);
    if (code === "outcome-unknown") attempted.isUncertain = true;
    else attempted.refusal = code;
    this.refusedWith(attempted, code);
  }

  /** Whether what a landing needs, as it was sent, may be gone though nobody was stopped. */
  protected mayMiss(_attempted: Attempted, _sent: LandRequest): boolean {
    return false;
  }

  /** For those who can do something about it before they ask again. */
  protected refusedWith(_attempted: Attempted, _code: string): void {
    // Nothing to be done.
  }

  /** To be called before an agent is asked. */
  protected since(agent: Agent): Since {
    return new Since(agent, this.asked.clock.nowMs(), this.asked.agents);
  }

  /** The code of an error that is nobody's fault; throws any other. */
  protected expected(error: unknown, what: string, since: Since, mayMiss = false): string {
    if (!since.excuses(error, mayMiss)) throw error;
    this.asked.note(`${this.name} ${what}: ${error.code} (${error.message})`);
    return error.code;
  }

  /** `undefined` when it takes longer. */
  protected async inTime<T>(timeoutMs: number, run: () => Promise<T>): Promise<T | undefined> {
    const task = run();
    task.catch(() => undefined);
    return await Promise.race([task, this.asked.clock.sleep(timeoutMs).then(() => undefined)]);
  }
}
