/** `mic admin restore`: a backup becomes a data directory, whole or not at all. */
import { existsSync, readdirSync } from "node:fs";
import { mkdir, rename, rmdir } from "node:fs/promises";
import path from "node:path";
import { bytesToHex } from "../../core/base/bytes.ts";
import type { Clock } from "../../core/base/clock.ts";
import { MicError } from "../../core/base/errors.ts";
import type { Random } from "../../core/base/random.ts";
import { writeReplicaState } from "../auth/replica/replica-state.ts";
import { type CheckedData, checkData } from "./check-data.ts";
import { extractBackup } from "./extract.ts";
import { openWorkDirectory } from "./work-directory.ts";

export interface RestoreOptions {
  readonly file: string;
  /** Missing or empty. */
  readonly dataDirectory: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly signal?: AbortSignal;
}

export interface RestoreReport extends CheckedData {
  readonly dataDirectory: string;
  /** RFC 3339, of the backup. */
  readonly createdAt: string;
  /** That made it. */
  readonly mic: string;
}

/** Beside the data directory, until that is whole. */
export const RESTORING = ".restoring";

/**
 * Errors: `already-exists` for a directory that holds something, `unreachable` while another restore to it is under way,
 * those of `extractBackup` and `checkData`.
 */
export async function restoreBackup(options: RestoreOptions): Promise<RestoreReport> {
  const { file, clock, random, signal } = options;
  const dataDirectory = path.resolve(options.dataDirectory);
  if (existsSync(dataDirectory) && readdirSync(dataDirectory).length > 0) {
    throw new MicError("already-exists", `${dataDirectory} is not empty`, {
      hint: "a restore overwrites nothing: stop the server and move the directory away first",
    });
  }
  await mkdir(path.dirname(dataDirectory), { recursive: true });
  await using work = await openWorkDirectory(`${dataDirectory}${RESTORING}`, `a restore to ${dataDirectory}`);
  const staging = path.join(work.path, "data");
  await mkdir(staging, { mode: 0o700 });
  const { createdAt, mic } = await extractBackup(file, staging, signal);
  const checked = await checkData(staging, clock);
  if (checked.accounts !== undefined) {
    // Where the accounts are replicated, these take the place of what is there: that is why they were restored.
    const holder = bytesToHex(random.bytes(16));
    writeReplicaState(path.join(staging, "auth"), { holder, generation: 0, origin: "hand" });
  }
  if (existsSync(dataDirectory)) await rmdir(dataDirectory);
  await rename(staging, dataDirectory);
  return { dataDirectory, createdAt, mic, ...checked };
}
