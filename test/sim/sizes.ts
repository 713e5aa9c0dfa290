/**
 * The same code with small limits, so that a few dozen landings fill pages, rings, rollups of several levels and
 * merged packs, which otherwise takes millions.
 */
import type { Patch } from "./copy.ts";

export const SMALL_SIZES: readonly Patch[] = [
  {
    file: "src/core/forge/landing/batch.ts",
    from: "export const RING_SIZE = 256;",
    to: "export const RING_SIZE = 8;",
  },
  {
    file: "src/core/forge/head/manifest.ts",
    from: "export const HEAD_PACKS_MAX = 200;",
    to: "export const HEAD_PACKS_MAX = 6;",
  },
  {
    file: "src/core/forge/head/manifest.ts",
    from: "export const PAGE_PACKS = 128;",
    to: "export const PAGE_PACKS = 4;",
  },
  {
    file: "src/core/forge/head/manifest.ts",
    from: "export const PAGE_FANOUT = 64;",
    to: "export const PAGE_FANOUT = 3;",
  },
  // Rollups of 4, 12, 36, … positions, in blocks and pages of a few entries, and in parts instead of inline.
  {
    file: "src/core/codec/rollup.ts",
    from: "return 10 ** (level + 1);",
    to: "return 4 * 3 ** (level - 1);",
  },
  {
    file: "src/core/forge/rollup/levels.ts",
    from: "export const ROLLUP_FANOUT = 10;",
    to: "export const ROLLUP_FANOUT = 3;",
  },
  {
    file: "src/core/codec/rollup.ts",
    from: "export const ROLLUP_INLINE_BYTES_MAX: number = 256 << 10;",
    to: "export const ROLLUP_INLINE_BYTES_MAX: number = 2 << 10;",
  },
  {
    file: "src/core/codec/rollup-index.ts",
    from: "export const INDEX_PAGE_BYTES: number = 64 << 10;",
    to: "export const INDEX_PAGE_BYTES: number = 256;",
  },
  {
    file: "src/core/codec/rollup-ids.ts",
    from: "export const IDS_PER_BLOCK = 1024;",
    to: "export const IDS_PER_BLOCK = 4;",
  },
  {
    file: "src/core/forge/log/recent-log.ts",
    from: "export const WALKED_MAX = 32;",
    to: "export const WALKED_MAX = 4;",
  },
  {
    file: "src/core/forge/merge-packs/plan.ts",
    from: "{ below: 64 * KIB, count: 32 },",
    to: "{ below: 6 * KIB, count: 4 },",
  },
  {
    file: "src/core/forge/merge-packs/plan.ts",
    from: "{ below: MIB, count: 16 },",
    to: "{ below: 24 * KIB, count: 3 },",
  },
  {
    file: "src/core/forge/collect/collect.ts",
    from: "const DELETE_TOGETHER = 1000;",
    to: "const DELETE_TOGETHER = 2;",
  },
  // Files of some kilobytes are cut into chunks of some hundred bytes.
  {
    file: "src/core/base/limits.ts",
    from: "export const CHUNK_THRESHOLD_BYTES = 1 << 20;",
    to: "export const CHUNK_THRESHOLD_BYTES = 2 << 10;",
  },
  {
    file: "src/core/codec/chunk-list.ts",
    from: "export const CHUNK_BYTES_MAX = 4 << 20;",
    to: "export const CHUNK_BYTES_MAX = 2 << 10;",
  },
  {
    file: "src/core/objects/chunker.ts",
    from: "export const CHUNK_BYTES_MIN = 512 << 10;",
    to: "export const CHUNK_BYTES_MIN = 256;",
  },
  {
    file: "src/core/objects/chunker.ts",
    from: "export const CHUNK_BYTES_NORMAL = 1 << 20;",
    to: "export const CHUNK_BYTES_NORMAL = 512;",
  },
  {
    file: "src/core/objects/chunker.ts",
    from: "const RARE_MASK = 0xfffffc00 | 0;",
    to: "const RARE_MASK = 0xffe00000 | 0;",
  },
  {
    file: "src/core/objects/chunker.ts",
    from: "const FREQUENT_MASK = 0xffffc000 | 0;",
    to: "const FREQUENT_MASK = 0xfe000000 | 0;",
  },
  // Most packs are read in parts, as large ones are.
  {
    file: "src/core/objects/pack-cache.ts",
    from: "export const WHOLE_PACK_BYTES_MAX = 256 << 10;",
    to: "export const WHOLE_PACK_BYTES_MAX = 2 << 10;",
  },
];
