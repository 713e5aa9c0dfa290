/** Which part of the tree a sparse workspace has: everything at or below one of its paths. */
import { isWithin } from "../base/path.ts";

/** `inside`: part of the workspace; `toward`: only some of what is below; `outside`: none of it. */
export type SparseRelation = "inside" | "toward" | "outside";

/** `sparse` absent or empty: the whole tree. */
export function sparseRelation(sparse: readonly string[] | undefined, path: string): SparseRelation {
  if (sparse === undefined || sparse.length === 0) return "inside";
  let toward = false;
  for (const prefix of sparse) {
    if (isWithin(path, prefix)) return "inside";
    if (isWithin(prefix, path)) toward = true;
  }
  return toward ? "toward" : "outside";
}
