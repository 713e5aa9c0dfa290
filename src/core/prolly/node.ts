/**
 * A tree node as it is stored. Rules and limits: docs/format/prolly-node.md.
 *
 * | offset | size | type | field |
 * | --- | --- | --- | --- |
 * | 0 | 4 | bytes | magic `MPTN` |
 * | 4 | 1 | u8 | version, 1 |
 * | 5 | 1 | u8 | level: 0 for a leaf |
 * | 6 | 2 | u16 | n: entries, at least 1 |
 * | 8 | 8 | bytes | salt of the lineage |
 * | 16 | 2n | u16[n] | end of each key in the key block |
 * | 16 + 2n | 2n | u16[n] | end of each value in the value block; leaves only |
 * | … | K | bytes | key block: the keys in order. An internal key is the last key of its child |
 * | … | V | bytes | value block: the values (leaf), or n child hashes of 32 bytes |
 * | … | 8n | u64[n] | entries below each child, at least 1; internal nodes only |
 *
 * The hints (one per entry) are stored beside the node and are not part of its hash.
 */
import { corrupt, MicError } from "../base/errors.ts";
import { KEY_BYTES_MAX } from "../base/limits.ts";
import {
  CUT_MAX_BYTES,
  ENTRY_OVERHEAD_BYTES,
  INLINE_VALUE_BYTES_MAX,
  INTERNAL_ENTRIES_MIN,
  SALT_BYTES,
} from "./cut-rule.ts";
import {
  COUNT_BYTES,
  compareNodeKeys,
  equalRange,
  HASH_BYTES,
  NO_CHILDREN,
  NODE_HEADER_BYTES,
  readCount,
  TreeNode,
} from "./tree-node.ts";
import type { StoredNode } from "./types.ts";

export { HASH_BYTES };

export const NODE_MAGIC: Uint8Array = Uint8Array.of(0x4d, 0x50, 0x54, 0x4e);
export const NODE_VERSION = 1;
/** Every level is at most a quarter of the one below, so 2⁵³ entries need fewer than this. */
export const NODE_LEVEL_MAX = 31;
/** A leaf one byte below the largest size, and then the largest entry. */
export const NODE_BYTES_MAX: number =
  NODE_HEADER_BYTES + CUT_MAX_BYTES - 1 + KEY_BYTES_MAX + INLINE_VALUE_BYTES_MAX + ENTRY_OVERHEAD_BYTES;
const SALT_OFFSET = 8;
const WHAT = "tree node";

/** Writes the first 16 bytes of a node. */
export function writeHeader(bytes: Uint8Array, level: number, count: number, salt: Uint8Array): void {
  bytes.set(NODE_MAGIC, 0);
  bytes[4] = NODE_VERSION;
  bytes[5] = level;
  bytes[6] = count;
  bytes[7] = count >>> 8;
  bytes.set(salt, SALT_OFFSET);
}

/**
 * Checks everything that can be checked without other nodes, and copies the bytes so that a node does not
 * keep the frame alive that it came from. Throws `corrupt`, `unsupported` for another version,
 * `different-lineage` for another salt.
 */
export function decodeNode(stored: StoredNode, salt: Uint8Array): TreeNode {
  const source = stored.bytes;
  checkHeader(source, salt);
  const level = source[5]!;
  const count = source[6]! | (source[7]! << 8);
  const offsetsBytes = (level === 0 ? 4 : 2) * count;
  if (count === 0) throw corrupt(WHAT, "it has no entries", 6);
  if (NODE_HEADER_BYTES + offsetsBytes > source.length) {
    throw corrupt(WHAT, `${count} entries do not fit in ${source.length} bytes`, 6);
  }
  if (stored.hints.length !== count) {
    throw corrupt(WHAT, `${stored.hints.length} hints for ${count} entries`);
  }
  const keyBytes = checkEnds(source, NODE_HEADER_BYTES, count, KEY_BYTES_MAX, "key");
  let length = NODE_HEADER_BYTES + offsetsBytes + keyBytes;
  if (level === 0) {
    length += checkEnds(source, NODE_HEADER_BYTES + 2 * count, count, INLINE_VALUE_BYTES_MAX, "value");
  } else length += (HASH_BYTES + COUNT_BYTES) * count;
  if (length !== source.length) throw corrupt(WHAT, `${source.length} bytes instead of ${length}`);

  const bytes = new Uint8Array(source);
  let total = count;
  if (level > 0) {
    total = 0;
    const countsAt = length - COUNT_BYTES * count;
    for (let i = 0; i < count; i++) {
      const below = readCount(bytes, countsAt + COUNT_BYTES * i);
      total += below;
      if (!(below >= 1) || total > Number.MAX_SAFE_INTEGER) {
        throw corrupt(WHAT, `subtree count ${i} is impossible`, countsAt + COUNT_BYTES * i);
      }
    }
  }
  const node = new TreeNode(bytes, stored.hints, total, level === 0 ? NO_CHILDREN : new Array(count));
  for (let i = 1; i < count; i++) {
    if (compareNodeKeys(node, i - 1, node, i) >= 0) {
      throw corrupt(WHAT, `keys ${i - 1} and ${i} are not in order`, node.keysAt + node.keyEnd(i - 1));
    }
  }
  if (node.countedBytes(count - 2) >= CUT_MAX_BYTES && (level === 0 || count > INTERNAL_ENTRIES_MIN)) {
    throw corrupt(WHAT, "it is larger than a node can be");
  }
  return node;
}

function checkHeader(bytes: Uint8Array, salt: Uint8Array): void {
  if (bytes.length < NODE_HEADER_BYTES) throw corrupt(WHAT, `only ${bytes.length} bytes`, bytes.length);
  if (!equalRange(bytes, 0, NODE_MAGIC, 0, NODE_MAGIC.length)) {
    throw corrupt(WHAT, "it does not start with its magic", 0);
  }
  if (bytes[4] !== NODE_VERSION) {
    throw new MicError("unsupported", `tree nodes of version ${bytes[4]} are not known`, {
      hint: "use a newer mic",
    });
  }
  if (bytes[5]! > NODE_LEVEL_MAX) throw corrupt(WHAT, `level ${bytes[5]}`, 5);
  if (bytes.length > NODE_BYTES_MAX) throw corrupt(WHAT, `${bytes.length} bytes are too many`);
  if (!equalRange(bytes, SALT_OFFSET, salt, 0, SALT_BYTES)) throw differentLineage();
}

/** Checks that offsets never go back and that no item is too long; returns the last. */
function checkEnds(bytes: Uint8Array, at: number, count: number, longest: number, item: string): number {
  let previous = 0;
  for (let i = 0; i < count; i++) {
    const end = bytes[at + 2 * i]! | (bytes[at + 2 * i + 1]! << 8);
    if (end < previous) throw corrupt(WHAT, `${item} ${i} ends before it starts`, at + 2 * i);
    if (end - previous > longest) throw corrupt(WHAT, `${item} ${i} is too long`, at + 2 * i);
    previous = end;
  }
  return previous;
}

export function differentLineage(): MicError {
  return new MicError("different-lineage", "the trees belong to different lineages and share nothing", {
    hint: "clone the project again, or ask for the tree to be rebuilt",
  });
}

/** `too-large` for a key or an inline value that no node may hold. */
export function checkEntrySize(key: Uint8Array, valueLength: number): void {
  if (key.length > KEY_BYTES_MAX) {
    throw new MicError("too-large", `a key of ${key.length} bytes; the most is ${KEY_BYTES_MAX}`);
  }
  if (valueLength > INLINE_VALUE_BYTES_MAX) {
    throw new MicError(
      "too-large",
      `an inline value of ${valueLength} bytes; the most is ${INLINE_VALUE_BYTES_MAX}`,
      {
        hint: "store the value as an object and keep a reference to it in the tree",
      },
    );
  }
}
