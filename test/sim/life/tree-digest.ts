/** Everything that a tree says, in one short string. */
import { bytesToHex, utf8 } from "../../../src/core/base/bytes.ts";
import { hashBytes } from "../../../src/core/base/hash.ts";
import type { TreePath } from "../../../src/core/base/path.ts";
import type { TreeEntry } from "../../../src/core/codec/tree-entry.ts";

export function digestOfTree(files: ReadonlyMap<TreePath, { readonly entry: TreeEntry }>): string {
  const lines = [...files].map(([path, { entry }]) => `${path} ${entry.kind} ${entry.id}`).sort();
  return bytesToHex(hashBytes(utf8(lines.join("\n"))));
}
