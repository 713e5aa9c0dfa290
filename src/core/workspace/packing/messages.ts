/** What the packing threads say to each other: columns and transferred buffers, no object per file. */
import { releaseBytes } from "../../base/bytes.ts";
import type { ObjectId } from "../../base/ids.ts";
import type { ErrorDescription } from "../../base/worker-error.ts";
import type { EntryKind } from "../../codec/tree-entry.ts";
import type { Frame, FrameObject, ObjectKind } from "../../objects/frame.ts";
import type { FoundSecret } from "../../secrets/scanner.ts";
import type { PackResult } from "./batch.ts";

export const FILE_KINDS: readonly EntryKind[] = ["file", "executable", "symlink"];
const OBJECT_KINDS: readonly ObjectKind[] = ["blob", "chunk-list"];
const ID_DIGITS = 64;

export interface PackWorkerData {
  readonly root: string;
  readonly stampMs: number;
  readonly keepModes: boolean;
  readonly findsSecrets: boolean;
  /** Of each batch: its files' paths in UTF-8, separated by NUL. The worker's own. */
  readonly paths: readonly Uint8Array[];
  /** Index into FILE_KINDS. */
  readonly kinds: Uint8Array;
  /** Pairs [from, to) of files. */
  readonly batches: Int32Array;
  /** 32 bytes each: content that need not be framed. */
  readonly knownIds: Uint8Array;
  readonly control: PackControl;
}

/** Shared: [0] the next batch, [1] nonzero to stop, [2] KiB of frames posted and not yet taken over. */
export type PackControl = Int32Array;
export const NEXT = 0;
export const STOP = 1;
export const OUTSTANDING = 2;

export function newPackControl(): PackControl {
  return new Int32Array(new SharedArrayBuffer(12));
}

export type PackMessage =
  | { readonly kind: "frames"; readonly frames: PackedFrames; readonly kib: number }
  | { readonly kind: "results"; readonly from: number; readonly results: PackedResults }
  | { readonly kind: "done" }
  | { readonly kind: "error"; readonly error: ErrorDescription };

export interface PackedFrames {
  readonly stored: readonly Uint8Array[];
  /** Raw length of each frame, negative when it is stored uncompressed. */
  readonly rawLengths: Float64Array;
  /** Objects in each frame. */
  readonly counts: Int32Array;
  /** 64 hex digits each. */
  readonly ids: string;
  /** Kind, offset, length, sidecar length of each object. */
  readonly objects: Float64Array;
}

/** Takes the frames' bytes over. */
export function packFrames(frames: readonly Frame[]): { packed: PackedFrames; transfer: ArrayBuffer[] } {
  const ids: string[] = [];
  const objects: number[] = [];
  for (const frame of frames) {
    for (const object of frame.objects) {
      ids.push(object.id);
      objects.push(OBJECT_KINDS.indexOf(object.kind), object.offset, object.length, object.sidecarLength);
    }
  }
  const stored = frames.map(({ stored }) => {
    if (stored.byteLength === stored.buffer.byteLength) return new Uint8Array(stored.buffer);
    // A view of a larger buffer is copied: transferring would take the rest of it along.
    const copy = stored.slice();
    releaseBytes(stored);
    return copy;
  });
  const packed = {
    stored,
    rawLengths: Float64Array.from(frames, (frame) => (frame.compressed ? frame.rawLength : -frame.rawLength)),
    counts: Int32Array.from(frames, (frame) => frame.objects.length),
    ids: ids.join(""),
    objects: Float64Array.from(objects),
  };
  return { packed, transfer: stored.map((bytes) => bytes.buffer as ArrayBuffer) };
}

export function* unpackFrames(packed: PackedFrames): Generator<Frame> {
  let next = 0;
  for (let i = 0; i < packed.stored.length; i++) {
    const objects: FrameObject[] = [];
    for (let end = next + packed.counts[i]!; next < end; next++) {
      const at = next * 4;
      objects.push({
        id: packed.ids.slice(next * ID_DIGITS, (next + 1) * ID_DIGITS) as ObjectId,
        kind: OBJECT_KINDS[packed.objects[at]!]!,
        offset: packed.objects[at + 1]!,
        length: packed.objects[at + 2]!,
        sidecarLength: packed.objects[at + 3]!,
      });
    }
    const rawLength = packed.rawLengths[i]!;
    yield { compressed: rawLength > 0, rawLength: Math.abs(rawLength), stored: packed.stored[i]!, objects };
  }
}

export interface PackedResults {
  readonly kinds: Uint8Array;
  readonly sizes: Float64Array;
  readonly ids: string;
  readonly chunks: readonly (readonly [number, ObjectId])[];
  /** 1: known content, not framed. */
  readonly known: Uint8Array;
  /** mtime, ctime, size, inode; NaN where the stat data are not trusted. */
  readonly stats: Float64Array;
  /** By number of the file; nearly always empty. */
  readonly secrets: readonly (readonly [number, FoundSecret])[];
}

/** The worker gives known content the hint 1; the main thread knows the real one. */
export function packResults(results: readonly PackResult[]): PackedResults {
  const stats = new Float64Array(results.length * 4);
  const chunks: [number, ObjectId][] = [];
  const found: [number, FoundSecret][] = [];
  results.forEach(({ stat, chunks: list, secrets }, i) => {
    if (list !== undefined) chunks.push([i, list]);
    if (secrets !== undefined) for (const secret of secrets) found.push([i, secret]);
    stats[i * 4] = stat?.mtimeMs ?? Number.NaN;
    stats[i * 4 + 1] = stat?.ctimeMs ?? Number.NaN;
    stats[i * 4 + 2] = stat?.size ?? 0;
    stats[i * 4 + 3] = stat?.ino ?? 0;
  });
  return {
    kinds: Uint8Array.from(results, ({ kind }) => FILE_KINDS.indexOf(kind)),
    sizes: Float64Array.from(results, ({ size }) => size),
    ids: results.map(({ id }) => id).join(""),
    chunks,
    known: Uint8Array.from(results, ({ hint }) => (hint > 0 ? 1 : 0)),
    stats,
    secrets: found,
  };
}
