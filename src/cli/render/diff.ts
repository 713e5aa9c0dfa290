/** Differences as a unified diff, a table of counts, names, or JSON. */
import type { TreePath } from "../../core/base/path.ts";
import { type DiffStat, diffStat, type FileChange, unifiedLines } from "../../core/merge/unified.ts";
import type { FileDiff } from "../../core/workspace/results.ts";
import type { Output } from "../output.ts";
import type { Style } from "../style.ts";
import { escapeBlock, escapeLine, padEnd, padStart, plural, textWidth, truncate } from "../text.ts";
import { paintOp } from "./changes.ts";

export type DiffFormat = "patch" | "stat" | "name-only" | "name-status";

export interface DiffFormatOptions {
  readonly stat?: boolean;
  readonly nameOnly?: boolean;
  readonly nameStatus?: boolean;
}

export function chooseFormat(options: DiffFormatOptions): DiffFormat {
  if (options.nameOnly === true) return "name-only";
  if (options.nameStatus === true) return "name-status";
  return options.stat === true ? "stat" : "patch";
}

interface CountedDiff extends DiffStat {
  readonly op: FileDiff["op"];
  readonly path: TreePath;
  readonly from?: TreePath;
}

const OP_LETTERS: Readonly<Record<FileDiff["op"], string>> = {
  add: "A",
  modify: "M",
  delete: "D",
  mode: "M",
  type: "T",
  rename: "R",
};

/** Writes the answer of `diff`, or the diff part of `show`, to `output`. */
export async function writeDiff(
  diffs: AsyncIterable<FileDiff> | Iterable<FileDiff>,
  format: DiffFormat,
  output: Output,
): Promise<void> {
  switch (format) {
    case "patch":
      for await (const diff of diffs) await writePatch(diff, output);
      return;
    case "stat": {
      const counted: CountedDiff[] = [];
      for await (const diff of diffs) counted.push(await countDiff(diff));
      for (const line of renderStat(counted, output.style, output.columns)) output.line(line);
      return;
    }
    case "name-only":
      for await (const { path } of diffs) output.line(escapeLine(path));
      return;
    case "name-status":
      for await (const { op, path, from } of diffs) {
        const names = from === undefined ? escapeLine(path) : `${escapeLine(from)}\t${escapeLine(path)}`;
        output.line(`${paintOp(op, output.style)(OP_LETTERS[op])}\t${names}`);
      }
  }
}

export async function diffDocuments(
  diffs: AsyncIterable<FileDiff> | Iterable<FileDiff>,
): Promise<Record<string, unknown>[]> {
  const documents: Record<string, unknown>[] = [];
  for await (const diff of diffs) {
    const { op, path, from, added, removed, isBinary } = await countDiff(diff);
    documents.push({
      op,
      path,
      ...(from === undefined ? {} : { from }),
      added,
      removed,
      ...(isBinary ? { binary: true } : {}),
    });
  }
  return documents;
}

async function countDiff(diff: FileDiff): Promise<CountedDiff> {
  const { op, path, from } = diff;
  const stat = diffStat(await diff.readBefore(), await diff.readAfter());
  return { op, path, ...(from === undefined ? {} : { from }), ...stat };
}

async function toFileChange(diff: FileDiff): Promise<FileChange> {
  return {
    oldPath: diff.from ?? diff.path,
    newPath: diff.path,
    oldMode: diff.before?.kind,
    newMode: diff.after?.kind,
    before: await diff.readBefore(),
    after: await diff.readAfter(),
  };
}

/** Bytes as they are into a pipe, so that `git apply` sees them; escaped and coloured on a terminal. */
async function writePatch(diff: FileDiff, output: Output): Promise<void> {
  const { style } = output;
  const forEyes = output.isTerminal || style.enabled;
  for (const line of unifiedLines(await toFileChange(diff))) {
    if (!forEyes) {
      output.write(decodeExactly(line.bytes) ?? writeRaw(output, line.bytes));
      continue;
    }
    const text = escapeBlock(
      Buffer.from(line.bytes).toString("utf8").replace(/\n$/, "").replace(/\r$/, "\\r"),
    );
    switch (line.kind) {
      case "header":
        output.line(style.bold(text));
        break;
      case "hunk":
        output.line(style.cyan(text));
        break;
      case "added":
        output.line(style.green(text));
        break;
      case "removed":
        output.line(style.red(text));
        break;
      case "note":
        output.line(style.dim(text));
        break;
      case "context":
        output.line(text);
    }
  }
  await output.settle();
}

const strictUtf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function decodeExactly(bytes: Uint8Array): string | undefined {
  try {
    return strictUtf8.decode(bytes);
  } catch (error) {
    if (error instanceof TypeError) return undefined;
    throw error;
  }
}

function writeRaw(output: Output, bytes: Uint8Array): string {
  output.bytes(bytes);
  return "";
}

const BAR_CELLS_MAX = 40;

function* renderStat(diffs: readonly CountedDiff[], style: Style, columns: number): Generator<string> {
  if (diffs.length === 0) return;
  const names = diffs.map(({ path, from }) =>
    from === undefined ? escapeLine(path) : `${escapeLine(from)} → ${escapeLine(path)}`,
  );
  const nameCells = Math.min(Math.max(...names.map(textWidth)), Math.floor(columns * 0.6));
  const most = Math.max(...diffs.map((diff) => diff.added + diff.removed), 1);
  const countCells = Math.max(String(most).length, 3);
  const barCells = Math.max(5, Math.min(BAR_CELLS_MAX, columns - nameCells - countCells - 6));
  const scale = most <= barCells ? 1 : barCells / most;
  for (const [i, diff] of diffs.entries()) {
    const name = padEnd(truncate(names[i]!, nameCells), nameCells);
    if (diff.isBinary) {
      yield ` ${name} | ${padStart("bin", countCells)}`;
      continue;
    }
    const plus = "+".repeat(barLength(diff.added, scale));
    const minus = "-".repeat(barLength(diff.removed, scale));
    const count = padStart(String(diff.added + diff.removed), countCells);
    yield ` ${name} | ${count} ${style.green(plus)}${style.red(minus)}`.trimEnd();
  }
  const added = diffs.reduce((sum, diff) => sum + diff.added, 0);
  const removed = diffs.reduce((sum, diff) => sum + diff.removed, 0);
  yield ` ${plural(diffs.length, "file")} changed, ${plural(added, "line")} added, ${plural(removed, "line")} removed`;
}

/** At least one cell for what is not nothing. */
function barLength(count: number, scale: number): number {
  return count === 0 ? 0 : Math.max(1, Math.floor(count * scale));
}
