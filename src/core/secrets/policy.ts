/**
 * `.micpolicy` at the root of a project: what every landing keeps to. Lines `key = value`, `#` begins a comment, keys
 * that are not known are passed over. The one in the tree that a landing builds on counts: none is judged by what it
 * brings.
 *
 * | key | value | meaning |
 * | --- | --- | --- |
 * | secrets | `report` | what looks like a secret is a warning (default) |
 * | secrets | `refuse` | it stops the landing |
 */
import { asBuffer } from "../base/bytes.ts";
import type { TreePath } from "../base/path.ts";
import type { TreeEntry } from "../codec/tree-entry.ts";
import { textBytes } from "./text-bytes.ts";

export const POLICY_PATH = ".micpolicy" as TreePath;
export const POLICY_BYTES_MAX: number = 64 << 10;

export interface LandingPolicy {
  readonly secrets: "report" | "refuse";
  /** The file is damaged: what it says may be another thing, to whoever could read it. */
  readonly isUnreadable?: boolean;
}

export const NO_POLICY: LandingPolicy = { secrets: "report" };
/** Where it is not known what the policy says: of a file that nobody can have written as one, too. */
export const STRICTEST: LandingPolicy = { secrets: "refuse" };

/** Where it is there and cannot be read. */
export const UNREADABLE: LandingPolicy = { secrets: "refuse", isUnreadable: true };

/** The policy of a tree, by what it has at `POLICY_PATH`. `read` is asked for a content of at most POLICY_BYTES_MAX. */
export async function policyOfEntry(
  entry: TreeEntry | undefined,
  read: (entry: TreeEntry) => Promise<Uint8Array>,
): Promise<LandingPolicy> {
  if (entry === undefined || entry.kind === "symlink") return NO_POLICY;
  if (entry.size > POLICY_BYTES_MAX || entry.chunks !== undefined) return STRICTEST;
  return parsePolicy(await read(entry));
}

/** What a word means that this version does not know, the stricter one does. Never throws; takes linear time. */
export function parsePolicy(content: Uint8Array): LandingPolicy {
  if (content.length > POLICY_BYTES_MAX) return STRICTEST;
  let policy = NO_POLICY;
  for (const line of asBuffer(textBytes(content)).toString("utf8").split("\n")) {
    const [statement = ""] = line.split("#", 1);
    const equals = statement.indexOf("=");
    if (equals === -1 || statement.slice(0, equals).trim() !== "secrets") continue;
    policy = statement.slice(equals + 1).trim() === "report" ? NO_POLICY : STRICTEST;
  }
  return policy;
}
