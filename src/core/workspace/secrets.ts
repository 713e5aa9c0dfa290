/**
 * Finds files that were probably not meant to be landed: environment files with values, and private keys. A
 * short list of precise patterns: a warning that is usually wrong is soon ignored.
 */
import type { List } from "../base/list.ts";
import type { TreePath } from "../base/path.ts";
import type { StatusChange } from "./results.ts";

export interface SecretFinding {
  readonly path: TreePath;
  /** Follows the path in a sentence: `holds a private key`. */
  readonly reason: string;
}

const ENVIRONMENT_FILE = /^\.env(?:\.[A-Za-z0-9_-]+)*$/;
const ENVIRONMENT_SAMPLE = /\.(?:example|sample|template|dist|defaults?|schema)$/;
const ASSIGNMENT = /^\s*(?:export\s+)?[A-Za-z_][A-Za-z0-9_]*\s*=\s*["']?[^\s"'#]/m;
const KEY_FILE = /^(?:id_(?:rsa|dsa|ecdsa|ed25519)(?:_sk)?|.+\.(?:pem|key|ppk))$/i;
/** PEM (RFC 7468) and OpenSSH keys; the body must follow, so that code that names the marker is no finding. */
const PRIVATE_KEY =
  /^-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----\r?\n(?:[A-Za-z-]+: .*\r?\n)*\s*[A-Za-z0-9+/=]{16,}/m;
const PUTTY_KEY = /^PuTTY-User-Key-File-\d: /;

const FILE_BYTES_MAX = 256 << 10;
/** Content of files with ordinary names is read only as long as it is little. */
const ORDINARY_FILES_MAX = 500;
const ORDINARY_BYTES_MAX = 64 << 10;

/** Looks at added and modified files; `read` gives the content of one of them. */
export function findSecrets(
  changes: List<StatusChange>,
  read: (path: TreePath) => Uint8Array,
): SecretFinding[] {
  let candidates = 0;
  for (const change of changes) if (isCandidate(change)) candidates++;
  const readsAll = candidates <= ORDINARY_FILES_MAX;
  const findings: SecretFinding[] = [];
  for (const change of changes) {
    if (!isCandidate(change)) continue;
    const { op, path, size } = change;
    const name = path.slice(path.lastIndexOf("/") + 1);
    const isEnvironment = op !== "modify" && ENVIRONMENT_FILE.test(name) && !ENVIRONMENT_SAMPLE.test(name);
    const isOrdinary = !isEnvironment && !KEY_FILE.test(name);
    if (isOrdinary && (!readsAll || (size ?? 0) > ORDINARY_BYTES_MAX)) continue;
    // Latin-1 keeps every byte apart, and all patterns are ASCII.
    const text = Buffer.from(read(path)).toString("latin1");
    if (isEnvironment && ASSIGNMENT.test(text))
      findings.push({ path, reason: "is an environment file with values" });
    else if (PRIVATE_KEY.test(text) || PUTTY_KEY.test(text))
      findings.push({ path, reason: "holds a private key" });
  }
  return findings;
}

function isCandidate({ op, kind, size }: StatusChange): boolean {
  const isWritten = op === "add" || op === "modify" || op === "type";
  return isWritten && kind !== "symlink" && (size ?? 0) <= FILE_BYTES_MAX;
}
