/** What a landing does to the index, without a forge: packs the changes and takes them over. */
import type { ObjectId, Position } from "../../src/core/base/ids.ts";
import type { List } from "../../src/core/base/list.ts";
import { type IndexEntry, WorkspaceIndex } from "../../src/core/workspace/index/workspace-index.ts";
import { packFiles } from "../../src/core/workspace/packing/pack-files.ts";
import type { WorkspaceChange } from "../../src/core/workspace/scan/change-columns.ts";
import { type ScanResult, scanWorkspace } from "../../src/core/workspace/scan/scan.ts";

/** Saves an index in which `changes` (default: all of them) are tracked; returns it as loaded again. */
export async function landInIndex(
  root: string,
  scan: ScanResult,
  changes: List<WorkspaceChange> = scan.changes,
): Promise<WorkspaceIndex> {
  const index = WorkspaceIndex.load(root);
  const written = changes.filter((change) => change.after !== undefined);
  const packed = await packFiles({
    root,
    files: written.map(({ path, after }) => ({ path, kind: after!.kind, size: after!.size })),
    isKnown: () => undefined,
    onFrame: () => undefined,
  });
  const upserts: IndexEntry[] = packed.map((file) => ({ ...file, hint: 1 }));
  const removes = changes.filter((change) => change.after === undefined).map(({ path }) => path);
  const base = { position: (index.base.position + 1) as Position, root: "1".repeat(64) as ObjectId };
  index.update({ base, upserts, removes, scan: scan.findings }).save(root);
  return WorkspaceIndex.load(root);
}

/** Scans and lands until nothing changes any more and everything on disk is trusted. */
export async function settle(root: string): Promise<WorkspaceIndex> {
  await nextTick();
  await landInIndex(root, await scanWorkspace({ root, index: WorkspaceIndex.load(root) }));
  await nextTick();
  return landInIndex(root, await scanWorkspace({ root, index: WorkspaceIndex.load(root) }));
}

/** Longer than the file system's clock stands still. */
export function nextTick(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 12));
}
