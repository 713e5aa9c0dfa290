/** Whether a new primary goes on with the database that it has, or takes that of the replica. */
import { existsSync, mkdirSync } from "node:fs";
import path from "node:path";
import { MicError } from "../../../core/base/errors.ts";
import type { S3Settings } from "../../../core/store/s3/environment.ts";
import type { ServerLog } from "../../context.ts";
import { moveDatabase, recordsFile } from "../database/records.ts";
import type { LeaseRecord } from "./lease-record.ts";
import { LITESTREAM_HINT, type LitestreamProgram } from "./litestream.ts";
import { metaDirectoryOf } from "./litestream-config.ts";
import { lastLocalPosition, type ReplicaState, removeDatabase, setAside } from "./replica-state.ts";
import { restoreAll } from "./restored-files.ts";

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
  mkdirSync(path.dirname(file), { recursive: true, mode: 0o700 });
  await restoreAll({ file: fresh, program, settings }, before);
  if (exists && state.origin !== "copy") {
    log.warn("auth-set-aside", { file: setAside(file, before.generation + 1) });
  } else {
    removeDatabase(file);
  }
  for (const each of [recordsFile, (of: string) => of]) moveDatabase(each(fresh), each(file));
  return "restored";
}

/**
 * Without Litestream: whether this server may write accounts, or, where a replica of them is followed or was, only
 * keep them as they are. Errors: `unsupported` where they are in the replica alone.
 */
export function checkUnreplicated(
  local: Pick<PrepareLocal, "file" | "state" | "before">,
  where: string,
): "writes" | "frozen" {
  const { before, file, state } = local;
  if (before === undefined || before.source === 0) return "writes";
  // One that was restored by hand would take the place of the replica, which cannot be.
  if (existsSync(file) && state.origin === "own" && isNewest(local)) return "frozen";
  throw notInstalled(where);
}

export function notInstalled(where: string): MicError {
  return new MicError(
    "unsupported",
    `the accounts are in ${where}, and Litestream, which reads them, is not installed`,
    { hint: LITESTREAM_HINT },
  );
}

/**
 * The last primary was this directory, and its database has what the lease says was acknowledged: one that was put
 * back from an older copy of the disk has not.
 */
function isNewest({ file, state, before }: Pick<PrepareLocal, "file" | "state" | "before">): boolean {
  if (state.origin === "hand") return true;
  if (
    before === undefined ||
    state.origin !== "own" ||
    state.generation === 0 ||
    before.holder !== state.holder
  )
    return false;
  if (before.source !== state.generation) return before.generation === state.generation;
  return lastLocalPosition(metaDirectoryOf(path.dirname(file), state.generation)) >= before.position;
}
