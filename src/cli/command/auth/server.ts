/** The server that a sub-command of `mic auth` is about. */
import { listCredentials } from "../../credentials.ts";
import { usageError } from "../../errors.ts";
import type { Invocation } from "../../invocation.ts";

/** `--server`, MIC_SERVER, the default, or the only one that is known. */
export async function requireServer(invocation: Invocation): Promise<string> {
  const chosen = await invocation.serverOrigin();
  if (chosen !== undefined) return chosen;
  const known = listCredentials(invocation.world);
  if (known.length === 1) return known[0]!;
  throw usageError("which server?", "give --server URL");
}
