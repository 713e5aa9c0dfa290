/**
 * Content that is stored by itself before a landing names it: small files as one loose object, large ones as packs
 * of chunks and a loose chunk list. A landing copies what it names (attach-loose.ts), so history never depends on
 * loose objects, and the collector may take those that nobody landed.
 */
import { ByteWriter } from "../../base/bytes.ts";
import { throwIfAborted } from "../../base/clock.ts";
import { MicError } from "../../base/errors.ts";
import { hashObject } from "../../base/hash.ts";
import { epochOf, type ObjectId, type ProjectId } from "../../base/ids.ts";
import { BLOB_FRAME_RAW_BYTES, CHUNK_THRESHOLD_BYTES } from "../../base/limits.ts";
import {
  decodeLooseObject,
  encodeLooseObject,
  type LooseObject,
  type LoosePack,
} from "../../codec/loose-object.ts";
import { FrameBuilder } from "../../objects/frame-builder.ts";
import { blobKey } from "../../objects/keys.ts";
import { LargeContentFramer } from "../../objects/large-content.ts";
import { PackStream } from "../../objects/pack-stream.ts";
import type { ObjectStore } from "../../store/object-store.ts";
import { readVerified } from "../../store/read-verified.ts";
import type { CallOptions, StoredContent } from "../forge.ts";
import { searchedEpochs } from "../head/epochs.ts";
import type { UploadedPacks } from "./uploaded-packs.ts";

/** Memory to begin with. */
const FIRST_BYTES = 4 << 10;
/** Epochs asked at once: nearly everything is landed on the day it was stored, or the next. */
const EPOCHS_TOGETHER = 2;
/** Bytes of a large file that are framed before what is full is handed on. */
const PUSH_BYTES = 1 << 20;

export class LooseContent {
  readonly #store: ObjectStore;
  readonly #project: ProjectId;
  readonly #uploads: UploadedPacks;

  constructor(options: {
    readonly store: ObjectStore;
    readonly project: ProjectId;
    readonly uploads: UploadedPacks;
  }) {
    this.#store = options.store;
    this.#project = options.project;
    this.#uploads = options.uploads;
  }

  /** Bounded memory, durable on return. A call that fails leaves nothing that a landing could name. */
  async put(content: AsyncIterable<Uint8Array>, options: CallOptions = {}): Promise<StoredContent> {
    const start = new ByteWriter(FIRST_BYTES);
    const pieces = content[Symbol.asyncIterator]();
    let isEnded = false;
    try {
      for (;;) {
        throwIfAborted(options.signal);
        const { done, value } = await pieces.next();
        if (done === true) {
          isEnded = true;
          return await this.#putSmall(start.view(), options);
        }
        if (start.length + value.length > CHUNK_THRESHOLD_BYTES) {
          const stored = await this.#putLarge([start.view(), value], pieces, options);
          isEnded = true;
          return stored;
        }
        start.bytes(value);
      }
    } finally {
      if (!isEnded) await pieces.return?.();
    }
  }

  async #putSmall(content: Uint8Array, options: CallOptions): Promise<StoredContent> {
    const id = hashObject(content);
    const epoch = epochOf(await this.#store.nowMs());
    const bytes = encodeLooseObject({ kind: "blob", content });
    await this.#store.put(blobKey(this.#project, epoch, id), bytes, options);
    return { id, size: content.length };
  }

  async #putLarge(
    start: readonly Uint8Array[],
    rest: AsyncIterator<Uint8Array>,
    options: CallOptions,
  ): Promise<StoredContent> {
    const builder = new FrameBuilder({ rawTarget: BLOB_FRAME_RAW_BYTES });
    const framer = new LargeContentFramer({ builder, framed: new Set() });
    const placed: LoosePack[] = [];
    await using packs = new PackStream(async (bytes) => {
      const { pack, epoch } = await this.#uploads.putOwn(bytes, options);
      placed.push({ pack, epoch });
      return pack;
    });
    const push = async (piece: Uint8Array): Promise<void> => {
      for (let at = 0; at < piece.length; at += PUSH_BYTES) {
        framer.push(piece.subarray(at, at + PUSH_BYTES));
        for (const frame of builder.takeFull()) await packs.add(frame);
      }
    };
    for (const piece of start) await push(piece);
    for (;;) {
      throwIfAborted(options.signal);
      const { done, value } = await rest.next();
      if (done === true) break;
      await push(value);
    }
    const { id, size, list } = framer.finish();
    for (const frame of builder.finish()) await packs.add(frame);
    await packs.finish();
    const chunks = hashObject(list.content);
    await this.#putList(chunks, { kind: "chunk-list", ...list, file: { id, size }, packs: placed }, options);
    return { id, size, chunks };
  }

  /** The first of two writers on one day wins: the packs of either hold every chunk. */
  async #putList(id: ObjectId, list: LooseObject, options: CallOptions): Promise<void> {
    const key = blobKey(this.#project, epochOf(await this.#store.nowMs()), id);
    const swap = { key, expected: null, bytes: encodeLooseObject(list) };
    const outcome = await this.#store.commit([], swap, options);
    if (outcome.kind === "committed") return;
    if (outcome.kind === "lost" && (await this.#store.get(key, options)) !== undefined) return;
    const cause = outcome.kind === "unknown" ? outcome.cause : undefined;
    throw new MicError("unreachable", "the store gave no definite answer", {
      hint: "store the content again",
      cause,
    });
  }

  /**
   * Content that was stored in the last days, or since `sinceMs` where that is longer ago. Errors: `corrupt` for an
   * object that is not its name.
   */
  async find(
    id: ObjectId,
    options: CallOptions & { readonly sinceMs?: number } = {},
  ): Promise<LooseObject | undefined> {
    const epochs = searchedEpochs(await this.#store.nowMs(), options.sinceMs);
    const { signal } = options;
    for (let start = 0; start < epochs.length; start += EPOCHS_TOGETHER) {
      const together = epochs.slice(start, start + EPOCHS_TOGETHER);
      const found = await Promise.all(
        together.map((epoch) =>
          readVerified(
            this.#store,
            blobKey(this.#project, epoch, id),
            signal === undefined ? {} : { signal },
            ({ bytes }) => decodeLooseObject(bytes, id),
          ),
        ),
      );
      for (const object of found) if (object !== undefined) return object;
    }
    return undefined;
  }
}

/** What a tree entry has to say of it. */
export function storedContentOf(id: ObjectId, object: LooseObject): StoredContent {
  if (object.kind === "blob") return { id, size: object.content.length };
  return { ...object.file, chunks: id };
}
