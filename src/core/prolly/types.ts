/** Shapes shared by the prolly tree's operations, the forge and the database. */
import type { ObjectId } from "../base/ids.ts";

/**
 * `hint` is the position at which an object was introduced, 0 when unknown. Hints are advice: they say where
 * to look first and are not part of any hash.
 */
export type Hint = number;

/** One entry of a leaf. `hint` belongs to the object that the value refers to. */
export interface LeafEntry {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
  readonly hint: Hint;
}

/** Node bytes with the hints stored beside them, one per entry. */
export interface StoredNode {
  readonly bytes: Uint8Array;
  readonly hints: Float64Array;
}

/** A node made by a build, edit or merge, to be stored. */
export interface NewNode extends StoredNode {
  /** 32 bytes: BLAKE3 of `bytes`. */
  readonly hash: Uint8Array;
  /** 0 for a leaf. */
  readonly level: number;
}

/**
 * Where nodes come from. Returns at once what is in memory; a promise only when it must read. The bytes have
 * been verified against `hash`. Errors: `corrupt`, `not-found`, `unreachable`.
 */
export interface NodeSource {
  load(hash: Uint8Array, hint: Hint): StoredNode | Promise<StoredNode>;
}

export interface TreeRef {
  /** 64 zeros for the empty tree. */
  readonly root: ObjectId;
  readonly hint: Hint;
}

/** `value` undefined deletes the key (a missing key is left missing). Edits are sorted by key, one per key. */
export interface TreeEdit {
  readonly key: Uint8Array;
  readonly value: Uint8Array | undefined;
  readonly hint: Hint;
}

/** What stands at a key. */
export interface EntryState {
  readonly value: Uint8Array;
  readonly hint: Hint;
}

export interface DiffEntry {
  readonly key: Uint8Array;
  readonly before: EntryState | undefined;
  readonly after: EntryState | undefined;
}

/** A key that two sides changed in different ways; `undefined` where a side does not have it. */
export interface MergeConflict {
  readonly key: Uint8Array;
  readonly base: EntryState | undefined;
  readonly ours: EntryState | undefined;
  readonly theirs: EntryState | undefined;
}

/** `undefined` deletes the key; "conflict" leaves our side in the tree and reports the key. */
export type MergeResolution = EntryState | undefined | "conflict";

/** Half-open key range; a missing bound is open. */
export interface KeyRange {
  readonly gte?: Uint8Array;
  readonly lt?: Uint8Array;
}

export interface PageRange extends KeyRange {
  readonly reverse?: boolean;
  /** Entries at most. */
  readonly limit?: number;
  /** Entries of the range to skip first, counted in the direction of travel. */
  readonly offset?: number;
}

/** Where a build, edit or merge puts the nodes that it makes. */
export interface WriteOptions {
  /** Hint of the new nodes: the position that introduces them. */
  readonly position: number;
  /** Called once per new node that the result needs, children before parents. */
  emit(node: NewNode): void;
}
