/** Content that was uploaded ahead of the landing that will name it. */
import { corrupt, MicError } from "../../base/errors.ts";
import { type Epoch, epochOf, type PackId, type ProjectId } from "../../base/ids.ts";
import type { LoosePack } from "../../codec/loose-object.ts";
import {
  checkPackHeader,
  decodePackIndex,
  decodePackTrailer,
  openPackIndex,
  PACK_TRAILER_BYTES,
  packIdOf,
} from "../../codec/pack.ts";
import type { PackIndex } from "../../codec/pack-index.ts";
import { packKey } from "../../objects/keys.ts";
import { verifyPack } from "../../objects/verify-pack.ts";
import type { ObjectStore } from "../../store/object-store.ts";
import { readVerified } from "../../store/read-verified.ts";
import { isNameable, searchedEpochs } from "../head/epochs.ts";

/** First guess at the length of an index that another process wrote. */
const TAIL_GUESS_BYTES = 64 << 10;
const REMEMBERED_MAX = 1024;

export interface UploadedPack {
  readonly pack: PackId;
  readonly epoch: Epoch;
  readonly size: number;
  readonly indexLength: number;
  readonly index: PackIndex;
}

interface SignalOption {
  readonly signal?: AbortSignal;
}

export class UploadedPacks {
  readonly #store: ObjectStore;
  readonly #project: ProjectId;
  readonly #trustWriters: boolean;
  readonly #known = new Map<PackId, UploadedPack>();
  /** Where packs that are not known yet were said to be. */
  readonly #expected = new Map<PackId, Epoch>();

  constructor(options: {
    readonly store: ObjectStore;
    readonly project: ProjectId;
    readonly trustWriters: boolean;
  }) {
    this.#store = options.store;
    this.#project = options.project;
    this.#trustWriters = options.trustWriters;
  }

  /** Stores a pack of content under today's epoch. Errors: `corrupt`, `too-large`, `usage`. */
  async put(bytes: Uint8Array, options: SignalOption = {}): Promise<PackId> {
    return (await this.#put(bytes, this.#trustWriters, options)).pack;
  }

  /** A pack that this process made of content that it has hashed. */
  putOwn(bytes: Uint8Array, options: SignalOption = {}): Promise<UploadedPack> {
    return this.#put(bytes, true, options);
  }

  async #put(bytes: Uint8Array, isTrusted: boolean, options: SignalOption): Promise<UploadedPack> {
    const { id, index, indexLength } = isTrusted ? openPack(bytes) : verifyPack(bytes, { trusted: false });
    checkKinds(id, index);
    const epoch = epochOf(await this.#store.nowMs());
    await this.#store.put(packKey(this.#project, epoch, id), bytes, options);
    return this.#remember({ pack: id, epoch, size: bytes.length, indexLength, index });
  }

  /**
   * An uploaded pack under an epoch that a head may name at `storeMs`. One that is older is copied first, so that
   * the collector, which only deletes old epochs, cannot take it. Errors: `not-found`.
   */
  async require(pack: PackId, storeMs: number): Promise<UploadedPack> {
    for (let found = await this.find(pack, storeMs); found !== undefined; ) {
      if (isNameable(found.epoch, storeMs)) return found;
      const copied = await this.#copy(found, storeMs);
      if (copied !== undefined) return copied;
      // It was collected. The same content may have been uploaded since, through another process.
      this.#known.delete(pack);
      const { epoch }: UploadedPack = found;
      found = await this.#find(pack, storeMs);
      if (found?.epoch === epoch) break;
    }
    throw new MicError("not-found", `the pack ${pack} was not uploaded, or too long ago`, {
      hint: "upload it again",
      data: { object: pack },
    });
  }

  /** An uploaded pack, under whatever epoch it is. */
  async find(pack: PackId, storeMs: number): Promise<UploadedPack | undefined> {
    return this.#known.get(pack) ?? (await this.#find(pack, storeMs));
  }

  /** Packs that a loose chunk list names; undefined when one of them is gone. */
  async findAll(packs: readonly LoosePack[], storeMs: number): Promise<UploadedPack[] | undefined> {
    const found: UploadedPack[] = [];
    for (const { pack, epoch } of packs) {
      this.#expect(pack, epoch);
      const upload = await this.find(pack, storeMs);
      if (upload === undefined) return undefined;
      found.push(upload);
    }
    return found;
  }

  async #find(pack: PackId, storeMs: number): Promise<UploadedPack | undefined> {
    const expected = this.#expected.get(pack);
    const recent = searchedEpochs(storeMs);
    for (const epoch of expected === undefined ? recent : [expected, ...recent]) {
      const key = packKey(this.#project, epoch, pack);
      const { objects } = await this.#store.list(key, { limit: 1 });
      const listed = objects[0];
      if (listed === undefined || listed.key !== key) continue;
      const { index, indexLength } = await this.#readIndex(key, listed.size);
      checkKinds(pack, index);
      return this.#remember({ pack, epoch, size: listed.size, indexLength, index });
    }
    return undefined;
  }

  async #readIndex(key: string, size: number): Promise<{ index: PackIndex; indexLength: number }> {
    const { tailLength, guess } = await this.#readTail(key, size, TAIL_GUESS_BYTES, (bytes) => {
      if (bytes.length < PACK_TRAILER_BYTES) throw new MicError("corrupt", `${key} is cut short`);
      const trailer = decodePackTrailer(bytes);
      const isAll = trailer.tailLength <= bytes.length;
      const index = isAll ? decodePackIndex(bytes.subarray(bytes.length - trailer.tailLength)) : undefined;
      return { tailLength: trailer.tailLength, guess: index };
    });
    const index = guess ?? (await this.#readTail(key, size, tailLength, (bytes) => decodePackIndex(bytes)));
    return { index, indexLength: tailLength };
  }

  async #readTail<T>(key: string, size: number, count: number, open: (bytes: Uint8Array) => T): Promise<T> {
    const length = Math.min(size, count);
    const range = { offset: size - length, length };
    const opened = await readVerified(this.#store, key, { range }, ({ bytes }) => ({ tail: open(bytes) }));
    if (opened === undefined) throw new MicError("not-found", `${key} is gone`);
    return opened.tail;
  }

  /** `undefined`: it is gone. */
  async #copy(found: UploadedPack, storeMs: number): Promise<UploadedPack | undefined> {
    const key = packKey(this.#project, found.epoch, found.pack);
    const bytes = await readVerified(this.#store, key, {}, (stored) => {
      if (openPack(stored.bytes).id !== found.pack) throw corrupt(key, "has another hash");
      return stored.bytes;
    });
    if (bytes === undefined) return undefined;
    const epoch = epochOf(storeMs);
    await this.#store.put(packKey(this.#project, epoch, found.pack), bytes);
    return this.#remember({ ...found, epoch });
  }

  /** Says where a pack will be found that another process may have stored. */
  /** The one that a list names is kept as long as the list is, which cannot be said of another that is known. */
  #expect(pack: PackId, epoch: Epoch): void {
    if (this.#known.get(pack)?.epoch === epoch) return;
    if (this.#expected.size >= REMEMBERED_MAX) this.#expected.clear();
    this.#expected.set(pack, epoch);
  }

  #remember(pack: UploadedPack): UploadedPack {
    if (this.#expected.get(pack.pack) === pack.epoch) this.#expected.delete(pack.pack);
    this.#known.delete(pack.pack);
    this.#known.set(pack.pack, pack);
    if (this.#known.size > REMEMBERED_MAX) {
      const [oldest] = this.#known.keys();
      if (oldest !== undefined) this.#known.delete(oldest);
    }
    return pack;
  }
}

/** A pack that this process made: its structure, without its content. */
function openPack(bytes: Uint8Array): { id: PackId; index: PackIndex; indexLength: number } {
  checkPackHeader(bytes);
  const { tailLength } = decodePackTrailer(bytes);
  if (tailLength > bytes.length) throw corrupt("pack", `an index of ${tailLength} bytes`, bytes.length);
  const index = openPackIndex(new Uint8Array(bytes.subarray(bytes.length - tailLength)));
  if (index.packSize !== bytes.length) throw corrupt("pack", `${bytes.length} bytes, not ${index.packSize}`);
  return { id: packIdOf(bytes), index, indexLength: tailLength };
}

/** The forge makes nodes, records and operations itself and believes no others. */
function checkKinds(pack: PackId, index: PackIndex): void {
  for (const kind of ["node", "record", "operations"] as const) {
    if (index.rowsOfKind(kind).length === 0) continue;
    throw new MicError("usage", `the pack ${pack} holds a ${kind}; uploaded packs hold content only`);
  }
}
