/** The operations as the command line calls them: `mic admin backup`, `restore` and `doctor`. */
import type { Clock } from "../../core/base/clock.ts";
import type { Random } from "../../core/base/random.ts";
import { chooseDataDirectory, type ServeFlags, type ServeWorld } from "../serve-options.ts";
import { type BackupReport, backup } from "./backup.ts";
import { diagnose, type Finding } from "./doctor.ts";
import { type RestoreReport, restoreBackup } from "./restore.ts";

export interface OperationRequest {
  /** Of `mic serve`: which data directory, and for the doctor everything else. */
  readonly flags: ServeFlags;
  readonly world: ServeWorld;
  readonly clock: Clock;
  readonly random: Random;
  readonly version: string;
  readonly signal: AbortSignal;
}

/** Errors: those of `backup`. */
export async function backupServer(request: OperationRequest, file: string): Promise<BackupReport> {
  const { flags, world, ...rest } = request;
  return await backup({ ...rest, file, dataDirectory: chooseDataDirectory(flags, world) });
}

/** Errors: those of `restoreBackup`. */
export async function restoreServer(request: OperationRequest, file: string): Promise<RestoreReport> {
  const { flags, world, ...rest } = request;
  return await restoreBackup({ ...rest, file, dataDirectory: chooseDataDirectory(flags, world) });
}

export async function diagnoseServer(request: OperationRequest): Promise<readonly Finding[]> {
  return await diagnose(request);
}
