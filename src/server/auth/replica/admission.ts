/** At the start of a server: whether it is the primary of the accounts, or follows another one, or may do neither. */
import path from "node:path";
import { MicError } from "../../../core/base/errors.ts";
import type { Lease } from "./lease.ts";
import type { LeaseRecord } from "./lease-record.ts";
import { LITESTREAM_CONFIG } from "./litestream.ts";
import { checkUnreplicated, notInstalled } from "./local-copy.ts";
import { endOrphan } from "./orphan.ts";
import type { AuthReplicaOptions } from "./replica-options.ts";
import type { ReplicaState } from "./replica-state.ts";

/** `before`: what the lease said before this server took it. */
export type Admission =
  | { readonly role: "primary"; readonly before: LeaseRecord | undefined; readonly isFrozen: boolean }
  | { readonly role: "follower"; readonly record: LeaseRecord };

/** How long a start waits for a primary that is starting too. */
const START_MS_MAX = 30_000;
const START_STEP_MS = 250;

/**
 * Ends what the last process left running, and takes the lease where it may. Errors: `already-exists` when there is
 * another primary and this server must be it; `unsupported` where there is no Litestream and there are accounts that
 * only it can read; `unreachable`; `corrupt`.
 */
export async function admit(
  options: AuthReplicaOptions,
  lease: Lease,
  state: ReplicaState,
  url: string,
): Promise<Admission> {
  const { role, clock, elapsedMs, store, log, file, program } = options;
  // It would go on with a database that is about to be replaced.
  const directory = path.dirname(file);
  if (await endOrphan(directory, path.join(directory, LITESTREAM_CONFIG), (ms) => clock.sleep(ms)))
    log.warn("litestream-orphan-ended");
  const deadline = elapsedMs() + START_MS_MAX;
  for (;;) {
    const before = await lease.look();
    if (role !== "follower" && (await lease.isFree())) {
      const isFrozen =
        program === undefined && checkUnreplicated({ file, state, before }, store.description) === "frozen";
      if (await lease.take(url)) return { role: "primary", before, isFrozen };
      continue;
    }
    if (role === "primary") throw heldBy(before);
    if (program === undefined) throw notInstalled(store.description);
    if (before !== undefined && before.source > 0) return { role: "follower", record: before };
    if (elapsedMs() > deadline) {
      throw new MicError("unreachable", `there are no accounts to follow in ${store.description}`, {
        hint: "start the server that is to be the primary first",
      });
    }
    await clock.sleep(START_STEP_MS);
  }
}

function heldBy(record: LeaseRecord | undefined): MicError {
  const where = record === undefined || record.url === "" ? "another server" : record.url;
  return new MicError("already-exists", `${where} is the primary of these accounts`, {
    hint: "stop it first, or start this server as a follower: --auth-role auto",
  });
}
