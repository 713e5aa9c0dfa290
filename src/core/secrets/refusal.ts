/** What a landing is refused with that holds secrets: where and of what kind, never the thing itself. */
import { MicError } from "../base/errors.ts";
import type { Position } from "../base/ids.ts";
import type { TreePath } from "../base/path.ts";
import type { LandingPolicy } from "./policy.ts";

/** What looks like a secret in a change. */
export interface SecretFinding {
  readonly path: TreePath;
  /** From 1. */
  readonly line: number;
  readonly kind: string;
}

const SHOWN_MAX = 3;

/** `because`: a clause. `position`: of an imported landing. */
export function secretsRefused(
  secrets: readonly SecretFinding[],
  because: string,
  position?: Position,
): MicError {
  const what = position === undefined ? "the changes hold" : `landing ${position} holds`;
  const remedy =
    position === undefined
      ? "`mic untrack PATH` keeps a file out, `mic:allow-secret` on its line allows one"
      : "`mic publish --allow-secrets` lets an owner of the project bring its history in as it is";
  return new MicError("unsafe-path", `${what} what looks like secrets: ${describe(secrets)}`, {
    hint: `${remedy}; ${because}`,
    data: {
      paths: [...new Set(secrets.map(({ path }) => path))],
      secrets,
      ...(position === undefined ? {} : { position }),
    },
  });
}

export const POLICY_REFUSES = "the project's .micpolicy refuses them";
const POLICY_UNREADABLE = "the project's .micpolicy is damaged, so they are refused; land it anew by itself";

/** Errors' `data.isPolicyUnreadable`: whoever can read the policy may let the same landing in. */
export function refusedByPolicy(
  secrets: readonly SecretFinding[],
  { isUnreadable }: LandingPolicy,
  position?: Position,
): MicError {
  if (isUnreadable !== true) return secretsRefused(secrets, POLICY_REFUSES, position);
  const { code, message, hint, data } = secretsRefused(secrets, POLICY_UNREADABLE, position);
  return new MicError(code, message, {
    ...(hint === undefined ? {} : { hint }),
    data: { ...data, isPolicyUnreadable: true },
  });
}

/** Whether a landing was refused only because its project's policy could not be read. */
export function isUnreadablePolicy(error: MicError): boolean {
  return error.data["isPolicyUnreadable"] === true;
}

function describe(secrets: readonly SecretFinding[]): string {
  const shown = secrets.slice(0, SHOWN_MAX).map(({ path, line, kind }) => `${kind} (${path}, line ${line})`);
  const more = secrets.length > SHOWN_MAX ? ` and ${secrets.length - SHOWN_MAX} more` : "";
  return shown.join(", ") + more;
}
