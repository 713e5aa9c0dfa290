import type { NodeCache } from "./node-cache.ts";
import type { NodeSlot } from "./tree-node.ts";
import type { Hint, NodeSource } from "./types.ts";

/** What every operation on a tree needs to know about where it lives. */
export interface TreeContext {
  /** 8 bytes, of the lineage. */
  readonly salt: Uint8Array;
  readonly nodes: NodeSource;
  /** Bounds and shares decoded nodes. Without it a tree keeps every node that it has read. */
  readonly cache?: NodeCache;
}

/** Where an operation starts: a root, and what reads the nodes below it. */
export interface TreeRoot {
  /** Undefined for the empty tree. */
  readonly rootSlot: NodeSlot | undefined;
  readonly hint: Hint;
  readonly context: TreeContext;
}
