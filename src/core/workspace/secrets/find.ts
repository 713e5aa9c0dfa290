/** Secrets among the changes that are about to be landed. */
import { closeSync, constants, openSync, readSync } from "node:fs";
import { hashObject } from "../../base/hash.ts";
import type { ObjectId } from "../../base/ids.ts";
import type { List } from "../../base/list.ts";
import { POLICY_REFUSES, type SecretFinding, secretsRefused } from "../../secrets/refusal.ts";
import { ENVIRONMENT_KIND } from "../../secrets/rules.ts";
import { findSecretsIn, SCANNED_BYTES_MAX } from "../../secrets/scanner.ts";
import { isMissing } from "../layout.ts";
import type { StatusChange } from "../results.ts";

/** An environment file that is landed already is somebody's decision, and so is content whose mode changes. */
export function isWorthSaying({ op }: StatusChange, kind: string): boolean {
  return op !== "mode" && (op !== "modify" || kind !== ENVIRONMENT_KIND);
}

/**
 * Reads what was added or modified, of each file as much as is looked at. `isKnown`: content that the base has
 * already, under whatever path.
 */
export function findSecrets(
  root: string,
  changes: List<StatusChange>,
  isKnown: (id: ObjectId) => boolean,
): readonly SecretFinding[] {
  const findings: SecretFinding[] = [];
  const buffer = new Uint8Array(SCANNED_BYTES_MAX + 1);
  for (const change of changes) {
    const { op, path, kind } = change;
    if (kind === undefined || kind === "symlink" || op === "mode") continue;
    const content = readStart(`${root}/${path}`, buffer);
    const found = findSecretsIn(path, content).filter((secret) => isWorthSaying(change, secret.kind));
    if (found.length === 0) continue;
    if (content.length <= SCANNED_BYTES_MAX && isKnown(hashObject(content))) continue;
    for (const { line, kind: what } of found) findings.push({ path, line, kind: what });
  }
  return findings;
}

/** Errors: `unsafe-path` with `paths` and `secrets`, when there are any. */
export function refuseSecrets(secrets: readonly SecretFinding[], isAsked: boolean): void {
  if (secrets.length === 0) return;
  throw secretsRefused(secrets, isAsked ? "without --strict this is a warning" : POLICY_REFUSES);
}

const OPEN_FLAGS = constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0);

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
