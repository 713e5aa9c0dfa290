/**
 * Frames: the unit in which content is compressed, stored, moved and read. A frame holds whole objects one
 * after the other; each is its content followed by its sidecar (hints beside a node or chunk list, which are
 * not part of its id).
 */
import type { ObjectId } from "../base/ids.ts";

/** A chunk of a large file is a blob like any other. */
export type ObjectKind = "blob" | "chunk-list" | "node" | "record" | "operations";

export interface FrameObject {
  readonly id: ObjectId;
  readonly kind: ObjectKind;
  /** Byte offset of the content in the raw frame. */
  readonly offset: number;
  /** Bytes of content. */
  readonly length: number;
  /** Bytes of sidecar that follow the content. */
  readonly sidecarLength: number;
}

export interface Frame {
  /** False when the bytes are stored raw because zstd does not make them smaller. */
  readonly compressed: boolean;
  readonly rawLength: number;
  readonly stored: Uint8Array;
  /** By offset, without gaps or overlaps. */
  readonly objects: readonly FrameObject[];
}
