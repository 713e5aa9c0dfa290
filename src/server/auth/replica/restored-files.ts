/** From the replica to files that nobody has open. */
import { MicError } from "../../../core/base/errors.ts";
import type { S3Settings } from "../../../core/store/s3/environment.ts";
import { recordsFile } from "../database/records.ts";
import { GENERATIONS_KEPT } from "./generations.ts";
import type { LeaseRecord } from "./lease-record.ts";
import { type LitestreamProgram, restore } from "./litestream.ts";
import { removeDatabase } from "./replica-state.ts";

export interface RestoreFiles {
  /** Of the accounts. What is there is removed, records too. */
  readonly file: string;
  readonly program: LitestreamProgram;
  readonly settings: S3Settings;
}

/** The accounts alone: what a follower needs. Errors: `corrupt` when they are not there, `unreachable`. */
export async function restoreAccounts(where: RestoreFiles, { source }: LeaseRecord): Promise<void> {
  const { file, program, settings } = where;
  removeDatabase(file);
  if (await restore(program, { file, settings, generation: source, part: "accounts" })) return;
  throw new MicError("corrupt", `generation ${source} of the accounts is not in the replica`, {
    hint: "restore a backup: mic admin restore",
  });
}

/**
 * And their records, for a primary. A primary that ended soon after it began may not have replicated any: those of the
 * one before are the newest then. Where there are none at all, the accounts are of a version that had none, or new.
 * Errors: as above.
 */
export async function restoreAll(where: RestoreFiles, record: LeaseRecord): Promise<void> {
  const { program, settings } = where;
  await restoreAccounts(where, record);
  const file = recordsFile(where.file);
  const oldest = Math.max(1, record.source - GENERATIONS_KEPT);
  for (let generation = record.source; generation >= oldest; generation--) {
    if (await restore(program, { file, settings, generation, part: "records" })) return;
  }
}
