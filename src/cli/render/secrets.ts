/** What a landing holds that looks like a secret: where and of what kind, never the thing itself. */
import type { SecretFinding } from "../../core/secrets/refusal.ts";
import type { Output } from "../output.ts";

const SHOWN_MAX = 20;

export function sayWhatLooksSecret(output: Output, secrets: readonly SecretFinding[]): void {
  if (secrets.length === 0) return;
  for (const { path, line, kind } of secrets.slice(0, SHOWN_MAX)) {
    output.warn(`${path}:${line} holds ${kind}`);
  }
  if (secrets.length > SHOWN_MAX) output.warn(`… and ${secrets.length - SHOWN_MAX} more`);
  output.hint(
    "history keeps what was landed: replace it where it is valid. `mic untrack PATH` keeps a file out, `mic:allow-secret` on its line allows one, --strict refuses all",
  );
}
