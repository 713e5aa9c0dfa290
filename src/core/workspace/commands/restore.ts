/** Brings content of the base or of another position back into the workspace. */
import { MicError } from "../../base/errors.ts";
import type { Position } from "../../base/ids.ts";
import { ancestorsOf, comparePaths, type TreePath } from "../../base/path.ts";
import type { ContentSide } from "../../codec/content-side.ts";
import { checkedHead, resolveTarget } from "../checkout/base-changes.ts";
import type { PathChange } from "../checkout/plan.ts";
import { rewriteFiles } from "../checkout/rewrite.ts";
import { changeWorkspace } from "../checkout/settle.ts";
import { callOptions } from "../context.ts";
import type { RestoreResult } from "../results.ts";
import type { Workspace } from "../workspace.ts";

export interface RestoreOptions {
  /** Default: the base. */
  readonly from?: Position;
}

/**
 * Files at and below `paths` (`""` is everything) become what they are at the position: tracked ones that are not there are removed,
 * untracked ones stay. What is overwritten comes back with `undo`. Errors: `not-found` when a path is neither
 * there nor tracked, `out-of-range`.
 */
export function restorePaths(
  ws: Workspace,
  paths: readonly (TreePath | "")[],
  options: RestoreOptions = {},
): Promise<RestoreResult> {
  return changeWorkspace(ws, async () => {
    const from = options.from ?? ws.index.base.position;
    const wanted = await entriesAt(ws, from, paths);
    const changes = new Map<TreePath, PathChange>();
    let wantedPlaces: Set<TreePath> | undefined;
    for (const path of paths) {
      let found = false;
      for (const indexed of ws.index.entries(path)) {
        found = true;
        const before = { entry: indexed.entry, hint: indexed.hint };
        changes.set(indexed.path, { path: indexed.path, before, after: undefined });
      }
      if (found || path === "") continue;
      wantedPlaces ??= new Set([...wanted.keys()].flatMap((key) => [key, ...ancestorsOf(key)]));
      if (!wantedPlaces.has(path)) {
        throw new MicError("not-found", `${path} is neither at @${from} nor tracked`, {
          data: { paths: [path] },
        });
      }
    }
    for (const [path, after] of wanted) {
      changes.set(path, { path, before: changes.get(path)?.before, after });
    }
    const result = await rewriteFiles(ws, {
      kind: "restore",
      description: `restore ${paths.map((path) => path || ".").join(", ")} from @${from}`,
      changes: [...changes.values()].sort((a, b) => comparePaths(a.path, b.path)),
      policy: "discard",
      theirs: `@${from}`,
    });
    return { restored: [...result.changed].sort(comparePaths) };
  });
}

async function entriesAt(
  ws: Workspace,
  position: Position,
  paths: readonly (TreePath | "")[],
): Promise<Map<TreePath, ContentSide>> {
  const entries = new Map<TreePath, ContentSide>();
  if (position === ws.index.base.position) {
    for (const path of paths) {
      for (const { path: found, entry, hint } of ws.index.entries(path)) entries.set(found, { entry, hint });
    }
    return entries;
  }
  const forge = await ws.forge();
  await resolveTarget(ws, forge, await checkedHead(ws, forge), position);
  const { sparse } = ws.settings;
  const all = sparse.length === 0 ? undefined : sparse;
  const within = paths.includes("") ? all : (paths as readonly TreePath[]);
  for await (const page of forge.listEntries(ws.settings.project, position, within, callOptions(ws))) {
    for (const { path, entry, hint } of page) entries.set(path, { entry, hint });
  }
  return entries;
}
