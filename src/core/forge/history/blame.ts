/** Which landing each line of a file comes from. */
import { EMPTY_BYTES, fromUtf8 } from "../../base/bytes.ts";
import { throwIfAborted } from "../../base/clock.ts";
import { corrupt, isMicError, MicError } from "../../base/errors.ts";
import { hlcToMs } from "../../base/hlc.ts";
import { POSITION_ZERO, type Position, type ProjectId } from "../../base/ids.ts";
import { parseTreePath, pathToKey, type TreePath } from "../../base/path.ts";
import type { LandingRecord } from "../../codec/landing-record.ts";
import { decodeTreeEntry, type TreeEntry } from "../../codec/tree-entry.ts";
import { diffIndexedLines } from "../../merge/diff.ts";
import type { Hunk } from "../../merge/hunk.ts";
import { indexLines, type Lines, linesBetween } from "../../merge/lines.ts";
import { isBinary } from "../../merge/merge3.ts";
import type { Tree } from "../../prolly/tree.ts";
import { wholeContent } from "../content/content.ts";
import type { ForgeContext } from "../context.ts";
import type { BlameLine, CallOptions } from "../forge.ts";
import { snapshotAt } from "../log/positions.ts";
import type { Snapshot } from "../log/snapshot.ts";
import { landingsTouching } from "./history.ts";

export const BLAME_BYTES_MAX = 32 << 20;

/** The file at one position. One that is too large or binary has no lines. */
interface Version {
  readonly path: TreePath;
  readonly entry: TreeEntry;
  readonly isText: boolean;
  readonly lines: Lines;
}

const NO_LINES = indexLines(EMPTY_BYTES);

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
  const attribution = new Attribution(current.lines);
  let upTo: Position | undefined = at;
  while (upTo !== undefined) {
    const walked: Walked = await walkPath(snapshot, current, upTo, attribution, options);
    current = walked.current;
    upTo = walked.next;
  }
  if (attribution.remaining > 0) {
    throw corrupt(`the history of ${path}`, `no landing brought in ${attribution.remaining} of its lines`);
  }
  return attribution.result as BlameLine[];
}

interface Walked {
  readonly current: Version;
  /** The file had another path up to here; undefined: it is over. */
  readonly next: Position | undefined;
}

/** Goes back while the file keeps its path. */
async function walkPath(
  snapshot: Snapshot,
  version: Version,
  upTo: Position,
  attribution: Attribution,
  options: CallOptions,
): Promise<Walked> {
  let current = version;
  const pages = landingsTouching(snapshot, [version.path], POSITION_ZERO, upTo, options);
  for await (const page of pages) {
    for (const record of page) {
      if (attribution.remaining === 0) return { current, next: undefined };
      throwIfAborted(options.signal);
      const previous = await versionBefore(snapshot, record, current);
      if (previous === undefined || !previous.isText) {
        attribution.rest(record);
        return { current, next: undefined };
      }
      if (previous.entry.id !== current.entry.id) {
        const hunks = diffIndexedLines(previous.lines, current.lines);
        attribution.step(record, hunks, previous.lines.count);
      }
      current = previous;
      if (current.path !== version.path) return { current, next: (record.position - 1) as Position };
    }
  }
  return { current, next: undefined };
}

/** The lines of the newest version that no landing has been found for, as lines of an older version. */
class Attribution {
  readonly result: (BlameLine | undefined)[];
  remaining: number;
  readonly #lines: Lines;
  /** For each line of the older version: the line of the newest that it became, or -1. */
  #origin: Int32Array;

  constructor(lines: Lines) {
    this.#lines = lines;
    this.remaining = lines.count;
    this.result = new Array(lines.count);
    this.#origin = Int32Array.from({ length: lines.count }, (_, i) => i);
  }

  /** `record` replaced lines as `hunks` say; goes on with the version before, of `count` lines. */
  step(record: LandingRecord, hunks: readonly Hunk[], count: number): void {
    const origin = this.#origin;
    const before = new Int32Array(count).fill(-1);
    let line = 0;
    let beforeLine = 0;
    for (const hunk of hunks) {
      while (line < hunk.bStart) before[beforeLine++] = origin[line++]!;
      while (line < hunk.bEnd) this.#attribute(line++, record);
      beforeLine = hunk.aEnd;
    }
    while (line < origin.length) before[beforeLine++] = origin[line++]!;
    this.#origin = before;
  }

  /** Everything that is left comes from `record`. */
  rest(record: LandingRecord): void {
    for (let line = 0; line < this.#origin.length; line++) this.#attribute(line, record);
  }

  #attribute(line: number, record: LandingRecord): void {
    const index = this.#origin[line]!;
    if (index < 0) return;
    this.#origin[line] = -1;
    this.remaining--;
    const { position, author, goal, hlc } = record;
    const text = lineText(linesBetween(this.#lines, index, index + 1));
    this.result[index] = { line: index + 1, text, position, author, goal, timeMs: hlcToMs(hlc) };
  }
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
    if (found?.entry.id === current.entry.id) return { ...current, path: operation.path };
  }
  return undefined;
}

interface Found {
  readonly entry: TreeEntry;
  readonly hint: number;
}

async function findEntry(tree: Tree, path: TreePath): Promise<Found | undefined> {
  const found = await tree.get(pathToKey(path));
  return found === undefined ? undefined : { entry: decodeTreeEntry(found.value), hint: found.hint };
}

/** `known`: a version whose content need not be read again if it is the same. */
async function findVersion(
  snapshot: Snapshot,
  tree: Tree,
  path: TreePath,
  known?: Version,
): Promise<Version | undefined> {
  const found = await findEntry(tree, path);
  if (found === undefined) return undefined;
  const { entry } = found;
  if (entry.id === known?.entry.id) return { ...known, path, entry };
  if (entry.kind === "symlink" || entry.size > BLAME_BYTES_MAX) {
    return { path, entry, isText: false, lines: NO_LINES };
  }
  const content = await wholeContent(snapshot.reader, found);
  const isText = !isBinary(content);
  return { path, entry, isText, lines: isText ? indexLines(content) : NO_LINES };
}

function refuseUnsuitable({ path, entry, isText }: Version): void {
  const shown = JSON.stringify(path);
  if (entry.kind === "symlink") throw new MicError("unsupported", `${shown} is a symbolic link`);
  if (entry.size > BLAME_BYTES_MAX) {
    throw new MicError("too-large", `${shown} is larger than ${BLAME_BYTES_MAX} bytes`);
  }
  if (!isText) throw new MicError("unsupported", `${shown} is a binary file`);
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
