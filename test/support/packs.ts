/** Packs in a store, and the directory that a head would give of them. */
import { utf8 } from "../../src/core/base/bytes.ts";
import { hashObject } from "../../src/core/base/hash.ts";
import type { Epoch, ObjectId, Position, ProjectId } from "../../src/core/base/ids.ts";
import { encodePack } from "../../src/core/codec/pack.ts";
import type { Frame, ObjectKind } from "../../src/core/objects/frame.ts";
import { FrameBuilder } from "../../src/core/objects/frame-builder.ts";
import { packKey } from "../../src/core/objects/keys.ts";
import type { PackDirectory, PackEntry } from "../../src/core/objects/pack-directory.ts";
import { expandFrame, type ObjectContent, sliceObject } from "../../src/core/objects/read-frame.ts";
import type { ObjectStore } from "../../src/core/store/object-store.ts";

export const TEST_PROJECT = "ab".repeat(16) as ProjectId;
export const TEST_EPOCH = "2026-11-20" as Epoch;

export interface TestObject {
  readonly id: ObjectId;
  readonly kind: ObjectKind;
  readonly content: Uint8Array;
  readonly sidecar: Uint8Array;
}

export function testObject(
  content: Uint8Array | string,
  kind: ObjectKind = "blob",
  sidecar: Uint8Array | string = "",
): TestObject {
  const bytes = typeof content === "string" ? utf8(content) : content;
  return {
    id: hashObject(bytes),
    kind,
    content: bytes,
    sidecar: typeof sidecar === "string" ? utf8(sidecar) : sidecar,
  };
}

export function framesOf(objects: readonly TestObject[], rawTarget = 64, level?: number | "store"): Frame[] {
  const builder = new FrameBuilder(level === undefined ? { rawTarget } : { rawTarget, level });
  for (const { kind, id, content, sidecar } of objects) builder.add(kind, id, content, sidecar);
  return builder.finish();
}

/** Every object of a frame, in order. */
export function objectsIn(frame: Frame): TestObject[] {
  const raw = expandFrame(frame);
  return frame.objects.map((object) => ({ id: object.id, ...plainObject(sliceObject(raw, object)) }));
}

/** With its bytes as plain arrays, so that they can be compared with `toEqual`. */
export function plainObject(object: ObjectContent): ObjectContent {
  return {
    kind: object.kind,
    content: new Uint8Array(object.content),
    sidecar: new Uint8Array(object.sidecar),
  };
}

/** Entries are kept oldest first and answered newest first. */
export class TestDirectory implements PackDirectory {
  version = 0;
  entries: PackEntry[] = [];
  /** What a newer head lists. */
  newer: PackEntry[] | undefined;
  readonly #pageSize: number;

  constructor(pageSize = 3) {
    this.#pageSize = pageSize;
  }

  at(position: number): readonly PackEntry[] {
    return this.entries.filter((entry) => entry.first <= position && position <= entry.last).reverse();
  }

  async renew(): Promise<boolean> {
    if (this.newer === undefined) return false;
    this.entries = this.newer;
    this.newer = undefined;
    this.version++;
    return true;
  }

  async *newestFirst(): AsyncGenerator<readonly PackEntry[], void, undefined> {
    const newest = this.entries.toReversed();
    for (let from = 0; from < newest.length; from += this.#pageSize) {
      yield newest.slice(from, from + this.#pageSize);
    }
  }
}

/** Encodes and stores a pack, and names it in the directory. */
export async function storePack(
  store: ObjectStore,
  directory: TestDirectory,
  frames: readonly Frame[],
  position: number,
): Promise<PackEntry> {
  const { id, bytes, indexLength } = encodePack(frames);
  await store.put(packKey(TEST_PROJECT, TEST_EPOCH, id), bytes);
  const at = position as Position;
  const entry = { pack: id, epoch: TEST_EPOCH, first: at, last: at, size: bytes.length, indexLength };
  directory.entries.push(entry);
  return entry;
}
