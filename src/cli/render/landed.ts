/** What `land`, `revert` and `session land` answer. */
import type { LandOutcome } from "../../core/workspace/results.ts";
import type { Style } from "../style.ts";
import { plural } from "../text.ts";
import { renderChanges, renderPaths } from "./changes.ts";

const LANDED_SHOWN_MAX = 20;

export function landDocument(outcome: LandOutcome): Record<string, unknown> {
  const { position, session, tree, changes, conflicts, dryRun, landed } = outcome;
  const { secrets } = outcome;
  const document = {
    position,
    session,
    tree,
    changes,
    conflicts,
    ...(secrets.length === 0 ? {} : { secrets }),
  };
  if (!dryRun) return document;
  return { ...document, dryRun, landed: landed.map(({ op, path }) => ({ op, path })) };
}

export function renderLanded(outcome: LandOutcome, style: Style): string {
  const { position, changes, landed, conflicts, dryRun } = outcome;
  const head = dryRun
    ? `would land ${plural(changes, "change")} on @${position}`
    : `landed ${style.cyan(`@${position}`)}: ${plural(changes, "change")}`;
  const lines = [head, ...renderChanges(landed, style, LANDED_SHOWN_MAX)];
  if (conflicts.length > 0) {
    lines.push("", "your unlanded edits clash with what others landed:");
    lines.push(...renderPaths("conflict", conflicts, style.red));
  }
  return lines.join("\n");
}
