/** A project of any forge as tests use it: files in, landings out. */
import { concatBytes, utf8 } from "../../src/core/base/bytes.ts";
import { hashObject } from "../../src/core/base/hash.ts";
import { EMPTY_ROOT, type ObjectId, type Position, type ProjectId } from "../../src/core/base/ids.ts";
import { BLOB_FRAME_RAW_BYTES, CHUNK_THRESHOLD_BYTES } from "../../src/core/base/limits.ts";
import { comparePaths, parseTreePath, type TreePath } from "../../src/core/base/path.ts";
import { mintLandingId, mintProjectId } from "../../src/core/base/random.ts";
import { systemRandom } from "../../src/core/base/system.ts";
import { encodeChunkList } from "../../src/core/codec/chunk-list.ts";
import type { EntryKind, TreeEntry } from "../../src/core/codec/tree-entry.ts";
import type { Forge, LandRequest, LandResult, Operation, PositionRef } from "../../src/core/forge/forge.ts";
import { FrameBuilder } from "../../src/core/objects/frame-builder.ts";

export type Content =
  | string
  | Uint8Array
  | { readonly kind: EntryKind; readonly content: string | Uint8Array };

export interface Change {
  readonly goal?: string;
  readonly put?: Readonly<Record<string, Content>>;
  readonly delete?: readonly string[];
  /** Default: where the last landing through this object ended. */
  readonly base?: PositionRef;
  readonly author?: string;
  readonly request?: Partial<LandRequest>;
}

const CHUNK = 700_000;

export function path(text: string): TreePath {
  return parseTreePath(text);
}

export class TestProject {
  readonly forge: Forge;
  readonly id: ProjectId;
  base: PositionRef = { position: 0 as Position, root: EMPTY_ROOT };

  constructor(forge: Forge, id: ProjectId) {
    this.forge = forge;
    this.id = id;
  }

  static async create(forge: Forge, name: string): Promise<TestProject> {
    const { id } = await forge.createProject({ id: mintProjectId(systemRandom), name });
    return new TestProject(forge, id);
  }

  request(change: Change): LandRequest {
    const frames = new FrameBuilder({ rawTarget: BLOB_FRAME_RAW_BYTES });
    const added = new Set<ObjectId>();
    const add = (kind: "blob" | "chunk-list", content: Uint8Array, sidecar?: Uint8Array): ObjectId => {
      const id = hashObject(content);
      if (!added.has(id)) frames.add(kind, id, content, sidecar);
      added.add(id);
      return id;
    };
    const operations: Operation[] = (change.delete ?? []).map((text) => ({
      kind: "delete",
      path: path(text),
    }));
    for (const [name, content] of Object.entries(change.put ?? {})) {
      operations.push({ kind: "put", path: path(name), entry: entryOf(content, add), hint: 0 });
    }
    return {
      landingId: mintLandingId(systemRandom),
      base: change.base ?? this.base,
      goal: change.goal ?? "a change",
      author: change.author ?? "Ada <ada@example.org>",
      agent: "",
      operations: operations.sort((a, b) => comparePaths(a.path, b.path)),
      decisions: [],
      conversation: [],
      packs: [],
      frames: frames.finish(),
      ...change.request,
    };
  }

  /** Lands and follows; a conflict is returned and the base stays. */
  async tryLand(change: Change): Promise<LandResult> {
    const result = await this.forge.land(this.id, this.request(change));
    if (result.kind === "landed") this.base = { position: result.position, root: result.root };
    return result;
  }

  async land(change: Change): Promise<Extract<LandResult, { kind: "landed" }>> {
    const result = await this.tryLand(change);
    if (result.kind !== "landed") throw new Error(`conflict: ${result.paths.join(", ")}`);
    return result;
  }

  /** Content of a file as text. */
  async read(at: number, name: string): Promise<string> {
    const found = await this.forge.getPath(this.id, at as Position, path(name));
    if (found?.kind !== "entry") throw new Error(`${name} is no file at ${at}`);
    return Buffer.from(await collectBytes(this.forge.readFile(this.id, found))).toString();
  }
}

function entryOf(
  content: Content,
  add: (kind: "blob" | "chunk-list", content: Uint8Array, sidecar?: Uint8Array) => ObjectId,
): TreeEntry {
  if (typeof content !== "string" && !(content instanceof Uint8Array)) {
    return { ...entryOf(content.content, add), kind: content.kind };
  }
  const bytes = typeof content === "string" ? utf8(content) : content;
  const size = bytes.length;
  if (size <= CHUNK_THRESHOLD_BYTES) return { kind: "file", size, id: add("blob", bytes) };
  const chunks: { id: ObjectId; length: number; hint: number }[] = [];
  for (let start = 0; start < size; start += CHUNK) {
    const chunk = bytes.subarray(start, start + CHUNK);
    chunks.push({ id: add("blob", chunk), length: chunk.length, hint: 0 });
  }
  const list = encodeChunkList({ chunks });
  return { kind: "file", size, id: hashObject(bytes), chunks: add("chunk-list", list.content, list.sidecar) };
}

export async function collect<T>(pages: AsyncIterable<readonly T[]>): Promise<T[]> {
  const all: T[] = [];
  for await (const page of pages) all.push(...page);
  return all;
}

export async function collectBytes(pieces: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const all: Uint8Array[] = [];
  for await (const piece of pieces) all.push(piece);
  return concatBytes(all);
}
