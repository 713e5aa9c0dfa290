/** Lays a hunk out as lines of text for a given screen size: side by side when wide, stacked otherwise. */
import { isBinary } from "../../core/merge/merge3.ts";
import { escapeLine, padEnd, truncate } from "../text.ts";
import type { Hunk, TextConflict } from "./resolve-state.ts";

export const SIDE_BY_SIDE_COLUMNS = 100;
const CONTEXT_LINES = 3;
const TAB = "    ";

export type LineTone = "context" | "ours" | "theirs" | "base" | "title";

export interface LaidOutLine {
  /** One cell of text, or two that stand side by side. */
  readonly cells: readonly { readonly text: string; readonly tone: LineTone }[];
}

/** Everything there is to see of a hunk, from the context before it to the context after it. */
export function layOutHunk(conflict: TextConflict, index: number, columns: number): LaidOutLine[] {
  const hunk = conflict.hunks[index]!;
  const [before, after] = contextOf(conflict, index);
  const body = columns >= SIDE_BY_SIDE_COLUMNS ? sideBySide(hunk, columns) : stacked(hunk, columns);
  const context = (lines: readonly string[]): LaidOutLine[] =>
    lines.map((text) => ({ cells: [{ text: truncate(`  ${text}`, columns), tone: "context" }] }));
  return [...context(before), ...body, ...context(after)];
}

function stacked(hunk: Hunk, columns: number): LaidOutLine[] {
  const block = (title: string, tone: LineTone, mark: string, bytes: Uint8Array): LaidOutLine[] => [
    { cells: [{ text: rule(title, columns), tone: "title" }] },
    ...textLines(bytes).map(
      (text): LaidOutLine => ({ cells: [{ text: truncate(`${mark} ${text}`, columns), tone }] }),
    ),
  ];
  return [
    ...block("ours (workspace)", "ours", "<", hunk.ours),
    ...(hunk.base === undefined ? [] : block("base", "base", "|", hunk.base)),
    ...block("theirs (project)", "theirs", ">", hunk.theirs),
    { cells: [{ text: "─".repeat(columns), tone: "title" }] },
  ];
}

function sideBySide(hunk: Hunk, columns: number): LaidOutLine[] {
  const width = Math.floor((columns - 3) / 2);
  const ours = textLines(hunk.ours);
  const theirs = textLines(hunk.theirs);
  const lines: LaidOutLine[] = [
    {
      cells: [
        { text: rule("ours (workspace)", width), tone: "title" },
        { text: rule("theirs (project)", width), tone: "title" },
      ],
    },
  ];
  for (let i = 0; i < Math.max(ours.length, theirs.length); i++) {
    lines.push({
      cells: [
        { text: padEnd(truncate(ours[i] ?? "", width), width), tone: "ours" },
        { text: padEnd(truncate(theirs[i] ?? "", width), width), tone: "theirs" },
      ],
    });
  }
  if (hunk.base !== undefined) {
    lines.push({ cells: [{ text: rule("base", columns), tone: "title" }] });
    for (const text of textLines(hunk.base))
      lines.push({ cells: [{ text: truncate(`| ${text}`, columns), tone: "base" }] });
  }
  lines.push({ cells: [{ text: "─".repeat(columns), tone: "title" }] });
  return lines;
}

function rule(title: string, width: number): string {
  return `── ${title} ${"─".repeat(Math.max(0, width - title.length - 4))}`;
}

/** The last lines before the hunk and the first after it. */
function contextOf(conflict: TextConflict, index: number): [string[], string[]] {
  const at = conflict.parts.flatMap((part, i) => (part.kind === "conflict" ? [i] : []))[index]!;
  const before = conflict.parts[at - 1];
  const after = conflict.parts[at + 1];
  return [
    before?.kind === "text" ? textLines(before.bytes).slice(-CONTEXT_LINES) : [],
    after?.kind === "text" ? textLines(after.bytes).slice(0, CONTEXT_LINES) : [],
  ];
}

/** Escaped lines without terminators; says so where there is nothing or nothing to read. */
export function textLines(bytes: Uint8Array): string[] {
  if (bytes.length === 0) return ["(nothing)"];
  if (isBinary(bytes)) return ["(binary)"];
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("utf8");
  const lines = text.split("\n");
  if (lines.at(-1) === "") lines.pop();
  return lines.map((line) => escapeLine(line.replace(/\r$/, "").replaceAll("\t", TAB)));
}
