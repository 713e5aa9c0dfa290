/**
 * Decoded nodes held in memory, bounded by bytes and shared by the trees of one lineage. A node that was read
 * since the hand last passed gets a second chance (the clock algorithm). Without a cache in its context, a
 * tree keeps every node it has read until the tree itself is dropped.
 */
import { asBuffer } from "../base/bytes.ts";
import type { NodeSlot } from "./tree-node.ts";

/** A path of the largest nodes must fit, or a descent would evict itself. */
const LIMIT_BYTES_MIN = 1 << 20;

export class NodeCache {
  readonly #limitBytes: number;
  /** By hash, oldest first. */
  readonly #slots = new Map<string, NodeSlot>();
  #heldBytes = 0;

  constructor(limitBytes: number) {
    this.#limitBytes = Math.max(LIMIT_BYTES_MIN, limitBytes);
  }

  /** Memory held by cached nodes, roughly. */
  get heldBytes(): number {
    return this.#heldBytes;
  }

  /** The slot whose content is held, so that two trees that contain a node share it. */
  find(hash: Uint8Array): NodeSlot | undefined {
    return this.#slots.get(keyOf(hash));
  }

  /** Holds the slot's node, dropping others when there are too many. */
  add(slot: NodeSlot): void {
    const key = keyOf(slot.hash);
    const held = this.#slots.get(key);
    if (slot.node === undefined || held === slot) return;
    if (held !== undefined) {
      // Two copies of one node: keep the one that others share. This slot finds it when it is read again.
      slot.node = undefined;
      return;
    }
    this.#slots.set(key, slot);
    slot.touched = true;
    this.#heldBytes += slot.node.memoryBytes;
    if (this.#heldBytes > this.#limitBytes) this.#shrink(slot);
  }

  #shrink(keep: NodeSlot): void {
    for (const [key, slot] of this.#slots) {
      if (this.#heldBytes <= this.#limitBytes) return;
      // Deleting and setting again moves the slot behind the hand; iteration reaches it once more at the end.
      this.#slots.delete(key);
      if (slot.touched || slot === keep) {
        slot.touched = slot === keep;
        this.#slots.set(key, slot);
        continue;
      }
      this.#heldBytes -= slot.node?.memoryBytes ?? 0;
      slot.node = undefined;
    }
  }
}

function keyOf(hash: Uint8Array): string {
  return asBuffer(hash).toString("latin1");
}
