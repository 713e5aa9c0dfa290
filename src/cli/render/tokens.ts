/** Tokens for people. */
import type { TokenDocument } from "../account/documents.ts";
import { usageError } from "../errors.ts";
import { escapeLine, padEnd } from "../text.ts";
import { formatDay } from "./time.ts";

export function tokenTable(tokens: readonly TokenDocument[]): string {
  const width = Math.max(0, ...tokens.map(({ name }) => name.length));
  return tokens.map((token) => describe(token, width)).join("\n");
}

/** Errors: `usage` for what would be sent as a token, not as its id. `list`: the command that shows ids. */
export function refuseSecret(id: string, list: string): void {
  if (!id.startsWith("mic")) return;
  throw usageError("that looks like the token itself", `give its id: see \`${list}\``);
}

function describe(
  { id, kind, name, scope, project, expiresAt, lastUsedAt }: TokenDocument,
  width: number,
): string {
  const day = (text: string | null, never: string): string =>
    text === null ? never : formatDay(Date.parse(text));
  const parts = [
    id,
    padEnd(name, width),
    padEnd(scope, 5),
    `expires ${padEnd(day(expiresAt, "never"), 10)}`,
    `used ${padEnd(day(lastUsedAt, "never"), 10)}`,
    ...(kind === null || kind === "personal" ? [] : ["of a sign-in"]),
    ...(project === null ? [] : [`only ${project}`]),
  ];
  return escapeLine(parts.join("  ").trimEnd());
}
