/** What every command that landed in a workspace says, and does after that. */
import type { LandOutcome } from "../core/workspace/results.ts";
import type { Workspace } from "../core/workspace/workspace.ts";
import type { Invocation } from "./invocation.ts";
import { keepUp } from "./keep-up.ts";
import { conflictAdvice } from "./render/changes.ts";
import { landDocument, renderLanded } from "./render/landed.ts";
import { sayWhatLooksSecret } from "./render/secrets.ts";

/** The landing itself succeeded: clashes of unlanded edits are state, not failure. */
export async function answerLanding(
  invocation: Invocation,
  workspace: Workspace,
  outcome: LandOutcome,
): Promise<void> {
  const { output } = invocation;
  sayWhatLooksSecret(output, outcome.secrets);
  output.answer(landDocument(outcome), () => renderLanded(outcome, output.style));
  if (outcome.conflicts.length > 0) output.hint(conflictAdvice(outcome.conflicts.length));
  if (outcome.dryRun) return;
  await keepUp(invocation, await workspace.forge(), workspace.settings.project, outcome.position);
}
