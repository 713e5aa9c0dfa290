/** Which landing each line of a file comes from. */

import { EMPTY_BYTES, fromUtf8 } from "../base/bytes.ts";
import { throwIfAborted } from "../base/clock.ts";
import { corrupt, isMicError, MicError } from "../base/errors.ts";
import { hlcToMs } from "../base/hlc.ts";
import { type ObjectId, POSITION_ZERO, type Position, type ProjectId } from "../base/ids.ts";
import { parseTreePath, pathToKey, type TreePath } from "../base/path.ts";
import type { LandingRecord } from "../codec/landing-record.ts";
import { decodeTreeEntry, type TreeEntry } from "../codec/tree-entry.ts";
import { diffLines } from "../merge/diff.ts";
import { splitLines } from "../merge/lines.ts";
import { isBinary } from "../merge/merge3.ts";
import type { Tree } from "../prolly/tree.ts";
import { wholeContent } from "./content.ts";
import type { ForgeContext } from "./context.ts";
import type { BlameLine, CallOptions } from "./forge.ts";
import { touches } from "./history.ts";
import { snapshotAt } from "./positions.ts";
import type { Snapshot } from "./snapshot.ts";

export const BLAME_BYTES_MAX = 32 << 20;

interface Version {
  readonly path: TreePath;
  readonly entry: TreeEntry;
  readonly hint: number;
  readonly content: Uint8Array;
}

/**
 * Walks the landings that touched the file from newest to oldest and attributes the lines that each of them
 * brought in, until none are left. A file that appears in a landing that deletes a file of the same content
 * is followed to its former path. Errors: `not-found`, `unsupported` for binary content and symlinks,
 * `too-large` above BLAME_BYTES_MAX.
 */
export async function blame(
  context: ForgeContext,
  project: ProjectId,
  at: Position,
  path: TreePath,
  options: CallOptions = {},
): Promise<readonly BlameLine[]> {
  parseTreePath(path);
  const snapshot = await snapshotAt(context, project, at, options);
  let current = await findVersion(snapshot, await snapshot.treeAt(at), path);
  if (current === undefined) {
    throw new MicError("not-found", `there is no file ${JSON.stringify(path)} at position ${at}`, {
      hint: "check the path with `mic ls`",
    });
  }
  refuseUnsuitable(current);
  const lines = splitLines(current.content);
  const result: (BlameLine | undefined)[] = new Array(lines.length);
  /** For each line of `current`: the line of the result that it became, or -1. */
  let origin = Int32Array.from(lines, (_, i) => i);
  let remaining = lines.length;
  const attribute = (line: number, record: LandingRecord): void => {
    const index = origin[line]!;
    if (index < 0) return;
    origin[line] = -1;
    remaining--;
    result[index] = toBlameLine(index, lines[index]!, record);
  };
  walk: for await (const page of snapshot.records(POSITION_ZERO, at, options)) {
    for (const record of page) {
      if (remaining === 0) break walk;
      throwIfAborted(options.signal);
      if (!(await touches(snapshot, record, [current.path]))) continue;
      const previous = await versionBefore(snapshot, record, current);
      if (previous === undefined || isBinary(previous.content)) {
        for (let line = 0; line < origin.length; line++) attribute(line, record);
        break walk;
      }
      if (previous.entry.id !== current.entry.id) {
        const next = new Int32Array(splitLines(previous.content).length).fill(-1);
        let beforeLine = 0;
        let line = 0;
        for (const hunk of diffLines(previous.content, current.content)) {
          while (line < hunk.bStart) next[beforeLine++] = origin[line++]!;
          for (; line < hunk.bEnd; line++) attribute(line, record);
          beforeLine = hunk.aEnd;
        }
        while (line < origin.length) next[beforeLine++] = origin[line++]!;
        origin = next;
      }
      current = previous;
    }
  }
  if (remaining > 0) throw corrupt(`history of ${path}`, `no landing brought in ${remaining} of its lines`);
  return result as BlameLine[];
}

/** The file as it was before a landing, under its own path or the one it was moved from. */
async function versionBefore(
  snapshot: Snapshot,
  record: LandingRecord,
  current: Version,
): Promise<Version | undefined> {
  const before = await snapshot.treeAt((record.position - 1) as Position);
  const same = await findVersion(snapshot, before, current.path, current);
  if (same !== undefined) return same;
  for (const operation of await snapshot.operations(record)) {
    if (operation.kind !== "delete") continue;
    const found = await findEntry(before, operation.path);
    if (found?.entry.id === current.entry.id) {
      return { path: operation.path, ...found, content: current.content };
    }
  }
  return undefined;
}

async function findEntry(
  tree: Tree,
  path: TreePath,
): Promise<{ readonly entry: TreeEntry; readonly hint: number } | undefined> {
  const found = await tree.get(pathToKey(path));
  return found === undefined ? undefined : { entry: decodeTreeEntry(found.value), hint: found.hint };
}

async function findVersion(
  snapshot: Snapshot,
  tree: Tree,
  path: TreePath,
  known?: { readonly entry: { readonly id: ObjectId }; readonly content: Uint8Array },
): Promise<Version | undefined> {
  const found = await findEntry(tree, path);
  if (found === undefined) return undefined;
  if (found.entry.id === known?.entry.id) return { path, ...found, content: known.content };
  if (found.entry.size > BLAME_BYTES_MAX) return { path, ...found, content: EMPTY_BYTES };
  return { path, ...found, content: await wholeContent(snapshot.reader, found) };
}

function refuseUnsuitable(version: Version): void {
  const { path, entry, content } = version;
  const shown = JSON.stringify(path);
  if (entry.size > BLAME_BYTES_MAX) {
    throw new MicError("too-large", `${shown} is larger than ${BLAME_BYTES_MAX} bytes`);
  }
  if (entry.kind === "symlink") throw new MicError("unsupported", `${shown} is a symbolic link`);
  if (isBinary(content)) throw new MicError("unsupported", `${shown} is a binary file`);
}

function toBlameLine(index: number, bytes: Uint8Array, record: LandingRecord): BlameLine {
  return {
    line: index + 1,
    text: lineText(bytes),
    position: record.position,
    author: record.author,
    goal: record.goal,
    timeMs: hlcToMs(record.hlc),
  };
}

/** Without its terminator; bytes that are not UTF-8 are shown as Latin-1. */
function lineText(bytes: Uint8Array): string {
  let end = bytes.length;
  if (end > 0 && bytes[end - 1] === 0x0a) end--;
  if (end > 0 && end < bytes.length && bytes[end - 1] === 0x0d) end--;
  const text = bytes.subarray(0, end);
  try {
    return fromUtf8(text);
  } catch (error) {
    if (!isMicError(error)) throw error;
    return Buffer.from(text).toString("latin1");
  }
}
