/** What came with a landing: in its frames, or in packs that were uploaded for it. */
import { corrupt } from "../../base/errors.ts";
import { type ObjectId, objectIdFromBytes } from "../../base/ids.ts";
import { TREE_ENTRY_CHUNKS_OFFSET, TREE_ENTRY_ID_OFFSET } from "../../codec/tree-entry.ts";
import type { UploadedPack } from "../content/uploaded-packs.ts";
import type { SentObject } from "./prepared-landing.ts";

export class BroughtContent {
  readonly #sent: ReadonlyMap<ObjectId, SentObject>;
  readonly #uploads: readonly UploadedPack[];
  /** Where the last look-up succeeded: content is mostly in the order of the operations. */
  #lastUpload = 0;

  constructor(sent: ReadonlyMap<ObjectId, SentObject>, uploads: readonly UploadedPack[]) {
    this.#sent = sent;
    this.#uploads = uploads;
  }

  /**
   * Bytes of the object of an encoded tree entry, −1 when it did not come with the landing. Errors: `corrupt` for a
   * sent object of another kind.
   */
  lengthOf(value: Uint8Array): number {
    const isChunked = value.length > TREE_ENTRY_CHUNKS_OFFSET;
    const idAt = isChunked ? TREE_ENTRY_CHUNKS_OFFSET : TREE_ENTRY_ID_OFFSET;
    if (this.#sent.size > 0) {
      const id = objectIdFromBytes(value, idAt);
      const sent = this.#sent.get(id);
      if (sent !== undefined) {
        if (sent.kind !== (isChunked ? "chunk-list" : "blob")) {
          throw corrupt(`object ${id}`, `is a ${sent.kind}, which its entry does not say`);
        }
        return sent.length;
      }
    }
    const uploads = this.#uploads;
    for (let k = 0; k < uploads.length; k++) {
      const at = (this.#lastUpload + k) % uploads.length;
      const { index } = uploads[at]!;
      const row = index.findRow(value, idAt);
      if (row === -1) continue;
      this.#lastUpload = at;
      // A blob has no sidecar; of a chunk list the length does not matter here.
      return index.rawLengthOfRow(row);
    }
    return -1;
  }
}
