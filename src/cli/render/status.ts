/** The text of `mic status`. */
import type { StatusResult } from "../../core/workspace/results.ts";
import type { Style } from "../style.ts";
import { escapeLine, plural } from "../text.ts";
import { renderChanges, renderPaths } from "./changes.ts";

const SKIPPED_SHOWN_MAX = 10;

export function renderStatus(status: StatusResult, style: Style): string {
  const { changes, conflicts, skipped, latestKnown, position, session, pending, unfinished } = status;
  const behind = latestKnown - position;
  const lines = [
    `${style.bold(status.project)} at ${style.cyan(`@${position}`)}${behind > 0 ? style.yellow(`, ${behind} behind @${latestKnown}`) : ""}`,
  ];
  if (session !== null) lines.push(`session ${session} is open`);
  if (pending !== null)
    lines.push(style.yellow("a landing is not confirmed yet; the next command settles it"));
  if (unfinished !== null) {
    lines.push(style.yellow(`an interrupted ${escapeLine(unfinished)} is finished by the next command`));
  }
  lines.push("");
  if (changes.length === 0) lines.push("no changes");
  else lines.push(`${plural(changes.length, "change")}:`, ...renderChanges(changes, style));
  if (conflicts.length > 0) {
    lines.push(
      "",
      `${plural(conflicts.length, "conflict")}:`,
      ...renderPaths("conflict", conflicts, style.red),
    );
  }
  if (skipped.length > 0) {
    lines.push("", "not looked at:");
    for (const { path, reason } of skipped.slice(0, SKIPPED_SHOWN_MAX)) {
      lines.push(`  ${escapeLine(path)} (${escapeLine(reason)})`);
    }
    if (skipped.length > SKIPPED_SHOWN_MAX) lines.push(`  … and ${skipped.length - SKIPPED_SHOWN_MAX} more`);
  }
  const advice = nextStep(status, behind);
  if (advice !== undefined) lines.push("", style.dim(`next: ${advice}`));
  return lines.join("\n");
}

function nextStep(status: StatusResult, behind: number): string | undefined {
  if (status.conflicts.length > 0) return "mic resolve";
  if (behind > 0) return "mic sync";
  if (status.changes.length > 0) return 'mic land "what you did"';
  return undefined;
}
