/** Settles conflicts one path at a time. What is overwritten comes back with `undo`. */
import { EMPTY_BYTES } from "../../base/bytes.ts";
import { MicError } from "../../base/errors.ts";
import { hashObject } from "../../base/hash.ts";
import { FRAME_RAW_BYTES_MAX } from "../../base/limits.ts";
import { comparePaths, type TreePath } from "../../base/path.ts";
import type { Conflict } from "../../codec/conflict-state.ts";
import type { ContentSide } from "../../codec/content-side.ts";
import type { EntryKind } from "../../codec/tree-entry.ts";
import { hasConflictMarkers, parseConflicts, renderResolution } from "../../merge/markers.ts";
import { mergeText } from "../../merge/merge3.ts";
import type { PathChange } from "../checkout/plan.ts";
import { rewriteFiles } from "../checkout/rewrite.ts";
import { changeWorkspace } from "../checkout/settle.ts";
import type { LocalPackWriter } from "../content/local-objects.ts";
import type { ResolveResult, ResolveStrategy } from "../results.ts";
import type { Workspace } from "../workspace.ts";
import { findConflict, readConflict, readCurrent } from "./conflicts.ts";

/**
 * `ours` and `theirs` decide where the two overlap and keep what merged cleanly; without lines to merge they
 * take the whole file. `union` keeps both texts. `mark` accepts the file as it is. Bytes become the file.
 *
 * Errors: `not-found` when a path has no conflict, `conflict` with `paths` for `mark` while markers remain,
 * `usage` for `union` where there is no text, `dirty` when something else stands where a file is to be.
 */
export function resolveConflicts(
  ws: Workspace,
  paths: readonly TreePath[] | "all",
  strategy: ResolveStrategy,
): Promise<ResolveResult> {
  return changeWorkspace(ws, async () => {
    const conflicts =
      paths === "all" ? [...ws.conflicts] : [...new Set(paths)].map((path) => findConflict(ws, path));
    conflicts.sort((a, b) => comparePaths(a.path, b.path));
    if (strategy === "mark") refuseMarkers(ws, conflicts);
    const writer = ws.objects.writer("kept");
    const changes: PathChange[] = [];
    for (const conflict of conflicts) {
      if (strategy === "mark") continue;
      const after = await chosenSide(ws, conflict, strategy, writer);
      changes.push({ path: conflict.path, before: conflict.written, after });
    }
    writer.finish();
    const resolved = new Set(conflicts.map((conflict) => conflict.path));
    const remaining = ws.conflicts.filter((conflict) => !resolved.has(conflict.path));
    if (conflicts.length > 0) {
      await rewriteFiles(ws, {
        kind: "resolve",
        description: `resolve ${[...resolved].join(", ")}`,
        changes,
        policy: "discard",
        theirs: "resolution",
        conflicts: () => remaining,
      });
    }
    return { resolved: [...resolved], remaining: remaining.map((conflict) => conflict.path) };
  });
}

function refuseMarkers(ws: Workspace, conflicts: readonly Conflict[]): void {
  const marked = conflicts
    .filter(
      ({ kind, path }) => kind === "content" && hasConflictMarkers(readCurrent(ws, path) ?? EMPTY_BYTES),
    )
    .map((conflict) => conflict.path);
  if (marked.length === 0) return;
  throw new MicError("conflict", `conflict markers remain in ${marked.join(", ")}`, {
    hint: "edit them away first, or use --ours, --theirs or --union",
    data: { paths: marked },
  });
}

async function chosenSide(
  ws: Workspace,
  conflict: Conflict,
  strategy: Exclude<ResolveStrategy, "mark">,
  writer: LocalPackWriter,
): Promise<ContentSide | undefined> {
  const kind = conflict.written?.entry.kind ?? conflict.theirs?.entry.kind ?? "file";
  if (typeof strategy === "object") return keep(strategy.bytes, kind, writer);
  if (conflict.kind === "content") {
    return keep(await mergedText(ws, conflict, strategy), kind, writer);
  }
  if (strategy === "union") {
    throw new MicError("usage", `${conflict.path} has no two texts to join (${conflict.kind})`, {
      hint: "use --ours or --theirs",
      data: { paths: [conflict.path] },
    });
  }
  return conflict[strategy];
}

/** Decides the marked regions of the file as it is now, or of the merge when no marks are left. */
async function mergedText(
  ws: Workspace,
  conflict: Conflict,
  strategy: "ours" | "theirs" | "union",
): Promise<Uint8Array> {
  const { base, ours, theirs, current } = await readConflict(ws, conflict.path);
  const parts = current === undefined ? [] : parseConflicts(current);
  const marked = parts.filter((part) => part.kind === "conflict");
  if (marked.length > 0) {
    return renderResolution(
      parts,
      marked.map(() => strategy),
    );
  }
  const labels = { ours: "workspace", theirs: "project" };
  return mergeText(base ?? EMPTY_BYTES, ours ?? EMPTY_BYTES, theirs ?? EMPTY_BYTES, {
    labels,
    style: "merge",
    strategy,
  }).bytes;
}

function keep(bytes: Uint8Array, kind: EntryKind, writer: LocalPackWriter): ContentSide {
  if (bytes.length > FRAME_RAW_BYTES_MAX) {
    throw new MicError("too-large", `a resolution of ${bytes.length} bytes is too large`, {
      hint: "write the file yourself and use --mark",
    });
  }
  const id = hashObject(bytes);
  if (bytes.length > 0) writer.addBlob(id, bytes);
  return { entry: { kind, size: bytes.length, id }, hint: 0 };
}
