/** Secrets among the changes that are about to be landed. */
import { closeSync, constants, openSync, readSync } from "node:fs";
import { MicError } from "../../base/errors.ts";
import type { List } from "../../base/list.ts";
import { isMissing } from "../layout.ts";
import type { SecretFinding, StatusChange } from "../results.ts";
import { ENVIRONMENT_KIND } from "./rules.ts";
import { findSecretsIn, SCANNED_BYTES_MAX } from "./scanner.ts";

/** An environment file that is landed already is somebody's decision. */
export function isWorthSaying({ op }: StatusChange, kind: string): boolean {
  return op !== "modify" || kind !== ENVIRONMENT_KIND;
}

/** Reads what was added or modified, of each file as much as is looked at. */
export function findSecrets(root: string, changes: List<StatusChange>): readonly SecretFinding[] {
  const findings: SecretFinding[] = [];
  const buffer = new Uint8Array(SCANNED_BYTES_MAX);
  for (const change of changes) {
    const { op, path, kind } = change;
    if (kind === undefined || kind === "symlink" || op === "mode") continue;
    for (const { line, kind: what } of findSecretsIn(path, readStart(`${root}/${path}`, buffer))) {
      if (isWorthSaying(change, what)) findings.push({ path, line, kind: what });
    }
  }
  return findings;
}

/** Errors: `unsafe-path` with `paths` and `secrets`, when there are any. */
export function refuseSecrets(secrets: readonly SecretFinding[], isAsked: boolean): void {
  if (secrets.length === 0) return;
  const why = isAsked ? "without --strict this is a warning" : "the project's .micpolicy refuses them";
  throw new MicError("unsafe-path", `the changes hold what looks like secrets: ${describeSecrets(secrets)}`, {
    hint: `\`mic untrack PATH\` keeps a file out, \`mic:allow-secret\` on its line allows one; ${why}`,
    data: { paths: [...new Set(secrets.map(({ path }) => path))], secrets },
  });
}

const SHOWN_MAX = 3;
const OPEN_FLAGS = constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0);

function describeSecrets(secrets: readonly SecretFinding[]): string {
  const shown = secrets.slice(0, SHOWN_MAX).map(({ path, line, kind }) => `${kind} (${path}, line ${line})`);
  const more = secrets.length > SHOWN_MAX ? ` and ${secrets.length - SHOWN_MAX} more` : "";
  return shown.join(", ") + more;
}

/** What is gone or cannot be read is reported when it is packed. */
function readStart(file: string, buffer: Uint8Array): Uint8Array {
  let handle: number;
  try {
    handle = openSync(file, OPEN_FLAGS);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (isMissing(error) || code === "EACCES" || code === "EPERM" || code === "ELOOP") {
      return buffer.subarray(0, 0);
    }
    throw error;
  }
  try {
    let length = 0;
    for (;;) {
      const count = readSync(handle, buffer, length, buffer.length - length, null);
      length += count;
      if (count === 0 || length === buffer.length) return buffer.subarray(0, length);
    }
  } finally {
    closeSync(handle);
  }
}
