/** Tree nodes out of packs: verified, with the hints stored beside them. */
import { decodeHints } from "../codec/hints.ts";
import type { NodeSource, StoredNode } from "../prolly/types.ts";
import type { ObjectReader } from "./object-reader.ts";
import type { FrameUse } from "./pack-cache.ts";
import type { ObjectContent } from "./read-frame.ts";

/** Where a node's header has its number of entries, u16 LE (prolly/node.ts). */
const ENTRY_COUNT_OFFSET = 6;

export class PackNodeSource implements NodeSource {
  readonly #reader: ObjectReader;
  readonly #use: FrameUse;

  /** `scan`: for a tree of which most is read, from its first key to its last. */
  constructor(reader: ObjectReader, use: FrameUse = "near") {
    this.#reader = reader;
    this.#use = use;
  }

  load(hash: Uint8Array, hint: number): StoredNode | Promise<StoredNode> {
    const object = this.#reader.peek(hash, hint);
    return object === undefined ? this.#read(hash, hint) : toNode(object);
  }

  async #read(hash: Uint8Array, hint: number): Promise<StoredNode> {
    return toNode(await this.#reader.load(hash, hint, this.#use));
  }
}

/**
 * A copy: decoded nodes live long, and a view would keep the whole frame alive. A node too short for its header has
 * no hints; decoding it says what is wrong.
 */
function toNode({ content, sidecar }: ObjectContent): StoredNode {
  const low = content[ENTRY_COUNT_OFFSET] ?? 0;
  const high = content[ENTRY_COUNT_OFFSET + 1] ?? 0;
  return { bytes: new Uint8Array(content), hints: decodeHints(sidecar, low | (high << 8)) };
}
