/** What differs between two positions, in path order. */
import { throwIfAborted } from "../base/clock.ts";
import { EMPTY_ROOT, type ProjectId } from "../base/ids.ts";
import { decodeTreeEntry } from "../codec/tree-entry.ts";
import { diffTrees } from "../prolly/diff.ts";
import type { Tree } from "../prolly/tree.ts";
import type { KeyRange } from "../prolly/types.ts";
import type { ForgeContext } from "./context.ts";
import type { CallOptions, DiffRequest, TreeChange } from "./forge.ts";
import { PathDecoder } from "./path-decoder.ts";
import { rangesOfPaths } from "./path-ranges.ts";
import { openSnapshot, requireReached } from "./positions.ts";

/** Errors: `out-of-range`, `unsafe-path` for a stored path that must not be. */
export async function* diff(
  context: ForgeContext,
  project: ProjectId,
  request: DiffRequest,
  options: CallOptions = {},
): AsyncIterable<readonly TreeChange[]> {
  const ranges = rangesOfPaths(request.paths);
  const snapshot = await openSnapshot(context, project, options);
  requireReached(snapshot, request.from);
  requireReached(snapshot, request.to);
  if (request.from === request.to) return;
  yield* changesBetween(
    await snapshot.treeAt(request.from),
    await snapshot.treeAt(request.to),
    ranges,
    options,
  );
}

/** Pages are never empty. */
export async function* changesBetween(
  before: Tree,
  after: Tree,
  ranges: readonly KeyRange[],
  options: CallOptions = {},
): AsyncIterable<readonly TreeChange[]> {
  const decoder = new PathDecoder();
  for (const range of ranges) {
    if (before.root === EMPTY_ROOT) {
      // A clone: every entry is new, and a scan of the leaves tells it.
      for await (const page of after.pages(range)) {
        throwIfAborted(options.signal);
        const changes: TreeChange[] = new Array(page.length);
        for (let i = 0; i < page.length; i++) {
          const { key, value, hint } = page[i]!;
          changes[i] = { path: decoder.decode(key), before: undefined, after: located({ value, hint }) };
        }
        if (changes.length > 0) yield changes;
      }
      continue;
    }
    for await (const page of diffTrees(before, after, range)) {
      throwIfAborted(options.signal);
      const changes: TreeChange[] = new Array(page.length);
      for (let i = 0; i < page.length; i++) {
        const entry = page[i]!;
        changes[i] = {
          path: decoder.decode(entry.key),
          before: entry.before === undefined ? undefined : located(entry.before),
          after: entry.after === undefined ? undefined : located(entry.after),
        };
      }
      if (changes.length > 0) yield changes;
    }
  }
}

function located(side: {
  readonly value: Uint8Array;
  readonly hint: number;
}): NonNullable<TreeChange["after"]> {
  return { entry: decodeTreeEntry(side.value), hint: side.hint };
}
