/** Somewhere outside of the forge where objects may be found again: a workspace, another forge. */
import type { ObjectId } from "../../base/ids.ts";
import type { ObjectContent } from "../../objects/read-frame.ts";

export interface CopySource {
  /** For messages. */
  readonly description: string;
  /** The object, which the caller verifies; `undefined` when it is not there or cannot be read. */
  find(id: ObjectId): Promise<ObjectContent | undefined>;
}
