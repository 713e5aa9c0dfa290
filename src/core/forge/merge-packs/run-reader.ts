/**
 * The packs of a run in memory, as they are stored, with the objects that they hold, each once. What is expanded of
 * them is bounded; every object is verified when it is read.
 */
import { asPlainBytes } from "../../base/bytes.ts";
import { corrupt } from "../../base/errors.ts";
import { hashBytes, verifyObject } from "../../base/hash.ts";
import type { ObjectId, ProjectId } from "../../base/ids.ts";
import { decodePackIndex, decodePackTrailer, packIdOf } from "../../codec/pack.ts";
import type { ManifestPack } from "../../codec/pack-entry.ts";
import { OBJECT_KINDS, type PackIndex } from "../../codec/pack-index.ts";
import type { Frame, ObjectKind } from "../../objects/frame.ts";
import { IdNumbers } from "../../objects/id-numbers.ts";
import { packKey } from "../../objects/keys.ts";
import { MissingPackError } from "../../objects/pack-cache.ts";
import { checkFrameBytes, expandFrame, type ObjectContent, sliceObject } from "../../objects/read-frame.ts";
import type { ObjectStore } from "../../store/object-store.ts";
import { readVerified } from "../../store/read-verified.ts";

/** Of expanded frames. */
const RAW_BYTES_MAX = 48 << 20;
/** Packs that are read at the same time. */
const READ_WIDTH = 8;

interface InputPack {
  readonly entry: ManifestPack;
  readonly bytes: Uint8Array;
  readonly index: PackIndex;
}

export interface RunSource {
  readonly store: ObjectStore;
  readonly project: ProjectId;
  /** In the order of the head's lists. */
  readonly entries: readonly ManifestPack[];
  readonly signal?: AbortSignal;
}

/** Errors: MissingPackError, `corrupt`, `unreachable`, `aborted`. */
export async function openRun(source: RunSource): Promise<RunReader> {
  const { entries } = source;
  const packs: InputPack[] = [];
  for (let from = 0; from < entries.length; from += READ_WIDTH) {
    const some = entries.slice(from, from + READ_WIDTH);
    packs.push(...(await Promise.all(some.map((entry) => readPack(source, entry)))));
  }
  return new RunReader(packs);
}

async function readPack({ store, project, signal }: RunSource, entry: ManifestPack): Promise<InputPack> {
  const key = packKey(project, entry.epoch, entry.pack);
  const options = signal === undefined ? {} : { signal };
  const pack = await readVerified(store, key, options, (stored) =>
    openInput(entry, asPlainBytes(stored.bytes)),
  );
  if (pack === undefined) throw new MissingPackError(entry.pack);
  return pack;
}

function openInput(entry: ManifestPack, bytes: Uint8Array): InputPack {
  const what = `pack ${entry.pack}`;
  if (packIdOf(bytes) !== entry.pack) throw corrupt(what, "does not have that content");
  const { tailLength } = decodePackTrailer(bytes);
  const index = decodePackIndex(bytes.subarray(bytes.length - tailLength));
  if (index.packSize !== bytes.length) throw corrupt(what, `is not ${index.packSize} bytes long`);
  return { entry, bytes, index };
}

/** Objects have numbers from 0, in the order of packs and rows in which they are first found. */
export class RunReader {
  readonly #packs: readonly InputPack[];
  readonly #ids = new IdNumbers();
  readonly #packOf: Uint32Array;
  readonly #rowOf: Uint32Array;
  /** Least recently used first. */
  readonly #raw = new Map<string, Uint8Array>();
  #rawBytes = 0;

  constructor(packs: readonly InputPack[]) {
    this.#packs = packs;
    const rows = packs.reduce((sum, { index }) => sum + index.objectCount, 0);
    this.#packOf = new Uint32Array(rows);
    this.#rowOf = new Uint32Array(rows);
    for (const [pack, { entry, index }] of packs.entries()) {
      for (let row = 0; row < index.objectCount; row++) {
        // A record in an uploaded pack proves nothing, and must not come to stand among those that do.
        if (!entry.hasRecords && index.kindOfRow(row) === "record") continue;
        this.#add(pack, row, index);
      }
    }
  }

  get count(): number {
    return this.#ids.count;
  }

  /** -1 when the run does not have it. `id`: 32 bytes at `at`. */
  find(id: Uint8Array, at = 0): number {
    return this.#ids.find(id, at);
  }

  idOf(object: number): ObjectId {
    return this.#indexOf(object).idOfRow(this.#rowOf[object]!);
  }

  kindOf(object: number): ObjectKind {
    return this.#indexOf(object).kindOfRow(this.#rowOf[object]!);
  }

  /** Content and sidecar bytes. */
  lengthOf(object: number): number {
    return this.#indexOf(object).rawLengthOfRow(this.#rowOf[object]!);
  }

  /** Records of positions, in position order. */
  *records(): Generator<ObjectContent, void, undefined> {
    for (const [pack, { entry, index }] of this.#packs.entries()) {
      if (!entry.hasRecords) continue;
      for (const row of index.rowsOfKind("record")) yield this.#read(pack, row);
    }
  }

  /** Valid until the next read. Errors: `corrupt`. */
  read(object: number): ObjectContent {
    return this.#read(this.#packOf[object]!, this.#rowOf[object]!);
  }

  /** The frame of an object that has one to itself, as it is stored, after a look that it holds the object. */
  ownFrame(object: number): Frame | undefined {
    const { bytes, index } = this.#packs[this.#packOf[object]!]!;
    const number = index.frameOfRow(this.#rowOf[object]!);
    const { objectCount, offset, storedLength } = index.frame(number);
    if (objectCount !== 1) return undefined;
    this.read(object);
    return index.frameWith(number, bytes.subarray(offset, offset + storedLength));
  }

  /** Of several copies the one with the richest kind is kept: hints stand beside nodes, none beside a blob. */
  #add(pack: number, row: number, index: PackIndex): void {
    const known = this.#ids.count;
    const object = this.#ids.add(index.idBytesOfRow(row));
    if (object < known) {
      const before = OBJECT_KINDS.indexOf(this.kindOf(object));
      if (OBJECT_KINDS.indexOf(index.kindOfRow(row)) <= before) return;
    }
    this.#packOf[object] = pack;
    this.#rowOf[object] = row;
  }

  #indexOf(object: number): PackIndex {
    return this.#packs[this.#packOf[object]!]!.index;
  }

  #read(pack: number, row: number): ObjectContent {
    const { entry, index } = this.#packs[pack]!;
    const location = index.locate(row);
    const object = sliceObject(this.#expand(pack, location.frame), location);
    if (!index.hasIdAt(row, hashBytes(object.content))) {
      verifyObject(index.idOfRow(row), object.content, `in pack ${entry.pack}`);
    }
    return object;
  }

  #expand(pack: number, frame: number): Uint8Array {
    const name = `${pack} ${frame}`;
    const known = this.#raw.get(name);
    if (known !== undefined) {
      this.#raw.delete(name);
      this.#raw.set(name, known);
      return known;
    }
    const { bytes, index } = this.#packs[pack]!;
    const location = index.frame(frame);
    const stored = bytes.subarray(location.offset, location.offset + location.storedLength);
    checkFrameBytes(location, stored);
    const raw = expandFrame({ ...location, stored });
    // Not compressed: a view of what is in memory anyway.
    if (raw === stored) return raw;
    this.#raw.set(name, raw);
    this.#rawBytes += raw.length;
    for (const [oldest, dropped] of this.#raw) {
      if (this.#rawBytes <= RAW_BYTES_MAX || dropped === raw) break;
      this.#raw.delete(oldest);
      this.#rawBytes -= dropped.length;
    }
    return raw;
  }
}
