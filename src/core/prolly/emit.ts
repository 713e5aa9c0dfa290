/** Hands new nodes to whoever stores them. */
import type { NodeSlot } from "./tree-node.ts";
import type { NewNode } from "./types.ts";

/** Emits one new node; its children have been. */
export function emitSlot(slot: NodeSlot, emit: (node: NewNode) => void): void {
  const node = slot.node!;
  slot.fresh = false;
  emit({ hash: slot.hash, level: node.level, bytes: node.bytes, hints: node.hints });
}

/** Emits every new node that the root needs, children before parents. Nodes that no root needs are never emitted. */
export function emitFresh(slot: NodeSlot, emit: (node: NewNode) => void): void {
  if (!slot.fresh) return;
  for (const child of slot.node!.children) if (child?.fresh === true) emitFresh(child, emit);
  emitSlot(slot, emit);
}
