/**
 * Somebody who works on the project: reads a base, changes a few paths of a small tree, lands, and asks again
 * through any agent until the answer is final. What it was told is kept for the auditor.
 */
import { utf8 } from "../../src/core/base/bytes.ts";
import { isMicError, MicError } from "../../src/core/base/errors.ts";
import { hashObject } from "../../src/core/base/hash.ts";
import { type ObjectId, type PackId, POSITION_ZERO, type Position } from "../../src/core/base/ids.ts";
import { comparePaths, isWithin, keyToPath, type TreePath } from "../../src/core/base/path.ts";
import { mintLandingId } from "../../src/core/base/random.ts";
import { encodePack } from "../../src/core/codec/pack.ts";
import { decodeTreeEntry, type TreeEntry } from "../../src/core/codec/tree-entry.ts";
import type { LandRequest, LandResult, Operation, PositionRef } from "../../src/core/forge/forge.ts";
import { prepareOperations } from "../../src/core/forge/prepared-landing.ts";
import type { Frame } from "../../src/core/objects/frame.ts";
import { FrameBuilder } from "../../src/core/objects/frame-builder.ts";
import { EMPTY_TREE, type World } from "./world.ts";

const PATHS = ["a", "a/x", "a/y", "b", "b/c/d", "e", "f", "g/h"] as TreePath[];
const CONTENTS = ["red", "green", "blue"].map((text) => {
  const bytes = utf8(text);
  return { bytes, id: hashObject(bytes) };
});

/** Codes that an honest request may meet in a world of faults. Anything else is a bug. */
const EXPECTED_CODES = new Set([
  "unreachable",
  "outcome-unknown",
  "aborted",
  "corrupt",
  "out-of-range",
  "not-found",
  "unsupported",
]);

export type Answer =
  | { readonly kind: "landed"; readonly position: Position; readonly root: ObjectId }
  | { readonly kind: "conflict"; readonly paths: readonly TreePath[] }
  /** The id was already used for something else. */
  | { readonly kind: "reused" }
  /** Every attempt ended with an error that says it did not land, and the client gave up. */
  | { readonly kind: "failed"; readonly code: string };

export interface Attempted {
  readonly request: LandRequest;
  readonly digest: string;
  answer: Answer | undefined;
  /** An attempt ended without saying whether it landed. */
  isUncertain: boolean;
  /** Code of the last attempt that said that it did not land. */
  refusal: string | undefined;
}

export interface Sighting {
  readonly position: Position;
  readonly root: ObjectId;
}

type Files = ReadonlyMap<TreePath, TreeEntry>;

export class Client {
  readonly name: string;
  readonly attempted: Attempted[] = [];
  readonly sightings: Sighting[] = [];
  readonly #world: World;
  #base: PositionRef = { position: POSITION_ZERO, root: EMPTY_TREE };
  #files: Files = new Map();
  #seen: Position = POSITION_ZERO;

  constructor(name: string, world: World) {
    this.name = name;
    this.#world = world;
  }

  async work(landings: number): Promise<void> {
    const { random, clock } = this.#world;
    for (let i = 0; i < landings; i++) {
      await clock.sleep(random.below(3_000));
      // Sometimes on an old base.
      if (random.below(4) !== 0) await this.#sync();
      const operations = this.#change();
      if (operations.length === 0) continue;
      const attempted = this.#compose(operations);
      await this.#pursue(attempted, 2 + random.below(6));
      // A careless client uses an id twice.
      if (random.below(12) === 0) await this.#reuse(attempted);
    }
  }

  /** Asks until every answer is final. For the end, when nothing fails any more. */
  async settle(): Promise<void> {
    for (const attempted of this.attempted) {
      for (let tries = 0; attempted.answer === undefined; tries++) {
        if (tries > 50) throw new Error(`${this.name}: no final answer for ${attempted.request.landingId}`);
        await this.#attempt(attempted, false);
        await this.#world.clock.sleep(1_000);
      }
    }
  }

  async #sync(): Promise<void> {
    const agent = this.#world.agent();
    try {
      const base = await this.#inTime(60_000, async () => {
        const snapshot = await agent.project.snapshot({ atLeast: this.#seen });
        const { position, root } = snapshot.head;
        this.#see({ position, root });
        const files = new Map<TreePath, TreeEntry>();
        for await (const page of snapshot.headTree().pages()) {
          for (const { key, value } of page) files.set(keyToPath(key), decodeTreeEntry(value));
        }
        return { position, root, files };
      });
      if (base === undefined) return;
      this.#base = { position: base.position, root: base.root };
      this.#files = base.files;
    } catch (error) {
      this.#expected(error, `reads through ${agent.name}`);
    }
  }

  #see(sighting: Sighting): void {
    this.sightings.push(sighting);
    if (sighting.position < this.#seen) {
      throw new Error(`${this.name} went back from ${this.#seen} to ${sighting.position}`);
    }
    this.#seen = sighting.position;
  }

  /** One to three changes that leave a valid tree: files make way for directories and the other way round. */
  #change(): Operation[] {
    const { random } = this.#world;
    const next = new Map(this.#files);
    const touched = new Set<TreePath>();
    for (let i = 1 + random.below(3); i > 0; i--) {
      const path = PATHS[random.below(PATHS.length)]!;
      touched.add(path);
      if (random.below(4) === 0) {
        next.delete(path);
        continue;
      }
      for (const other of next.keys()) {
        if (other === path || !(isWithin(other, path) || isWithin(path, other))) continue;
        next.delete(other);
        touched.add(other);
      }
      const { bytes, id } = CONTENTS[random.below(CONTENTS.length)]!;
      next.set(path, { kind: random.below(8) === 0 ? "executable" : "file", size: bytes.length, id });
    }
    const operations: Operation[] = [];
    for (const path of touched) {
      const entry = next.get(path);
      if (entry !== undefined) operations.push({ kind: "put", path, entry, hint: 0 });
      else if (this.#files.has(path)) operations.push({ kind: "delete", path });
    }
    return operations.sort((a, b) => comparePaths(a.path, b.path));
  }

  #compose(operations: readonly Operation[], landingId = mintLandingId(this.#world.random)): Attempted {
    const request: LandRequest = {
      landingId,
      base: this.#base,
      goal: `work of ${this.name}`,
      author: this.name,
      agent: "",
      operations,
      decisions: [],
      conversation: [],
      packs: [],
      frames: framesOf(operations),
    };
    const { digest } = prepareOperations(request.base, operations);
    const attempted: Attempted = {
      request,
      digest,
      answer: undefined,
      isUncertain: false,
      refusal: undefined,
    };
    this.attempted.push(attempted);
    return attempted;
  }

  async #reuse(attempted: Attempted): Promise<void> {
    const operations = this.#change();
    const other = this.#compose(operations, attempted.request.landingId);
    if (other.digest === attempted.digest) this.attempted.pop();
    else await this.#pursue(other, 2);
  }

  async #pursue(attempted: Attempted, attempts: number): Promise<void> {
    const { random, clock } = this.#world;
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
    const { random } = this.#world;
    const agent = this.#world.agent();
    const controller = random.below(5) === 0 && mayGiveUp ? new AbortController() : undefined;
    const timeoutMs = mayGiveUp ? 1_000 + random.below(60_000) : 600_000;
    const id = attempted.request.landingId.slice(0, 4);
    try {
      const result = await this.#inTime(timeoutMs, () => this.#send(attempted, agent.project, controller));
      if (result === undefined) {
        // The agent hangs or is too slow, and may be at it still.
        attempted.isUncertain = true;
        this.#world.note(`${this.name} ${id} gets no answer from ${agent.name}`);
        return;
      }
      this.#world.note(
        `${this.name} ${id} via ${agent.name}: ${result.kind} ${"position" in result ? result.position : ""}`,
      );
      this.#accept(attempted, result);
    } catch (error) {
      this.#refused(attempted, error, agent.name);
    }
  }

  async #send(
    attempted: Attempted,
    project: World["agents"][number]["project"],
    controller: AbortController | undefined,
  ): Promise<LandResult> {
    const { random, clock } = this.#world;
    let { request } = attempted;
    const hangUpMs = random.below(random.below(2) === 0 ? 400 : 8_000);
    if (random.below(4) === 0 && request.frames.length > 0) {
      // Whoever lands it may not be who took it in.
      const receiver = random.below(2) === 0 ? project : this.#world.agent().project;
      const pack: PackId = await receiver.putPack(encodePack(request.frames).bytes);
      request = { ...request, frames: [], packs: [pack] };
    } else if (random.below(4) === 0) {
      const receiver = random.below(2) === 0 ? project : this.#world.agent().project;
      for (const { id, bytes } of CONTENTS) {
        const isNamed = [...request.operations].some(
          (operation) => "entry" in operation && operation.entry.id === id,
        );
        if (isNamed) await receiver.putBlob(inOnePiece(bytes));
      }
      request = { ...request, frames: [] };
    }
    if (controller === undefined) return await project.land(request);
    void clock.sleep(hangUpMs).then(() => controller.abort());
    return await project.land(request, { signal: controller.signal });
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
    if (answer.position > this.#seen) this.#seen = answer.position;
  }

  #refused(attempted: Attempted, error: unknown, agent: string): void {
    if (isMicError(error, "landing-id-reused")) {
      attempted.answer ??= { kind: "reused" };
      return;
    }
    const code = this.#expected(error, `lands ${attempted.request.landingId.slice(0, 4)} through ${agent}`);
    if (code === "outcome-unknown") attempted.isUncertain = true;
    else attempted.refusal = code;
  }

  #expected(error: unknown, what: string): string {
    if (!(error instanceof MicError) || !EXPECTED_CODES.has(error.code)) throw error;
    this.#world.note(`${this.name} ${what}: ${error.code} (${error.message})`);
    return error.code;
  }

  /** `undefined` when it takes longer. */
  async #inTime<T>(timeoutMs: number, run: () => Promise<T>): Promise<T | undefined> {
    const task = run();
    task.catch(() => undefined);
    return await Promise.race([task, this.#world.clock.sleep(timeoutMs).then(() => undefined)]);
  }
}

async function* inOnePiece(bytes: Uint8Array): AsyncIterable<Uint8Array> {
  yield bytes;
}

function framesOf(operations: readonly Operation[]): Frame[] {
  const frames = new FrameBuilder({ rawTarget: 4096, level: "store" });
  const wanted = new Set(operations.map((operation) => (operation.kind === "put" ? operation.entry.id : "")));
  for (const { id, bytes } of CONTENTS) if (wanted.has(id)) frames.add("blob", id, bytes);
  return frames.finish();
}
