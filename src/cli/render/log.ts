/** Landings in a list: as documents, and two lines of text each. */
import type { LandingSummary } from "../../core/forge/forge.ts";
import type { Style } from "../style.ts";
import { authorName, escapeLine, firstLine, plural, truncate } from "../text.ts";
import { formatMinute, toRfc3339 } from "./time.ts";

export function landingDocument(landing: LandingSummary): Record<string, unknown> {
  const { position, session, goal, author, agent, timeMs, changes } = landing;
  return { position, session, goal, author, agent, time: toRfc3339(timeMs), changes };
}

/** `gutters` stand before each line, e.g. those of a graph; all of the same width. */
export function renderLanding(
  landing: LandingSummary,
  style: Style,
  columns: number,
  gutters: readonly [first: string, rest: string] = ["", ""],
  gutterWidth = 0,
): string[] {
  const name = `@${landing.position}`;
  const room = columns - gutterWidth;
  const indent = " ".repeat(name.length + 2);
  const goal = truncate(firstLine(landing.goal) || "(no goal)", room - name.length - 2);
  const details = [
    authorName(landing.author),
    formatMinute(landing.timeMs),
    plural(landing.changes, "change"),
  ];
  if (landing.agent !== "") details.push(`agent ${escapeLine(landing.agent)}`);
  return [
    `${gutters[0]}${style.cyan(name)}  ${style.bold(goal)}`,
    `${gutters[1]}${indent}${style.dim(truncate(details.join(" · "), room - indent.length))}`,
  ];
}
