/** What a project's snapshots share: decoded records and operations, decoded tree nodes, manifest pages. */
import { hexToBytes } from "../../base/bytes.ts";
import type { ObjectId, ProjectId } from "../../base/ids.ts";
import type { LandingRecord } from "../../codec/landing-record.ts";
import { decodeOperations } from "../../codec/operations.ts";
import { PackNodeSource } from "../../objects/node-source.ts";
import type { ObjectReader } from "../../objects/object-reader.ts";
import { NodeCache } from "../../prolly/node-cache.ts";
import { Tree } from "../../prolly/tree.ts";
import type { TreeContext } from "../../prolly/tree-context.ts";
import type { NodeSource } from "../../prolly/types.ts";
import type { ObjectStore } from "../../store/object-store.ts";
import type { Operation } from "../forge.ts";
import { PageCache } from "../head/manifest.ts";
import { RollupReader } from "../rollup/read.ts";
import { RecentLogKeeper } from "./recent-log.ts";
import { RecordCache } from "./record-cache.ts";
import { SessionLog } from "./session-log.ts";
import { TreePolicies } from "./tree-policies.ts";

const RECORD_CACHE_BYTES = 16 << 20;
const ROLLUP_CACHE_BYTES = 32 << 20;
/** Open trees kept. */
const TREES_MAX = 16;

export class ProjectCaches {
  readonly records = new RecordCache(RECORD_CACHE_BYTES);
  readonly pages: PageCache;
  readonly rollups: RollupReader;
  readonly sessions = new SessionLog();
  readonly recent = new RecentLogKeeper();
  readonly policies = new TreePolicies();
  readonly #nodeCache: NodeCache;
  readonly #inline = new WeakMap<LandingRecord, readonly Operation[]>();
  readonly #trees = new Map<ObjectId, Tree>();
  #context: TreeContext | undefined;
  #nodes: NodeSource | undefined;
  #scanned: NodeSource | undefined;

  constructor(store: ObjectStore, project: ProjectId, nodeCacheBytes: number) {
    this.#nodeCache = new NodeCache(nodeCacheBytes);
    this.pages = new PageCache(store, project);
    this.rollups = new RollupReader({ store, project }, ROLLUP_CACHE_BYTES);
  }

  /** Bytes held, roughly. */
  get heldBytes(): number {
    return this.records.heldBytes + this.rollups.heldBytes + this.#nodeCache.heldBytes;
  }

  /**
   * The reader of the newest head. It finds whatever older heads led to: what replaces a pack holds all of its
   * objects, so all trees may read through it.
   */
  readThrough(reader: ObjectReader): void {
    this.#nodes = new PackNodeSource(reader);
    this.#scanned = new PackNodeSource(reader, "scan");
  }

  tree(root: ObjectId, hint: number, salt: string): Tree {
    const known = this.#trees.get(root);
    if (known !== undefined) {
      this.#trees.delete(root);
      this.#trees.set(root, known);
      return known;
    }
    this.#context ??= {
      salt: hexToBytes(salt),
      nodes: { load: (hash, nodeHint) => this.#nodes!.load(hash, nodeHint) },
      cache: this.#nodeCache,
    };
    const tree = Tree.open({ root, hint }, this.#context);
    this.addTree(tree);
    return tree;
  }

  /** The same tree, to be read from its first key to its last. */
  toScan({ rootSlot, hint, context }: Tree): Tree {
    const nodes: NodeSource = { load: (hash, nodeHint) => this.#scanned!.load(hash, nodeHint) };
    return Tree.fromSlot(rootSlot, hint, { ...context, nodes });
  }

  addTree(tree: Tree): void {
    this.#trees.set(tree.root, tree);
    if (this.#trees.size <= TREES_MAX) return;
    const [oldest] = this.#trees.keys();
    if (oldest !== undefined) this.#trees.delete(oldest);
  }

  /** The decoded operations of a record that has them inline. */
  inlineOperations(record: LandingRecord): readonly Operation[] {
    const known = this.#inline.get(record);
    if (known !== undefined || record.operations.kind !== "inline") return known ?? [];
    const decoded = decodeOperations(record.operations.bytes, record.position);
    this.#inline.set(record, decoded);
    return decoded;
  }
}
