/** The policy at a workspace's base. The forge asks the newest position's; this one spares sending what that refuses. */
import { readFileSync } from "node:fs";
import { hashObject } from "../../base/hash.ts";
import { type LandingPolicy, POLICY_BYTES_MAX, POLICY_PATH, policyOfEntry } from "../../secrets/policy.ts";
import { readContent } from "../content/content.ts";
import { isMissing } from "../layout.ts";
import type { Workspace } from "../workspace.ts";

/** Errors: those of `readContent`. */
export async function basePolicy(ws: Workspace): Promise<LandingPolicy> {
  const found = ws.index.find(POLICY_PATH);
  return await policyOfEntry(found?.entry, async ({ id }) => {
    // Mostly it is here as it is there.
    const here = readHere(`${ws.root}/${POLICY_PATH}`);
    if (here !== undefined && hashObject(here) === id) return here;
    return await readContent(ws, found!, POLICY_BYTES_MAX);
  });
}

function readHere(file: string): Uint8Array | undefined {
  try {
    return readFileSync(file);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (isMissing(error) || code === "EISDIR" || code === "EACCES") return undefined;
    throw error;
  }
}
