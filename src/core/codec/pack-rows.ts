/**
 * The tables of a pack in the making, as they will stand in its index (layout: pack.ts): what a frame holds is
 * written down when the frame comes, and nothing else is kept of it.
 */
import { ByteWriter, bytesToHex, hexToBytes } from "../base/bytes.ts";
import { invariant } from "../base/errors.ts";
import { hashBytes } from "../base/hash.ts";
import type { ObjectId } from "../base/ids.ts";
import { FRAME_RAW_BYTES_MAX } from "../base/limits.ts";
import type { Frame, FrameObject } from "./frame.ts";
import { FRAME_ROW_BYTES, ID_BYTES, OBJECT_KINDS, OBJECT_ROW_BYTES } from "./pack-index.ts";

/** Bytes of a frame's checksum: enough to find damage; what proves content is its id. */
export const FRAME_CHECKSUM_BYTES = 8;

const FLAG_COMPRESSED = 1;

export class PackRows {
  readonly #frames = new ByteWriter(16 * FRAME_ROW_BYTES);
  readonly #objects = new ByteWriter(64 * OBJECT_ROW_BYTES);
  readonly #ids = new ByteWriter(64 * ID_BYTES);

  get frameCount(): number {
    return this.#frames.length / FRAME_ROW_BYTES;
  }

  get objectCount(): number {
    return this.#objects.length / OBJECT_ROW_BYTES;
  }

  /** Frame table, in file order. Views are valid until the next `add`. */
  get frameTable(): Uint8Array {
    return this.#frames.view();
  }

  get objectTable(): Uint8Array {
    return this.#objects.view();
  }

  /** 32 bytes for each row of the object table. */
  get ids(): Uint8Array {
    return this.#ids.view();
  }

  /** Looks at the frame's stored bytes now. */
  add(frame: Frame): void {
    checkFrameShape(frame);
    const { stored, rawLength, compressed, objects } = frame;
    this.#frames.u32(stored.length).u32(rawLength).u32(objects.length);
    this.#frames.u8(compressed ? FLAG_COMPRESSED : 0).bytes(checksumOf(frame));
    for (const { id, kind, length, sidecarLength } of objects) {
      this.#objects.u32(length).u32(sidecarLength).u8(OBJECT_KINDS.indexOf(kind));
      this.#ids.hex(id);
    }
  }

  /** The frames as they came, with stored bytes that are views of `bytes`, where they follow each other from `at`. */
  framesIn(bytes: Uint8Array, at: number): Frame[] {
    const table = viewOf(this.frameTable);
    const frames: Frame[] = [];
    let start = at;
    let row = 0;
    for (let i = 0; i < table.byteLength; i += FRAME_ROW_BYTES) {
      const end = start + table.getUint32(i, true);
      const count = table.getUint32(i + 8, true);
      frames.push({
        compressed: table.getUint8(i + 12) === FLAG_COMPRESSED,
        rawLength: table.getUint32(i + 4, true),
        stored: bytes.subarray(start, end),
        objects: this.#objectsFrom(row, count),
      });
      start = end;
      row += count;
    }
    return frames;
  }

  #objectsFrom(first: number, count: number): FrameObject[] {
    const table = viewOf(this.objectTable);
    const ids = this.ids;
    const objects: FrameObject[] = [];
    let offset = 0;
    for (let row = first; row < first + count; row++) {
      const at = row * OBJECT_ROW_BYTES;
      const length = table.getUint32(at, true);
      const sidecarLength = table.getUint32(at + 4, true);
      const kind = OBJECT_KINDS[table.getUint8(at + 8)]!;
      const id = bytesToHex(ids, row * ID_BYTES, (row + 1) * ID_BYTES) as ObjectId;
      objects.push({ id, kind, offset, length, sidecarLength });
      offset += length + sidecarLength;
    }
    return objects;
  }
}

export function frameChecksum(stored: Uint8Array): Uint8Array {
  return hashBytes(stored).subarray(0, FRAME_CHECKSUM_BYTES);
}

/** The id of content that is stored as it is, alone, is the hash of the stored bytes already. */
function checksumOf({ compressed, stored, objects }: Frame): Uint8Array {
  const only = objects[0]!;
  if (compressed || objects.length > 1 || only.sidecarLength > 0) return frameChecksum(stored);
  return hexToBytes(only.id).subarray(0, FRAME_CHECKSUM_BYTES);
}

/** What a builder of frames must not get wrong; frames from elsewhere go through `verifyFrame` first. */
function checkFrameShape(frame: Frame): void {
  let offset = 0;
  for (const object of frame.objects) {
    invariant(object.offset === offset, "a frame's objects do not follow each other");
    offset += object.length + object.sidecarLength;
  }
  invariant(frame.objects.length > 0 && offset === frame.rawLength, "a frame's objects do not fill it");
  invariant(frame.rawLength <= FRAME_RAW_BYTES_MAX, `a frame of ${frame.rawLength} raw bytes`);
  invariant(
    frame.compressed ? frame.stored.length < frame.rawLength : frame.stored.length === frame.rawLength,
    "a frame's stored length",
  );
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
