/** Workspaces with small limits: content that travels ahead of its landing, and files that come one at a time. */
import type { Patch } from "../copy.ts";

export const WORKSPACE_SIZES: readonly Patch[] = [
  {
    file: "src/core/workspace/checkout/apply.ts",
    from: "const RENAME_BATCH = 256;",
    to: "const RENAME_BATCH = 1;",
  },
  {
    file: "src/core/workspace/packing/content-upload.ts",
    from: "await this.#stream.finish(INLINE_CONTENT_BYTES_MAX);",
    to: "await this.#stream.finish(Math.min(INLINE_CONTENT_BYTES_MAX, 150));",
  },
  {
    file: "src/core/workspace/content/local-objects.ts",
    from: "const SMALL_PACKS_MAX = 48;",
    to: "const SMALL_PACKS_MAX = 3;",
  },
];
