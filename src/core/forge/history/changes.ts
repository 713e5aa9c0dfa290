/** What differs between two positions, in path order. */
import { throwIfAborted } from "../../base/clock.ts";
import type { ProjectId } from "../../base/ids.ts";
import { decodeTreeEntry } from "../../codec/tree-entry.ts";
import { diffTrees } from "../../prolly/diff.ts";
import { PathDecoder } from "../../prolly/path-decoder.ts";
import { rangesOfPaths } from "../../prolly/path-ranges.ts";
import type { Tree } from "../../prolly/tree.ts";
import type { DiffEntry, KeyRange } from "../../prolly/types.ts";
import type { ForgeContext } from "../context.ts";
import type { CallOptions, DiffRequest, TreeChange } from "../forge.ts";
import { openSnapshot, requireReached } from "../log/positions.ts";

const PAGE_CHANGES = 1024;

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

/** Pages are never empty, and large enough that a stream of them costs little. */
export async function* changesBetween(
  before: Tree,
  after: Tree,
  ranges: readonly KeyRange[],
  options: CallOptions = {},
): AsyncIterable<readonly TreeChange[]> {
  const decoder = new PathDecoder();
  let changes: TreeChange[] = [];
  for (const range of ranges) {
    for await (const page of entriesOf(before, after, range)) {
      throwIfAborted(options.signal);
      for (let i = 0; i < page.length; i++) {
        const { key, before: old, after: now } = page[i]!;
        changes.push({
          path: decoder.decode(key),
          before: old === undefined ? undefined : { entry: decodeTreeEntry(old.value), hint: old.hint },
          after: now === undefined ? undefined : { entry: decodeTreeEntry(now.value), hint: now.hint },
        });
      }
      if (changes.length < PAGE_CHANGES) continue;
      yield changes;
      changes = [];
    }
  }
  if (changes.length > 0) yield changes;
}

/** From the empty tree every entry is new, and a scan of the leaves tells it. */
async function* entriesOf(before: Tree, after: Tree, range: KeyRange): AsyncIterable<readonly DiffEntry[]> {
  if (!before.isEmpty) {
    yield* diffTrees(before, after, range);
    return;
  }
  for await (const page of after.pages(range)) {
    yield page.map((entry) => ({ key: entry.key, before: undefined, after: entry }));
  }
}
