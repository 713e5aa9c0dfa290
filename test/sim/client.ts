/** Somebody who works on the project: reads a base, changes a few paths of a small tree, and lands. */
import { utf8 } from "../../src/core/base/bytes.ts";
import { hashObject } from "../../src/core/base/hash.ts";
import { type PackId, POSITION_ZERO } from "../../src/core/base/ids.ts";
import { comparePaths, isWithin, keyToPath, type TreePath } from "../../src/core/base/path.ts";
import { mintLandingId } from "../../src/core/base/random.ts";
import { encodePack } from "../../src/core/codec/pack.ts";
import { decodeTreeEntry, type TreeEntry } from "../../src/core/codec/tree-entry.ts";
import type { LandRequest, LandResult, Operation, PositionRef } from "../../src/core/forge/forge.ts";
import type { Frame } from "../../src/core/objects/frame.ts";
import { FrameBuilder } from "../../src/core/objects/frame-builder.ts";
import { Asker } from "./asker.ts";
import type { Attempted } from "./ledger.ts";
import { type Agent, EMPTY_TREE, type World } from "./world.ts";

const PATHS = ["a", "a/x", "a/y", "b", "b/c/d", "e", "f", "g/h"] as TreePath[];
const CONTENTS = ["red", "green", "blue"].map((text) => {
  const bytes = utf8(text);
  return { bytes, id: hashObject(bytes) };
});

type Files = ReadonlyMap<TreePath, TreeEntry>;

export class Client extends Asker<Agent> {
  readonly #world: World;
  #base: PositionRef = { position: POSITION_ZERO, root: EMPTY_TREE };
  #files: Files = new Map();

  constructor(name: string, world: World) {
    super(name, world);
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
      await this.pursue(attempted, 2 + random.below(6));
      // A careless client uses an id twice.
      if (random.below(12) === 0) await this.#reuse(attempted);
    }
  }

  async #sync(): Promise<void> {
    const agent = this.#world.agent();
    const since = this.since(agent);
    try {
      const base = await this.inTime(60_000, async () => {
        const snapshot = await agent.project.snapshot({ atLeast: this.seen });
        const { position, root } = snapshot.head;
        this.see({ position, root });
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
      this.expected(error, `reads through ${agent.name}`, since);
    }
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
    return this.attempt(request);
  }

  async #reuse(attempted: Attempted): Promise<void> {
    const operations = this.#change();
    const other = this.#compose(operations, attempted.request.landingId);
    if (other.digest === attempted.digest) this.attempted.pop();
    else await this.pursue(other, 2);
  }

  protected async send(
    attempted: Attempted,
    { project }: Agent,
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
