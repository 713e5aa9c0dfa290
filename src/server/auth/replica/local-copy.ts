/** Whether a new primary goes on with the database that it has, or takes that of the replica. */
import { existsSync, mkdirSync, renameSync } from "node:fs";
import path from "node:path";
import { MicError } from "../../../core/base/errors.ts";
import type { S3Settings } from "../../../core/store/s3/environment.ts";
import type { ServerLog } from "../../context.ts";
import type { LeaseRecord } from "./lease-record.ts";
import { type LitestreamProgram, restore } from "./litestream.ts";
import { lastLocalPosition, type ReplicaState, removeDatabase, setAside } from "./replica-state.ts";

export interface PrepareLocal {
  readonly file: string;
  readonly program: LitestreamProgram;
  readonly settings: S3Settings;
  readonly state: ReplicaState;
  /** The lease before this server took it. */
  readonly before: LeaseRecord | undefined;
  readonly log: ServerLog;
}

/**
 * `local`: what is here is the newest there is, `new`: there is nothing anywhere, `restored`: what is here now came
 * from the replica, and what was here before is set aside unless it was a copy. Errors: `corrupt`, `unreachable`.
 */
export async function prepareLocal(options: PrepareLocal): Promise<"local" | "restored" | "new"> {
  const { file, program, settings, state, before, log } = options;
  const exists = existsSync(file);
  if (exists && isNewest(options)) return "local";
  if (before === undefined || before.source === 0) return exists ? "local" : "new";
  const fresh = `${file}.restored`;
  removeDatabase(fresh);
  mkdirSync(path.dirname(file), { recursive: true, mode: 0o700 });
  const metaDirectory = path.join(path.dirname(file), "litestream-restore");
  if (!(await restore(program, { file: fresh, metaDirectory, settings, generation: before.source }))) {
    throw new MicError("corrupt", `generation ${before.source} of the accounts is not in the replica`, {
      hint: "restore a backup: mic admin restore",
    });
  }
  if (exists && state.origin !== "copy") {
    log.warn("auth-set-aside", { file: setAside(file, before.generation + 1) });
  } else {
    removeDatabase(file);
  }
  renameSync(fresh, file);
  return "restored";
}

/**
 * The last primary was this directory, and its database has what the lease says was acknowledged: one that was put
 * back from an older copy of the disk has not.
 */
function isNewest({ file, state, before }: PrepareLocal): boolean {
  if (state.origin === "hand") return true;
  if (
    before === undefined ||
    state.origin !== "own" ||
    state.generation === 0 ||
    before.holder !== state.holder
  )
    return false;
  if (before.source !== state.generation) return before.generation === state.generation;
  const metaDirectory = path.join(path.dirname(file), "litestream", String(state.generation));
  return lastLocalPosition(metaDirectory) >= before.position;
}
