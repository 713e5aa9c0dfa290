/** Conflicts of a workspace as the terminal shows them. */
import { concatBytes, equalBytes } from "../../core/base/bytes.ts";
import type { TreePath } from "../../core/base/path.ts";
import type { EntryKind } from "../../core/codec/tree-entry.ts";
import { indexLines, linesBetween } from "../../core/merge/lines.ts";
import { type ConflictPart, parseConflicts, type TextPart } from "../../core/merge/markers.ts";
import { isBinary, mergeText } from "../../core/merge/merge3.ts";
import { readConflict } from "../../core/workspace/commands/conflicts.ts";
import type { Conflict, ConflictContent } from "../../core/workspace/results.ts";
import type { Workspace } from "../../core/workspace/workspace.ts";
import { formatBytes } from "../text.ts";
import type { Hunk, TextConflict, WholeConflict } from "./resolve-state.ts";

const LABELS = { ours: "ours", theirs: "theirs" };

export async function readConflictModels(
  workspace: Workspace,
  conflicts: readonly Conflict[],
): Promise<(TextConflict | WholeConflict)[]> {
  const models: (TextConflict | WholeConflict)[] = [];
  for (const conflict of conflicts) {
    const content = await readConflict(workspace, conflict.path as TreePath);
    models.push(toModel(conflict, content));
  }
  return models;
}

export function toModel(conflict: Conflict, content: ConflictContent): TextConflict | WholeConflict {
  if (conflict.kind === "content") {
    const text = toTextConflict(conflict.path, content);
    if (text !== undefined) return text;
  }
  return {
    kind: "whole",
    path: conflict.path,
    reason: conflict.kind,
    ours: describeSide(conflict.ours?.entry, content.ours),
    theirs: describeSide(conflict.theirs?.entry, content.theirs),
  };
}

/**
 * The file as it stands, so that edits around the markers are kept. Without markers in it (edited away, or the
 * file is gone) the merge is done again from the three versions. Undefined when there is nothing to mark.
 */
function toTextConflict(path: string, content: ConflictContent): TextConflict | undefined {
  const { base, ours, theirs, current } = content;
  const marked = current === undefined || isBinary(current) ? [] : parseConflicts(current);
  if (marked.some(isConflict)) return { kind: "text", path, parts: marked, hunks: hunksOf(marked, content) };
  if (ours === undefined || theirs === undefined) return undefined;
  const merged = mergeText(base ?? new Uint8Array(0), ours, theirs, { labels: LABELS, style: "merge" });
  const parts = parseConflicts(merged.bytes);
  return parts.some(isConflict) ? { kind: "text", path, parts, hunks: hunksOf(parts, content) } : undefined;
}

function isConflict(part: TextPart | ConflictPart): part is ConflictPart {
  return part.kind === "conflict";
}

function hunksOf(parts: readonly (TextPart | ConflictPart)[], content: ConflictContent): Hunk[] {
  const conflicts = parts.filter(isConflict);
  const bases = basesOf(conflicts, content);
  return conflicts.map(({ ours, theirs, base }, i) => ({ ours, theirs, base: base ?? bases[i] }));
}

/**
 * The markers do not show the base: it comes from merging again, where that finds the same regions. Regions
 * that were split from one share its base, which then belongs to none of them alone.
 */
function basesOf(conflicts: readonly ConflictPart[], content: ConflictContent): (Uint8Array | undefined)[] {
  const { base, ours, theirs } = content;
  if (base === undefined || ours === undefined || theirs === undefined) return [];
  const merged = mergeText(base, ours, theirs, { labels: LABELS, style: "merge" });
  if (merged.kind === "clean" || merged.regions.length !== conflicts.length) return [];
  const [oursLines, theirsLines, baseLines] = [indexLines(ours), indexLines(theirs), indexLines(base)];
  return merged.regions.map((region, i) => {
    const part = conflicts[i]!;
    const isSame =
      equalBytes(linesBetween(oursLines, region.ours.start, region.ours.end), part.ours) &&
      equalBytes(linesBetween(theirsLines, region.theirs.start, region.theirs.end), part.theirs);
    const isShared = merged.regions.some(
      (other, j) => j !== i && other.base.start === region.base.start && other.base.end === region.base.end,
    );
    if (!isSame || isShared) return undefined;
    return concatBytes([linesBetween(baseLines, region.base.start, region.base.end)]);
  });
}

function describeSide(
  entry: { readonly kind: EntryKind; readonly size: number } | undefined,
  bytes: Uint8Array | undefined,
): string {
  if (entry === undefined) return "deleted, or nothing there";
  if (entry.kind === "symlink") return `symlink to ${Buffer.from(bytes ?? []).toString("utf8")}`;
  const nature = bytes !== undefined && isBinary(bytes) ? "binary file" : "file";
  return `${entry.kind === "executable" ? `executable ${nature}` : nature}, ${formatBytes(entry.size)}`;
}
