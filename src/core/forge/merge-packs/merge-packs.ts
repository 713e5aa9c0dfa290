/**
 * One pack out of a run of packs, with every object of them once: docs/format/merged-packs.md. What it holds and in
 * which order follows from the run alone, so any two agents make the same but for compression.
 */
import { hexToBytes } from "../../base/bytes.ts";
import { compress, compressAside } from "../../base/compress.ts";
import { corrupt } from "../../base/errors.ts";
import type { Position } from "../../base/ids.ts";
import { BLOB_FRAME_RAW_BYTES, FRAME_RAW_BYTES_MAX, NODE_FRAME_RAW_BYTES } from "../../base/limits.ts";
import { decodeLandingRecord } from "../../codec/landing-record.ts";
import { PACK_HEADER_BYTES, packIdOf } from "../../codec/pack.ts";
import { PackBuilder } from "../../codec/pack-builder.ts";
import type { ManifestPack } from "../../codec/pack-entry.ts";
import type { Frame } from "../../objects/frame.ts";
import { FrameBuilder } from "../../objects/frame-builder.ts";
import { verifyFrame } from "../../objects/verify-pack.ts";
import { rangeOf } from "../head/manifest.ts";
import { orderContent } from "./content-order.ts";
import { orderNodes } from "./node-order.ts";
import type { Pace } from "./pace.ts";
import { openRun, type RunReader, type RunSource } from "./run-reader.ts";

/** zstd level: measured in docs/adr/0101-merged-packs-and-head-changes.md. */
export const MERGE_LEVEL = 9;
export const OLDER_NODES_RAW_BYTES: number = 64 << 10;
/**
 * Raw bytes of a frame of older versions, by the size of what is in it: some sixteen versions share it. They are rarely
 * read, and share most of what they hold.
 */
const OLDER_BLOBS_RAW_BYTES_MIN = 1 << 20;
const OLDER_VERSIONS_IN_FRAME = 16;
/** A chunk this large that has a frame to itself keeps it as it is. */
const KEPT_FRAME_RAW_BYTES = 256 << 10;

export interface MergeOptions extends RunSource {
  /** Of the project, 16 hex digits. */
  readonly salt: string;
  readonly pace: Pace;
  readonly level?: number;
  /** Compresses on another thread, so that this one stays free; when that is done is not for a clock to say. */
  readonly aside?: boolean;
}

export interface MergedPack {
  readonly bytes: Uint8Array;
  /** What a head says of it, once it is stored under an epoch. */
  readonly entry: Omit<ManifestPack, "epoch">;
}

/**
 * Errors: MissingPackError when the run was replaced meanwhile; `corrupt` when a pack is damaged or its records are
 * not those of its positions; `unreachable`, `aborted`.
 */
export async function mergePacks(options: MergeOptions): Promise<MergedPack> {
  const { entries, pace } = options;
  const run = await openRun(options);
  const range = checkRecords(run, entries);
  const content = await orderContent(run, pace);
  const nodes = await orderNodes(run, hexToBytes(options.salt), pace);
  const records: number[] = [];
  const operations: number[] = [];
  for (let object = 0; object < run.count; object++) {
    const kind = run.kindOf(object);
    if (kind === "record") records.push(object);
    else if (kind === "operations") operations.push(object);
  }

  const size = entries.reduce((sum, entry) => sum + entry.size, 0);
  const writer = new MergeWriter(run, options, size);
  await writer.add(records, BLOB_FRAME_RAW_BYTES);
  await writer.add(nodes.newest, NODE_FRAME_RAW_BYTES);
  await writer.add(content.newest, BLOB_FRAME_RAW_BYTES);
  await writer.add(operations, BLOB_FRAME_RAW_BYTES);
  await writer.add(content.chunkLists, BLOB_FRAME_RAW_BYTES);
  await writer.addChunks(content.chunks);
  await writer.add(nodes.older, OLDER_NODES_RAW_BYTES);
  await writer.addOlder(content.older);
  const { bytes, indexLength } = writer.finish();
  const hasRecords = entries.some((entry) => entry.hasRecords);
  return { bytes, entry: { pack: packIdOf(bytes), hasRecords, ...range, size: bytes.length, indexLength } };
}

/** The positions that the merged pack is for. The records of those that landings wrote are dense and in order. */
function checkRecords(
  run: RunReader,
  entries: readonly ManifestPack[],
): { readonly first: Position; readonly last: Position } {
  const all = rangeOf(entries);
  const withRecords = entries.filter(({ hasRecords }) => hasRecords);
  if (withRecords.length === 0) return all;
  const { first, last } = rangeOf(withRecords);
  let next: number = first;
  for (const { content } of run.records()) {
    const { position } = decodeLandingRecord(content);
    if (position !== next) throw corrupt("packs to merge", `the record of ${next} is that of ${position}`);
    next++;
  }
  if (next !== last + 1) throw corrupt("packs to merge", `no record of ${next}`);
  if (all.first < first || all.last > last) {
    throw corrupt(
      "packs to merge",
      `content of ${all.first} to ${all.last} with records of ${first} to ${last}`,
    );
  }
  return { first, last };
}

class MergeWriter {
  readonly #run: RunReader;
  readonly #pack: PackBuilder;
  readonly #pace: Pace;
  readonly #level: number;
  readonly #aside: boolean;

  constructor(run: RunReader, { pace, level, aside }: MergeOptions, capacity: number) {
    this.#run = run;
    this.#pack = new PackBuilder(capacity);
    this.#pace = pace;
    this.#level = level ?? MERGE_LEVEL;
    this.#aside = aside === true;
  }

  async add(objects: readonly number[], rawTarget: number): Promise<void> {
    const builder = this.#builder(rawTarget);
    for (const object of objects) {
      this.#copy(object, builder);
      await this.#take(builder.takeFull());
    }
    await this.#take(builder.finish());
  }

  /** Versions of one file follow each other, so sizes change little from one object to the next. */
  async addOlder(objects: readonly number[]): Promise<void> {
    let builder = this.#builder(OLDER_BLOBS_RAW_BYTES_MIN);
    let target = OLDER_BLOBS_RAW_BYTES_MIN;
    for (const object of objects) {
      const wanted = olderFrameBytes(this.#run.lengthOf(object));
      if (wanted !== target) {
        await this.#take(builder.finish());
        builder = this.#builder(wanted);
        target = wanted;
      }
      this.#copy(object, builder);
      await this.#take(builder.takeFull());
    }
    await this.#take(builder.finish());
  }

  /** What chunks share with others was found when the file was cut. */
  async addChunks(objects: readonly number[]): Promise<void> {
    const run = this.#run;
    const builder = this.#builder(BLOB_FRAME_RAW_BYTES);
    for (const object of objects) {
      const own = run.lengthOf(object) >= KEPT_FRAME_RAW_BYTES ? run.ownFrame(object) : undefined;
      if (own === undefined) this.#copy(object, builder);
      else this.#pack.add(own);
      await this.#take(builder.takeFull());
    }
    await this.#take(builder.finish());
  }

  finish(): { readonly bytes: Uint8Array; readonly indexLength: number } {
    const { storedLength } = this.#pack;
    const bytes = this.#pack.finish();
    return { bytes, indexLength: bytes.length - PACK_HEADER_BYTES - storedLength };
  }

  #builder(rawTarget: number): FrameBuilder {
    return new FrameBuilder({ rawTarget, level: "store" });
  }

  #copy(object: number, builder: FrameBuilder): void {
    const { kind, content, sidecar } = this.#run.read(object);
    builder.add(kind, this.#run.idOf(object), content, sidecar);
  }

  /** What replaces the only copy of something is read back before anything relies on it. */
  async #take(frames: readonly Frame[]): Promise<void> {
    for (const frame of frames) {
      const raw = frame.stored;
      const level = this.#level;
      const stored = this.#aside ? await compressAside(raw, level) : compress(raw, level);
      const smaller = stored.length < raw.length ? { ...frame, compressed: true, stored } : frame;
      verifyFrame(smaller);
      this.#pack.add(smaller);
    }
    await this.#pace.step();
  }
}

/** Powers of two: few sizes, so that a frame is not closed because one version is a little longer. */
function olderFrameBytes(length: number): number {
  let bytes = OLDER_BLOBS_RAW_BYTES_MIN;
  while (bytes < length * OLDER_VERSIONS_IN_FRAME && bytes < FRAME_RAW_BYTES_MAX) bytes *= 2;
  return bytes;
}
