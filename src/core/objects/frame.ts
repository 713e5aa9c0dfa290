/** Frames as everything above the codecs sees them. The shape is part of the pack format: codec/frame.ts. */
import type { ObjectId } from "../base/ids.ts";

export type { Frame, FrameObject, ObjectKind } from "../codec/frame.ts";

/** An object to be read, with the position at which it was introduced (0: unknown). */
export interface ObjectRef {
  readonly id: ObjectId;
  readonly hint: number;
}
