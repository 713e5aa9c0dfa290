/**
 * The same code with small limits, so that a few dozen landings fill pages, rings, rollups of several levels and
 * merged packs, which otherwise takes millions.
 */
import type { Patch } from "./copy.ts";

export const SMALL_SIZES: readonly Patch[] = [
  {
    file: "src/core/forge/batch.ts",
    from: "export const RING_SIZE = 256;",
    to: "export const RING_SIZE = 8;",
  },
  {
    file: "src/core/forge/manifest.ts",
    from: "export const HEAD_PACKS_MAX = 200;",
    to: "export const HEAD_PACKS_MAX = 16;",
  },
  {
    file: "src/core/forge/manifest.ts",
    from: "export const PAGE_PACKS = 128;",
    to: "export const PAGE_PACKS = 5;",
  },
  {
    file: "src/core/forge/manifest.ts",
    from: "export const PAGE_FANOUT = 64;",
    to: "export const PAGE_FANOUT = 3;",
  },
];
