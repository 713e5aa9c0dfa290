/** Content of landings on its way from one forge to another: inline while it is small, in packs beyond that. */
import type { ObjectId, PackId, Position, ProjectId } from "../../base/ids.ts";
import { INLINE_CONTENT_BYTES_MAX } from "../../base/limits.ts";
import { decodeChunkList } from "../../codec/chunk-list.ts";
import type { CallOptions, Forge, Landing } from "../../forge/forge.ts";
import type { Frame, ObjectRef } from "../../objects/frame.ts";
import { PackStream } from "../../objects/pack-stream.ts";
import { openVerifiedFrame, sliceObject } from "../../objects/read-frame.ts";

export interface CopyContext {
  readonly source: Forge;
  readonly target: Forge;
  /** In both. */
  readonly project: ProjectId;
  readonly options: CallOptions;
}

const START_BYTES = 256 << 10;

export class ContentCopy implements AsyncDisposable {
  readonly #context: CopyContext;
  readonly #stream: PackStream;
  readonly #sent = new Set<ObjectId>();
  readonly #isWhole: boolean;

  /**
   * `isWhole`: everything that the landings put. Otherwise what each of them introduced, which is all that is
   * missing unless an object came to the source beside the landing that names it.
   */
  constructor(context: CopyContext, isWhole: boolean) {
    this.#context = context;
    this.#isWhole = isWhole;
    const { target, project, options } = context;
    this.#stream = new PackStream((pack) => target.putPack(project, pack, options), {
      startBytes: START_BYTES,
    });
  }

  get packs(): readonly PackId[] {
    return this.#stream.packs;
  }

  /** What goes along with the call. */
  get frames(): readonly Frame[] {
    return this.#stream.open;
  }

  async add({ position, operations }: Landing): Promise<void> {
    const blobs: ObjectRef[] = [];
    const lists: ObjectRef[] = [];
    for (const operation of operations) {
      if (operation.kind === "delete") continue;
      const { entry, hint } = operation;
      const id = entry.chunks ?? entry.id;
      if (!this.#isWanted(id, hint, position)) continue;
      (entry.chunks === undefined ? blobs : lists).push({ id, hint: hint === 0 ? position : hint });
    }
    await this.#copy(blobs);
    for (const list of lists) await this.#copyChunked(list, position);
  }

  /** Waits for every pack. */
  async finish(): Promise<void> {
    await this.#stream.finish(INLINE_CONTENT_BYTES_MAX);
  }

  #isWanted(id: ObjectId, hint: number, position: Position): boolean {
    const isOwn = hint === 0 || hint >= position;
    if ((!isOwn && !this.#isWhole) || this.#sent.has(id)) return false;
    this.#sent.add(id);
    return true;
  }

  async #copyChunked(list: ObjectRef, position: Position): Promise<void> {
    const chunks: ObjectRef[] = [];
    await this.#copy([list], (frame, raw) => {
      const object = frame.objects.find(({ id }) => id === list.id);
      if (object === undefined) return;
      const { content, sidecar } = sliceObject(raw, object);
      for (const { id, hint } of decodeChunkList(content, sidecar).chunks) {
        const introduced = hint === 0 ? list.hint : hint;
        if (this.#isWanted(id, introduced, position)) chunks.push({ id, hint: introduced });
      }
    });
    await this.#copy(chunks);
  }

  /** Every object is verified: a directory takes what it is given. */
  async #copy(refs: readonly ObjectRef[], look?: (frame: Frame, raw: Uint8Array) => void): Promise<void> {
    if (refs.length === 0) return;
    const { source, project, options } = this.#context;
    for await (const frame of source.readObjects(project, refs, options)) {
      const raw = openVerifiedFrame(frame);
      look?.(frame, raw);
      // Its bytes may be the source's own.
      await this.#stream.add({ ...frame, stored: frame.stored.slice() });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stream[Symbol.asyncDispose]();
  }
}
