/** Differences between two positions as documents, and as a patch. */

import { MicError } from "../../core/base/errors.ts";
import type { ProjectId } from "../../core/base/ids.ts";
import type { DiffRequest, Forge } from "../../core/forge/forge.ts";
import { type FileDiff, fileDiffs } from "../../core/forge/history/file-diffs.ts";
import { diffStat, unifiedDiff } from "../../core/merge/unified.ts";
import { entryDocument, type JsonObject } from "./documents.ts";

const CHANGES_MAX = 200_000;
/** Larger files are compared by nobody over REST: both of them and their lines would be in memory. */
const COMPARED_BYTES_MAX = 16 << 20;

/** Errors: `not-found`, `out-of-range`, `too-large`. */
export function readChanges(
  forge: Forge,
  project: ProjectId,
  request: DiffRequest,
  signal: AbortSignal,
): Promise<readonly FileDiff[]> {
  return fileDiffs(forge, project, request, { signal, changesMax: CHANGES_MAX });
}

export async function changeDocuments(
  changes: readonly FileDiff[],
  withStat: boolean,
  signal: AbortSignal,
): Promise<JsonObject[]> {
  const documents: JsonObject[] = [];
  for (const change of changes) {
    signal.throwIfAborted();
    documents.push({ ...changeDocument(change), ...(withStat ? await statOf(change) : {}) });
  }
  return documents;
}

function changeDocument({ op, path, from, before, after }: FileDiff): JsonObject {
  return {
    op,
    path,
    ...(from === undefined ? {} : { from }),
    ...(before === undefined ? {} : { before: entryDocument(before) }),
    ...(after === undefined ? {} : { after: entryDocument(after) }),
  };
}

/** Too large to be compared counts as binary. */
async function statOf(change: FileDiff): Promise<JsonObject> {
  if (sizeOf(change) > COMPARED_BYTES_MAX) return { added: 0, removed: 0, binary: true };
  const { added, removed, isBinary } = diffStat(await change.readBefore(), await change.readAfter());
  return { added, removed, ...(isBinary ? { binary: true } : {}) };
}

/** Refuses before the first byte what it cannot write. Errors: `too-large`. */
export async function* patchOf(
  changes: readonly FileDiff[],
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const large = changes.filter((change) => sizeOf(change) > COMPARED_BYTES_MAX).map(({ path }) => path);
  if (large.length > 0) {
    throw new MicError("too-large", `${JSON.stringify(large[0])} is too large to be compared line by line`, {
      hint: "ask for JSON, or for other paths",
      data: { paths: large.slice(0, 1000) },
    });
  }
  for (const change of changes) {
    signal.throwIfAborted();
    const { path, from, before, after } = change;
    yield unifiedDiff({
      oldPath: from ?? path,
      newPath: path,
      oldMode: before?.kind,
      newMode: after?.kind,
      before: await change.readBefore(),
      after: await change.readAfter(),
    });
  }
}

function sizeOf({ before, after }: FileDiff): number {
  return Math.max(before?.size ?? 0, after?.size ?? 0);
}
