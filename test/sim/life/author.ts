/**
 * Somebody who works on a project for days: syncs what others landed, changes files, and lands, with content that
 * travels along, was uploaded days before, or is in the project already.
 */
import { concatBytes, equalBytes, utf8 } from "../../../src/core/base/bytes.ts";
import { hashObject } from "../../../src/core/base/hash.ts";
import { EMPTY_ROOT, type ObjectId, type PackId, POSITION_ZERO } from "../../../src/core/base/ids.ts";
import { comparePaths, isWithin, type TreePath } from "../../../src/core/base/path.ts";
import { mintLandingId } from "../../../src/core/base/random.ts";
import { type Chunk, decodeChunkList } from "../../../src/core/codec/chunk-list.ts";
import { encodePack } from "../../../src/core/codec/pack.ts";
import type { TreeEntry } from "../../../src/core/codec/tree-entry.ts";
import type {
  FetchItem,
  LandRequest,
  LandResult,
  LocatedEntry,
  Operation,
  PositionRef,
} from "../../../src/core/forge/forge.ts";
import type { Frame } from "../../../src/core/objects/frame.ts";
import { openVerifiedFrame, sliceObject } from "../../../src/core/objects/read-frame.ts";
import { Asker } from "../asker.ts";
import type { Attempted } from "../ledger.ts";
import { contentOf, framesOf, type KnownChunks, objectOf } from "./content.ts";
import type { LifeProject } from "./project.ts";
import { DAY_MS, type LifeAgent, type LifeWorld, SECOND_MS } from "./world.ts";

const PATHS = ["a", "a/x", "a/y", "b", "b/c/d", "b/c/e", "e", "f", "g/h", "src/m1", "src/m2"] as TreePath[];
const NO_CHUNKS: KnownChunks = new Map();
const OLD_MAX = 24;
/** What the store's clock can be wrong by, and a request may be under way. */
const CLOCK_SLACK_MS = 90 * 60 * SECOND_MS;
const SYNC_TIMEOUT_MS = 10 * 60 * SECOND_MS;

interface Known {
  readonly entry: TreeEntry;
  readonly hint: number;
}

/** Content that was uploaded for a landing that is still to be made, and what came with it that none names yet. */
interface Prepared {
  readonly atMs: number;
  readonly text: Uint8Array;
  readonly spare: Uint8Array | undefined;
  readonly pack: PackId;
}

/** How the content of a landing gets there. */
type Carriage = "inline" | "pack" | "blobs";

export class Author extends Asker<LifeAgent> {
  protected readonly world: LifeWorld;
  protected readonly project: LifeProject;
  #base: PositionRef = { position: POSITION_ZERO, root: EMPTY_ROOT };
  #files: ReadonlyMap<TreePath, Known> = new Map();
  /** What stood somewhere once, and where it was introduced. */
  readonly #old: Known[] = [];
  readonly #carriage = new Map<Attempted, Carriage>();
  /** Of large files that were fetched, with the positions that introduced them. */
  readonly #chunks = new Map<ObjectId, Chunk>();
  #prepared: Prepared | undefined;
  /** When what a landing brings was uploaded. */
  readonly #preparedAtMs = new Map<Attempted, number>();

  constructor(name: string, world: LifeWorld, project: LifeProject) {
    super(name, world);
    this.world = world;
    this.project = project;
  }

  async live(): Promise<void> {
    const { random } = this.world;
    while (!this.world.isOver) {
      await this.world.rest();
      if (this.world.isOver) return;
      if (random.below(5) !== 0) await this.#sync();
      if (random.below(8) === 0) await this.#prepare();
      for (let burst = 1 + random.below(random.below(4) === 0 ? 6 : 2); burst > 0; burst--) {
        await this.#landSomething();
      }
    }
  }

  async #landSomething(): Promise<void> {
    const { random } = this.world;
    const prepared = this.#prepared;
    this.#prepared = undefined;
    const operations = this.#change(prepared?.text);
    if (operations.length === 0) return;
    const isNew = prepared !== undefined || random.below(5) !== 0;
    const attempted = this.attempt({
      ...this.request(operations),
      frames: isNew ? this.#framesOf(operations, this.#knownChunks, prepared?.text) : [],
      packs: prepared === undefined ? [] : [prepared.pack],
    });
    this.#carriage.set(
      attempted,
      !isNew ? "blobs" : prepared !== undefined || random.below(4) === 0 ? "pack" : "inline",
    );
    if (prepared !== undefined) this.#preparedAtMs.set(attempted, prepared.atMs);
    await this.pursue(attempted, 2 + random.below(5));
    if (attempted.answer?.kind !== "landed") return;
    // Sent again without the pack, it came without what else was in it.
    if (prepared?.spare !== undefined && attempted.request.packs.length > 0) {
      this.#remember({ ...this.#known(prepared.spare), hint: attempted.answer.position });
    }
    if (random.below(2) === 0) await this.#sync();
  }

  protected request(operations: readonly Operation[], session?: LandRequest["session"]): LandRequest {
    return {
      landingId: mintLandingId(this.world.random),
      base: this.#base,
      goal: `work of ${this.name}`,
      author: this.name,
      agent: "",
      operations,
      decisions: [],
      conversation: [],
      packs: [],
      frames: [],
      ...(session === undefined ? {} : { session }),
    };
  }

  /** Uploads content for a landing to be made much later, when its epoch may be over. */
  async #prepare(): Promise<void> {
    const { random, clock } = this.world;
    const text = this.#newText("prepared");
    const spare = random.below(2) === 0 ? this.#newText("spare") : undefined;
    const agent = this.world.agent();
    const since = this.since(agent);
    try {
      const frames = framesOf(spare === undefined ? [text] : [text, spare], this.#knownChunks);
      const pack = await this.inTime(SYNC_TIMEOUT_MS, () =>
        agent.forge.putPack(this.project.id, encodePack(frames).bytes),
      );
      if (pack === undefined) return;
      this.world.note(`${this.name} uploads ${pack.slice(0, 4)} through ${agent.name}`);
      this.#prepared = { atMs: clock.nowMs(), text, spare, pack };
      await clock.sleep(random.below(6 * DAY_MS));
      await this.#sync();
    } catch (error) {
      this.expected(error, `uploads through ${agent.name}`, since);
    }
  }

  /** What a workspace does: fetches what is new since its base, or everything, and checks every object. */
  async #sync(): Promise<void> {
    const { random } = this.world;
    const agent = this.world.agent();
    const since = this.since(agent);
    const isClone = random.below(6) === 0;
    try {
      const done = await this.inTime(SYNC_TIMEOUT_MS, () => this.#fetch(agent, isClone));
      if (done === undefined) return;
      this.#base = done.base;
      this.#files = done.files;
      this.world.stats.syncs++;
    } catch (error) {
      this.expected(error, `syncs through ${agent.name}`, since);
    }
  }

  async #fetch(
    agent: LifeAgent,
    isClone: boolean,
  ): Promise<{ base: PositionRef; files: Map<TreePath, Known> }> {
    const { id } = this.project;
    const head = await agent.forge.getHead(id, { atLeast: this.seen });
    this.see({ position: head.position, root: head.root });
    const from = isClone ? POSITION_ZERO : this.#base.position;
    const files = new Map(isClone ? [] : this.#files);
    const wanted = new Map<ObjectId, number>();
    for await (const item of agent.forge.fetch(id, { from, to: head.position })) {
      if (item.kind === "changes") this.#apply(item, files, wanted);
      else if (item.kind === "frame") this.#take(item.frame, wanted);
    }
    if (wanted.size > 0) throw new Error(`${this.name}: ${wanted.size} objects of a fetch did not come`);
    for (const [path, known] of files) {
      const isNew = this.#files.get(path)?.entry.id !== known.entry.id;
      if (isNew && known.entry.chunks !== undefined) await this.#readWhole(agent, { path, ...known });
    }
    this.project.sawTree(this.name, head.position, files);
    return { base: { position: head.position, root: head.root }, files };
  }

  #apply(
    { changes }: Extract<FetchItem, { kind: "changes" }>,
    files: Map<TreePath, Known>,
    wanted: Map<ObjectId, number>,
  ): void {
    for (const { path, before, after } of changes) {
      if (before?.entry.id !== files.get(path)?.entry.id) {
        throw new Error(`${this.name}: a fetch changes ${path} from what it was not`);
      }
      if (before !== undefined) this.#remember(before);
      if (after === undefined) files.delete(path);
      else files.set(path, after);
      if (after !== undefined && after.entry.id !== before?.entry.id) {
        wanted.set(objectOf(after.entry), after.hint);
      }
    }
  }

  #take(frame: Frame, wanted: Map<ObjectId, number>): void {
    const raw = openVerifiedFrame(frame);
    for (const object of frame.objects) {
      const { id, kind } = object;
      const { content, sidecar } = sliceObject(raw, object);
      if (hashObject(content) !== id) throw new Error(`${this.name} was sent something that is not ${id}`);
      const introduced = wanted.get(id);
      if (kind === "chunk-list" && introduced !== undefined) {
        for (const chunk of decodeChunkList(content, sidecar).chunks) {
          this.#chunks.set(chunk.id, chunk.hint === 0 ? { ...chunk, hint: introduced } : chunk);
        }
      }
      wanted.delete(id);
    }
  }

  /** What a fetch sends of a large file are the ids of its chunks. */
  async #readWhole(agent: LifeAgent, file: LocatedEntry): Promise<void> {
    const pieces: Uint8Array[] = [];
    for await (const piece of agent.forge.readFile(this.project.id, file)) pieces.push(piece);
    if (equalBytes(concatBytes(pieces), this.world.contents.get(file.entry.id)!)) return;
    throw new Error(`${this.name} was sent something else as ${file.path}`);
  }

  /** Whoever knows where chunks are relies on it, or does not. */
  get #knownChunks(): KnownChunks {
    return this.world.random.below(3) === 0 ? NO_CHUNKS : this.#chunks;
  }

  #remember(known: Known): void {
    this.#old.push(known);
    if (this.#old.length > OLD_MAX) this.#old.shift();
  }

  /** One to four changes that leave a valid tree. Some bring back what stood somewhere once. */
  #change(prepared?: Uint8Array): Operation[] {
    const { random } = this.world;
    const next = new Map(this.#files);
    const touched = new Set<TreePath>();
    const place = (path: TreePath, known: Known): void => {
      for (const other of next.keys()) {
        if (other === path || !(isWithin(other, path) || isWithin(path, other))) continue;
        next.delete(other);
        touched.add(other);
      }
      next.set(path, known);
    };
    for (let i = 1 + random.below(4); i > 0; i--) {
      const path = PATHS[random.below(PATHS.length)]!;
      touched.add(path);
      const old = this.#old[random.below(OLD_MAX)];
      if (random.below(5) === 0) next.delete(path);
      else if (old !== undefined && random.below(3) === 0) place(path, old);
      else place(path, this.#known(this.#newText(path)));
    }
    if (prepared !== undefined) {
      const path = PATHS[random.below(PATHS.length)]!;
      touched.add(path);
      place(path, this.#known(prepared));
    }
    const operations: Operation[] = [];
    for (const path of touched) {
      const known = next.get(path);
      if (known === undefined) {
        if (this.#files.has(path)) operations.push({ kind: "delete", path });
        continue;
      }
      // Whoever knows where it is says so, or does not.
      const hint = random.below(2) === 0 ? known.hint : 0;
      operations.push({ kind: "put", path, entry: known.entry, hint });
    }
    return operations.sort((a, b) => comparePaths(a.path, b.path));
  }

  #known(content: Uint8Array): Known {
    const kind = this.world.random.below(8) === 0 ? "executable" : "file";
    return { entry: { kind, ...contentOf(content) }, hint: 0 };
  }

  /** Like other versions of the same file; sometimes exactly like one of somebody else's. */
  #newText(path: string): Uint8Array {
    const { random, contents } = this.world;
    const version = random.below(40);
    const lines = random.below(8) === 0 ? 300 : 3 + random.below(12);
    const text = Array.from({ length: lines }, (_, i) => `${path} line ${i} ${i === 1 ? version : ""}`);
    const content = utf8(text.join("\n"));
    contents.set(hashObject(content), content);
    return content;
  }

  /** Content that is new, as far as its author knows. */
  #framesOf(operations: readonly Operation[], known: KnownChunks, sent?: Uint8Array): Frame[] {
    const ids = new Set<ObjectId>();
    for (const operation of operations) {
      if (operation.kind === "put" && operation.hint === 0) ids.add(operation.entry.id);
    }
    if (sent !== undefined) ids.delete(hashObject(sent));
    return framesOf(
      [...ids].map((id) => this.world.contents.get(id)!),
      known,
    );
  }

  protected async send(
    attempted: Attempted,
    agent: LifeAgent,
    controller: AbortController | undefined,
  ): Promise<LandResult> {
    const { random, clock } = this.world;
    let { request } = attempted;
    const carriage = this.#carriage.get(attempted) ?? "inline";
    const hangUpMs = random.below(random.below(2) === 0 ? 400 : 8_000);
    const receiver = random.below(2) === 0 ? agent : this.world.agent();
    if (carriage === "pack" && request.frames.length > 0) {
      const pack = await receiver.forge.putPack(this.project.id, encodePack(request.frames).bytes);
      request = { ...request, frames: [], packs: [...new Set([...request.packs, pack])] };
    } else if (carriage === "blobs") {
      for (const operation of request.operations) {
        if (operation.kind !== "put" || operation.hint !== 0) continue;
        await this.store(receiver, operation.entry.id);
      }
      request = { ...request, frames: [] };
    }
    if (controller === undefined) return await this.land(agent, request);
    void clock.sleep(hangUpMs).then(() => controller.abort());
    return await this.land(agent, request, { signal: controller.signal });
  }

  protected land(
    agent: LifeAgent,
    request: LandRequest,
    options: { readonly signal?: AbortSignal } = {},
  ): Promise<LandResult> {
    return agent.forge.land(this.project.id, request, options);
  }

  /** Uploads are looked for on four days, by the store's clock. */
  protected override mayMiss(attempted: Attempted, { packs }: LandRequest): boolean {
    const atMs = packs.length === 0 ? undefined : this.#preparedAtMs.get(attempted);
    return atMs !== undefined && this.world.clock.nowMs() - atMs > 3 * DAY_MS - CLOCK_SLACK_MS;
  }

  /** What was uploaded long ago may be gone: then it goes along. */
  protected override refusedWith(attempted: Attempted, code: string): void {
    if (code !== "not-found") return;
    const { request } = attempted;
    this.#carriage.set(attempted, "inline");
    const operations = [...request.operations].map((operation) => ({ ...operation, hint: 0 }));
    const frames = this.#framesOf(operations, NO_CHUNKS);
    Object.assign(attempted, { request: { ...request, packs: [], frames } });
  }

  protected syncNow(): Promise<void> {
    return this.#sync();
  }

  /** Stores content by itself. */
  protected async store(agent: LifeAgent, id: ObjectId): Promise<void> {
    await agent.forge.putBlob(this.project.id, inOnePiece(this.world.contents.get(id)!));
  }

  protected baseNow(): PositionRef {
    return this.#base;
  }

  /** Whether these make a valid tree of the base. */
  protected fits(operations: readonly Operation[]): boolean {
    const next = new Set(this.#files.keys());
    for (const { kind, path } of operations) {
      if (kind === "put") next.add(path);
      else next.delete(path);
    }
    return [...next].every((a) => [...next].every((b) => a === b || !isWithin(a, b)));
  }

  protected changeNow(): Operation[] {
    return this.#change();
  }
}

async function* inOnePiece(bytes: Uint8Array): AsyncIterable<Uint8Array> {
  yield bytes;
}
