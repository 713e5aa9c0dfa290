/**
 * `.mic/objects`: packs (codec/pack.ts) with content that this workspace has seen: the frames of its base as
 * they were received, what was landed from here, what merges and `undo` need. For content of the project it is
 * a cache that the forge can fill again; local edits that were overwritten are only here.
 *
 * Files are named by their purpose and a hash (the pack's, or of its index) and never change. Many small packs are
 * merged into one now and then, and when all of them outgrow their budget, what nothing refers to any more is left
 * out.
 */
import { closeSync, fstatSync, openSync, readdirSync, readSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { asBuffer, releaseBytes } from "../../base/bytes.ts";
import { decompress } from "../../base/compress.ts";
import { corrupt, isMicError } from "../../base/errors.ts";
import { verifyObject } from "../../base/hash.ts";
import type { ObjectId } from "../../base/ids.ts";
import { BLOB_FRAME_RAW_BYTES, FRAME_RAW_BYTES_MAX, PACK_TARGET_BYTES } from "../../base/limits.ts";
import { openPackIndex, packIdOf } from "../../codec/pack.ts";
import { PackBuilder } from "../../codec/pack-builder.ts";
import type { PackIndex } from "../../codec/pack-index.ts";
import type { Frame, ObjectKind } from "../../objects/frame.ts";
import { FrameBuilder } from "../../objects/frame-builder.ts";
import { ensureDirectory, writeFileAtomic, writeFileInBackground } from "../disk/atomic-file.ts";
import { withFileIfExists } from "../disk/open-file.ts";
import { isMissing, metaPath } from "../layout.ts";

export const OBJECTS_DIR = "objects";

/** More small packs than this are merged. */
const SMALL_PACKS_MAX = 48;
/** Packs above this are left alone when small ones are merged. */
const SMALL_PACK_BYTES = 4 << 20;
/** The rest of a pack is copied for the sake of this part of it. */
const DEAD_PART_MIN = 0.25;
const SUFFIX = ".pack";
const RECEIVED_PREFIX = "received-";
/** The last frame of a pack, and the index. */
const PACK_SLACK_BYTES = 1 << 20;
const TRAILER_BYTES = 36;
const TRAILER_LENGTH_OFFSET = 8;

interface LocalPack {
  readonly path: string;
  readonly size: number;
  readonly index: PackIndex;
}

export interface LocalObject {
  readonly kind: ObjectKind;
  readonly content: Uint8Array;
  readonly sidecar: Uint8Array;
}

/** The raw bytes of a frame; at most FRAME_RAW_BYTES_MAX. */
export function expandFrame(frame: Frame): Uint8Array {
  if (frame.rawLength > FRAME_RAW_BYTES_MAX) {
    throw corrupt("frame", `claims to expand to ${frame.rawLength} bytes`);
  }
  if (frame.compressed) return decompress(frame.stored, frame.rawLength, "frame");
  if (frame.stored.length !== frame.rawLength) throw corrupt("frame", "is not as long as it says");
  return frame.stored;
}

export class LocalObjects {
  readonly #directory: string;
  #packs: LocalPack[] | undefined;
  /** The frame that was expanded last: neighbours are often read together. */
  #expanded: { pack: LocalPack; frame: number; raw: Uint8Array } | undefined;

  constructor(root: string) {
    this.#directory = metaPath(root, OBJECTS_DIR);
  }

  /** Forgets what is known about the directory, e.g. after waiting for another command. */
  refresh(): void {
    this.#packs = undefined;
    this.#expanded = undefined;
  }

  has(id: ObjectId): boolean {
    return this.#find(id) !== undefined;
  }

  /** Verified content, or undefined when it is not here. Errors: `corrupt`. */
  read(id: ObjectId): LocalObject | undefined {
    const found = this.#find(id);
    if (found === undefined) return undefined;
    const { pack, location } = found;
    let raw = this.#expanded;
    if (raw === undefined || raw.pack !== pack || raw.frame !== location.frame) {
      raw = { pack, frame: location.frame, raw: expandFrame(this.#readFrame(pack, location.frame)) };
      this.#expanded = raw;
    }
    const end = location.offset + location.length;
    const content = raw.raw.subarray(location.offset, end);
    verifyObject(id, content, pack.path);
    return { kind: location.kind, content, sidecar: raw.raw.subarray(end, end + location.sidecarLength) };
  }

  /** Frames that hold those of `wants` that are here, each frame once; `missing` is complete once it is drained. */
  *frames(wants: readonly ObjectId[], missing: ObjectId[]): Generator<Frame> {
    const seen = new Map<LocalPack, Set<number>>();
    for (const id of wants) {
      const found = this.#find(id);
      if (found === undefined) {
        missing.push(id);
        continue;
      }
      const frames = seen.get(found.pack) ?? new Set<number>();
      seen.set(found.pack, frames);
      if (frames.has(found.location.frame)) continue;
      frames.add(found.location.frame);
      yield this.#readFrame(found.pack, found.location.frame);
    }
  }

  /**
   * `received`: content that the forge can give again, written without waiting for the device. `kept`: content
   * that exists only here, durable once `finish` returns.
   */
  writer(purpose: "received" | "kept"): LocalPackWriter {
    return new LocalPackWriter(this.#directory, purpose, () => this.refresh());
  }

  /** Looks at names and sizes only. */
  needsCompaction(budgetBytes: number): boolean {
    let bytes = 0;
    let small = 0;
    for (const name of listNames(this.#directory)) {
      if (!name.endsWith(SUFFIX)) continue;
      const size = statSync(join(this.#directory, name), { throwIfNoEntry: false })?.size ?? 0;
      bytes += size;
      if (size < SMALL_PACK_BYTES) small += 1;
    }
    return small > SMALL_PACKS_MAX || bytes > budgetBytes;
  }

  /**
   * Merges small packs when there are many. When all packs together are above `budgetBytes`, drops content that
   * `isLive` denies, from packs that have enough of it: what is left is copied, and all of it may be of use. To be
   * called with the workspace's lock held; a crash leaves both or one, never neither.
   */
  compact(isLive: (id: ObjectId) => boolean, budgetBytes: number): void {
    const packs = this.#open();
    const overBudget = packs.reduce((sum, pack) => sum + pack.size, 0) > budgetBytes;
    const small = packs.filter((pack) => pack.size < SMALL_PACK_BYTES);
    const victims = new Set(small.length > SMALL_PACKS_MAX ? small : []);
    if (overBudget) for (const pack of packs) if (hasMuchDead(pack, isLive)) victims.add(pack);
    if (victims.size === 0) return;
    const writer = this.writer("kept");
    const kept = new Set<ObjectId>();
    for (const pack of [...victims].reverse()) {
      for (let frame = 0; frame < pack.index.frameCount; frame++) {
        const objects = pack.index.objectsOfFrame(frame);
        if (!objects.some(({ id }) => !kept.has(id) && isLive(id))) continue;
        for (const { id } of objects) kept.add(id);
        const copied = this.#readFrame(pack, frame);
        writer.add(copied);
        releaseBytes(copied.stored);
      }
    }
    const written = new Set(writer.finish());
    for (const pack of victims) if (!written.has(pack.path)) rmSync(pack.path, { force: true });
    this.refresh();
  }

  #find(id: ObjectId) {
    for (const pack of this.#open()) {
      const location = pack.index.find(id);
      if (location !== undefined) return { pack, location };
    }
    return undefined;
  }

  #readFrame(pack: LocalPack, index: number): Frame {
    const { offset, storedLength } = pack.index.frame(index);
    return pack.index.frameWith(index, readRange(pack.path, offset, storedLength));
  }

  #open(): readonly LocalPack[] {
    if (this.#packs !== undefined) return this.#packs;
    const packs: LocalPack[] = [];
    for (const name of listNames(this.#directory)) {
      if (!name.endsWith(SUFFIX)) continue;
      const path = join(this.#directory, name);
      const opened = name.startsWith(RECEIVED_PREFIX) ? openReceived(path) : openPack(path);
      if (opened !== undefined) packs.push(opened);
    }
    this.#packs = packs;
    return packs;
  }
}

/** Collects frames and content into packs of about PACK_TARGET_BYTES. Nothing is visible before `finish`. */
export class LocalPackWriter {
  readonly #directory: string;
  readonly #purpose: "received" | "kept";
  readonly #onWritten: () => void;
  readonly #written: string[] = [];
  #builder: FrameBuilder | undefined;
  readonly #pack = new PackBuilder(PACK_TARGET_BYTES + PACK_SLACK_BYTES);

  constructor(directory: string, purpose: "received" | "kept", onWritten: () => void) {
    this.#directory = directory;
    this.#purpose = purpose;
    this.#onWritten = onWritten;
  }

  /** Copies the frame's bytes. */
  add(frame: Frame): void {
    this.#pack.add(frame);
    if (this.#pack.storedLength >= PACK_TARGET_BYTES) this.#flush();
  }

  addBlob(id: ObjectId, content: Uint8Array): void {
    this.#builder ??= new FrameBuilder({ rawTarget: BLOB_FRAME_RAW_BYTES });
    this.#builder.add("blob", id, content);
    for (const frame of this.#builder.takeFull()) this.add(frame);
  }

  /** Keeps a whole pack of received content. Its bytes must not change before this resolves. */
  async addPack(pack: Uint8Array): Promise<void> {
    const path = this.#pathOf(pack);
    await writeFileInBackground(path, pack);
    this.#written.push(path);
  }

  /** The paths of the packs written, which can be read from now on. */
  finish(): readonly string[] {
    if (this.#builder !== undefined) for (const frame of this.#builder.finish()) this.add(frame);
    this.#builder = undefined;
    this.#flush();
    this.#pack.release();
    if (this.#written.length > 0) this.#onWritten();
    return this.#written;
  }

  #flush(): void {
    if (this.#pack.isEmpty) return;
    const bytes = this.#pack.finish();
    const path = this.#pathOf(bytes);
    writeFileAtomic(path, bytes, { sync: this.#purpose === "kept" });
    this.#written.push(path);
    this.#pack.clear();
  }

  #pathOf(pack: Uint8Array): string {
    ensureDirectory(this.#directory);
    return join(this.#directory, `${this.#purpose}-${packIdOf(pack)}${SUFFIX}`);
  }
}

function hasMuchDead({ index }: LocalPack, isLive: (id: ObjectId) => boolean): boolean {
  let bytes = 0;
  let deadBytes = 0;
  for (let frame = 0; frame < index.frameCount; frame++) {
    const { storedLength } = index.frame(frame);
    bytes += storedLength;
    if (!index.objectsOfFrame(frame).some(({ id }) => isLive(id))) deadBytes += storedLength;
  }
  return deadBytes >= bytes * DEAD_PART_MIN;
}

function listNames(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
}

/** A pack that a power failure cut short is as good as none: the forge has its content. */
function openReceived(path: string): LocalPack | undefined {
  try {
    return openPack(path);
  } catch (error) {
    if (isMicError(error, "corrupt")) return undefined;
    throw error;
  }
}

/** Undefined when another command has merged it away since the directory was listed. */
function openPack(path: string): LocalPack | undefined {
  return withFileIfExists(path, (file) => {
    const { size } = fstatSync(file);
    if (size < TRAILER_BYTES) throw corrupt(path, "is shorter than a pack's trailer");
    const trailer = asBuffer(readAt(file, size - TRAILER_BYTES, TRAILER_BYTES));
    const indexLength = trailer.readUInt32LE(TRAILER_LENGTH_OFFSET);
    if (indexLength > size) throw corrupt(path, `says that its index has ${indexLength} bytes`);
    return { path, size, index: openPackIndex(readAt(file, size - indexLength, indexLength)) };
  });
}

function readRange(path: string, offset: number, length: number): Uint8Array {
  const file = openSync(path, "r");
  try {
    return readAt(file, offset, length);
  } finally {
    closeSync(file);
  }
}

function readAt(file: number, offset: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let done = 0; done < length; ) {
    const count = readSync(file, bytes, done, length - done, offset + done);
    if (count === 0) throw corrupt("local pack", "ends early", offset + done);
    done += count;
  }
  return bytes;
}
