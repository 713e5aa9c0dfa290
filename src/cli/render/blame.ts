/** Blame in columns: position, day, author, goal; a landing is named on the first line of its block. */
import type { BlameLine } from "../../core/forge/forge.ts";
import type { Style } from "../style.ts";
import { authorName, escapeLine, firstLine, padEnd, padStart, truncate } from "../text.ts";
import { formatDay } from "./time.ts";

const AUTHOR_CELLS = 10;
const GOAL_CELLS = 16;
const WIDE_COLUMNS = 100;
const TAB = "    ";

export function* renderBlame(lines: readonly BlameLine[], style: Style, columns: number): Generator<string> {
  const positionCells = Math.max(...lines.map((line) => String(line.position).length), 1) + 1;
  const numberCells = String(lines.length).length;
  const goalCells = columns >= WIDE_COLUMNS ? GOAL_CELLS * 2 : GOAL_CELLS;
  let previous = -1;
  for (const line of lines) {
    const isFirst = line.position !== previous;
    previous = line.position;
    const position = padStart(`@${line.position}`, positionCells);
    const who = padEnd(truncate(authorName(line.author), AUTHOR_CELLS), AUTHOR_CELLS);
    const goal = padEnd(truncate(firstLine(line.goal), goalCells), goalCells);
    const about = `${formatDay(line.timeMs)} ${who} ${goal}`;
    const text = escapeLine(line.text.replace(/\r?\n$/, "").replaceAll("\t", TAB));
    const shown = isFirst
      ? `${style.cyan(position)} ${style.dim(about)}`
      : " ".repeat(positionCells + 1 + 12 + AUTHOR_CELLS + goalCells);
    yield `${shown} ${style.dim(`${padStart(String(line.line), numberCells)}|`)}${text}`;
  }
}
