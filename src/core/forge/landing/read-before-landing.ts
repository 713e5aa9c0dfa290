/** Reads the content of landings before they land: what came in their frames, then the project and uploaded packs. */
import { releaseBytes } from "../../base/bytes.ts";
import type { ObjectId } from "../../base/ids.ts";
import { type List, listOf } from "../../base/list.ts";
import { type Chunk, decodeChunkList } from "../../codec/chunk-list.ts";
import type { Frame, FrameObject, ObjectRef } from "../../objects/frame.ts";
import type { ObjectReader } from "../../objects/object-reader.ts";
import type { PackCache } from "../../objects/pack-cache.ts";
import { expandFrame, type ObjectContent, sliceObject } from "../../objects/read-frame.ts";
import { overlayReader } from "../content/overlay-reader.ts";
import type { UploadedPack } from "../content/uploaded-packs.ts";
import type { Snapshot } from "../log/snapshot.ts";

export interface ReadPlaces {
  readonly frames: readonly Frame[];
  readonly uploads: readonly UploadedPack[];
  readonly snapshot: Snapshot;
  readonly cache: PackCache;
  readonly signal?: AbortSignal | undefined;
}

type SentObjects = Map<ObjectId, { readonly frame: Frame; readonly object: FrameObject }>;

/** Content is a view that is good until the next call. */
export class ReadBeforeLanding {
  readonly #places: ReadPlaces;
  readonly #reader: ObjectReader;
  /** Made when it is asked for: most content is taken frame by frame. */
  #sent: SentObjects | undefined;
  #open: { readonly frame: Frame; readonly raw: Uint8Array } | undefined;

  constructor(places: ReadPlaces) {
    const { snapshot, uploads, cache } = places;
    this.#places = places;
    this.#reader = uploads.length === 0 ? snapshot.reader : overlayReader(snapshot, uploads, cache);
  }

  /** Errors: `not-found`, `corrupt`, `unreachable`. */
  async read({ id, hint }: ObjectRef): Promise<ObjectContent> {
    return this.#readSent(id) ?? (await this.#reader.read({ id, hint: this.#known(hint) }, { once: true }));
  }

  /** The first `bytes` of a file in chunks, by its list. Errors: as `read`. */
  async startOf(list: ObjectRef, bytes: number): Promise<Uint8Array> {
    const { content, sidecar } = await this.read(list);
    const wanted: Chunk[] = [];
    let length = 0;
    for (const chunk of decodeChunkList(content, sidecar).chunks) {
      if (length >= bytes) break;
      wanted.push(chunk);
      length += chunk.length;
    }
    const elsewhere = wanted.filter(({ id }) => !this.#sentObjects().has(id));
    const stored = new Map<ObjectId, Uint8Array>();
    const ids = new Set(elsewhere.map(({ id }) => id));
    await this.stream(elsewhere, (object) => {
      if (ids.has(object.id)) stored.set(object.id, object.content.slice());
    });
    const start = new Uint8Array(length);
    let at = 0;
    for (const { id, length: chunkLength } of wanted) {
      const chunk = stored.get(id) ?? this.#readSent(id)!.content;
      start.set(chunk.subarray(0, chunkLength), at);
      at += chunkLength;
    }
    return start.subarray(0, bytes);
  }

  /** Every object in the frames that came along. `take` returns false to end it. */
  async eachSent(take: TakeObject): Promise<void> {
    for (const frame of this.#places.frames) if (!(await passFrame(frame, take))) return;
  }

  /** What is stored of `refs`, in any order, and others that are stored with it. Errors: as `read`. */
  async stream(refs: List<ObjectRef>, take: TakeObject): Promise<void> {
    if (refs.length === 0) return;
    const { signal } = this.#places;
    const known = listOf(refs.length, (i) => {
      const { id, hint } = refs.at(i)!;
      return { id, hint: this.#known(hint) };
    });
    const options = { borrowed: true, uncompressed: true, ...(signal === undefined ? {} : { signal }) };
    for await (const frame of this.#reader.frames(known, options)) {
      if (!(await passFrame(frame, take))) return;
    }
  }

  /** Hints beyond the head are of landings that are still to come. */
  #known(hint: number): number {
    return hint <= this.#places.snapshot.head.position ? hint : 0;
  }

  #readSent(id: ObjectId): ObjectContent | undefined {
    const found = this.#sentObjects().get(id);
    if (found === undefined) return undefined;
    const { frame, object } = found;
    if (this.#open?.frame !== frame) this.#open = { frame, raw: expandFrame(frame) };
    return sliceObject(this.#open.raw, object);
  }

  #sentObjects(): SentObjects {
    if (this.#sent !== undefined) return this.#sent;
    this.#sent = new Map();
    for (const frame of this.#places.frames) {
      for (const object of frame.objects) this.#sent.set(object.id, { frame, object });
    }
    return this.#sent;
  }
}

/** `content` is gone once it returns. */
export type TakeObject = (object: {
  readonly id: ObjectId;
  readonly content: Uint8Array;
}) => undefined | boolean | Promise<undefined | boolean>;

async function passFrame(frame: Frame, take: TakeObject): Promise<boolean> {
  const raw = expandFrame(frame);
  try {
    for (const object of frame.objects) {
      const { content } = sliceObject(raw, object);
      const goesOn = take({ id: object.id, content });
      if ((goesOn instanceof Promise ? await goesOn : goesOn) === false) return false;
    }
    return true;
  } finally {
    if (raw !== frame.stored) releaseBytes(raw);
  }
}
