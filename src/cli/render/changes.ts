/** Lists of paths with what happened to them. */
import type { List } from "../../core/base/list.ts";
import type { Style } from "../style.ts";
import { escapeLine, padEnd, plural } from "../text.ts";

const LIST_MAX = 50;
const OP_CELLS = 8;

export interface ShownChange {
  readonly op: string;
  readonly path: string;
  readonly from?: string;
}

export function paintOp(op: string, style: Style): (text: string) => string {
  switch (op) {
    case "add":
      return style.green;
    case "delete":
      return style.red;
    case "rename":
      return style.cyan;
    default:
      return style.yellow;
  }
}

/** `  modify  src/main.ts`, at most `max` of them. */
export function renderChanges(changes: List<ShownChange>, style: Style, max = LIST_MAX): string[] {
  const lines = changes.slice(0, max).map(({ op, path, from }) => {
    const name = from === undefined ? escapeLine(path) : `${escapeLine(from)} → ${escapeLine(path)}`;
    return `  ${paintOp(op, style)(padEnd(op, OP_CELLS))}${name}`;
  });
  if (changes.length > max) lines.push(`  … and ${plural(changes.length - max, "more", "more")}`);
  return lines;
}

/** The same with one word for all. */
export function renderPaths(
  word: string,
  paths: readonly string[],
  paint: (text: string) => string,
): string[] {
  const width = Math.max(OP_CELLS, word.length + 2);
  const lines = paths.slice(0, LIST_MAX).map((path) => `  ${paint(padEnd(word, width))}${escapeLine(path)}`);
  if (paths.length > LIST_MAX) lines.push(`  … and ${plural(paths.length - LIST_MAX, "more", "more")}`);
  return lines;
}

export function conflictAdvice(count: number): string {
  return `\`mic resolve\` settles the ${count === 1 ? "conflict" : "conflicts"}; \`mic undo\` takes this back`;
}
