/** A large file from the version of it that is on disk and the chunks that changed: only those cross the network. */
import { closeSync, constants, openSync, readSync } from "node:fs";
import { corrupt } from "../../base/errors.ts";
import { hashObject } from "../../base/hash.ts";
import type { ObjectId } from "../../base/ids.ts";
import type { Chunk } from "../../codec/chunk-list.ts";
import type { ContentSide } from "../../codec/content-side.ts";
import type { ObjectRef } from "../../objects/frame.ts";
import type { Workspace } from "../workspace.ts";
import { eachObject, framesOf, readChunkList } from "./content.ts";

/**
 * The content of `after`, chunk by chunk, each verified. `before` is what the file at `located` was when it was looked
 * at; a chunk that is no longer there is asked for like one that never was. Both are stored in chunks. Errors:
 * `not-found`, `unreachable`, `corrupt`.
 */
export async function* streamChangedChunks(
  ws: Workspace,
  located: string,
  before: ContentSide,
  after: ContentSide,
): AsyncGenerator<Uint8Array> {
  const { chunks } = await readChunkList(ws, after);
  using known = new ChunksOnDisk(located, (await readChunkList(ws, before)).chunks);
  const wanted = chunks.filter(({ id }) => !known.has(id));
  const uses = new Map<ObjectId, number>();
  for (const { id } of chunks) uses.set(id, (uses.get(id) ?? 0) + 1);
  const received = new ReceivedChunks(ws, wanted, uses);
  for (const chunk of chunks) {
    yield known.read(chunk) ?? (await received.take(chunk));
  }
}

class ChunksOnDisk implements Disposable {
  readonly #file: number;
  readonly #offsets = new Map<ObjectId, number>();

  constructor(located: string, chunks: readonly Chunk[]) {
    let offset = 0;
    for (const { id, length } of chunks) {
      this.#offsets.set(id, offset);
      offset += length;
    }
    this.#file = openSync(located, constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0));
  }

  has(id: ObjectId): boolean {
    return this.#offsets.has(id);
  }

  /** Undefined when the file does not have it, or not any more. */
  read({ id, length }: Chunk): Uint8Array | undefined {
    const offset = this.#offsets.get(id);
    if (offset === undefined) return undefined;
    const bytes = new Uint8Array(length);
    for (let done = 0; done < length; ) {
      const count = readSync(this.#file, bytes, done, length - done, offset + done);
      if (count === 0) return undefined;
      done += count;
    }
    return hashObject(bytes) === id ? bytes : undefined;
  }

  [Symbol.dispose](): void {
    closeSync(this.#file);
  }
}

/** Chunks in the order asked, in one call; each is kept until it was used as often as the file has it. */
class ReceivedChunks {
  readonly #ws: Workspace;
  readonly #frames: AsyncGenerator<Parameters<typeof eachObject>[0]>;
  readonly #uses: Map<ObjectId, number>;
  readonly #contents = new Map<ObjectId, Uint8Array>();

  constructor(ws: Workspace, wanted: readonly Chunk[], uses: Map<ObjectId, number>) {
    this.#ws = ws;
    this.#uses = uses;
    const refs = new Map<ObjectId, ObjectRef>(wanted.map(({ id, hint }) => [id, { id, hint }]));
    this.#frames = framesOf(ws, [...refs.values()]);
  }

  async take({ id, hint }: Chunk): Promise<Uint8Array> {
    for (let content = this.#contents.get(id); ; content = this.#contents.get(id)) {
      if (content !== undefined) {
        this.#release(id);
        return content;
      }
      const next = await this.#frames.next();
      if (next.done === true) return await readAlone(this.#ws, { id, hint });
      const isUsed = (object: ObjectId): boolean => this.#uses.has(object) && !this.#contents.has(object);
      eachObject(next.value, isUsed, (object, bytes) => this.#contents.set(object, bytes));
    }
  }

  #release(id: ObjectId): void {
    const left = this.#uses.get(id)! - 1;
    this.#uses.set(id, left);
    if (left > 0) return;
    this.#uses.delete(id);
    this.#contents.delete(id);
  }
}

/** For a chunk that was on disk a moment ago. */
async function readAlone(ws: Workspace, ref: ObjectRef): Promise<Uint8Array> {
  let found: Uint8Array | undefined;
  for await (const frame of framesOf(ws, [ref])) {
    eachObject(
      frame,
      (id) => id === ref.id,
      (_id, bytes) => {
        found = bytes;
      },
    );
  }
  if (found === undefined) throw corrupt("the project's content", `the forge did not send ${ref.id}`);
  return found;
}
