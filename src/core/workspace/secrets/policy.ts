/**
 * `.micpolicy` at the root of a project: what everybody's landings keep to. Lines `key = value`, `#` begins a comment,
 * keys that are not known are passed over. The one at the base counts: a landing is not judged by what it brings.
 *
 * | key | value | meaning |
 * | --- | --- | --- |
 * | secrets | `report` | what looks like a secret is a warning (default) |
 * | secrets | `refuse` | it stops the landing, as `--strict` does |
 */
import { readFileSync } from "node:fs";
import { fromUtf8 } from "../../base/bytes.ts";
import { hashObject } from "../../base/hash.ts";
import type { TreePath } from "../../base/path.ts";
import { readContent } from "../content/content.ts";
import { isMissing } from "../layout.ts";
import type { Workspace } from "../workspace.ts";

export const POLICY_PATH = ".micpolicy" as TreePath;
const POLICY_BYTES_MAX = 64 << 10;

export interface LandingPolicy {
  readonly secrets: "report" | "refuse";
}

/** What a word means that this version does not know, the stricter one does. */
export function parsePolicy(text: string): LandingPolicy {
  let secrets: LandingPolicy["secrets"] = "report";
  for (const line of text.split(/\r?\n/)) {
    const [, key, value] = /^\s*([a-z-]+)\s*=\s*([^#]*?)\s*(?:#.*)?$/.exec(line) ?? [];
    if (key === "secrets") secrets = value === "report" ? "report" : "refuse";
  }
  return { secrets };
}

/** Errors: those of `readContent`; `too-large` for a file that is no policy. */
export async function basePolicy(ws: Workspace): Promise<LandingPolicy> {
  const found = ws.index.find(POLICY_PATH);
  if (found === undefined || found.entry.kind === "symlink") return parsePolicy("");
  // Mostly it is here as it is there.
  const here = readHere(`${ws.root}/${POLICY_PATH}`, found.entry.size);
  const content =
    here !== undefined && hashObject(here) === found.entry.id
      ? here
      : await readContent(ws, found, POLICY_BYTES_MAX);
  return parsePolicy(fromUtf8(content));
}

function readHere(file: string, size: number): Uint8Array | undefined {
  if (size > POLICY_BYTES_MAX) return undefined;
  try {
    return readFileSync(file);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (isMissing(error) || code === "EISDIR" || code === "EACCES") return undefined;
    throw error;
  }
}
