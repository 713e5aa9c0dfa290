/**
 * What keeps a project fast and small: rollups of the log, merging of packs, collection of what nothing names. All
 * of it can be done by any agent at any time, twice or never, without changing what the project says. Only where
 * the store is at hand: a server does it by itself.
 */
import type { MicError } from "../base/errors.ts";
import type { ProjectId } from "../base/ids.ts";
import type { CallOptions, Forge, FsckReport, Progress } from "./forge.ts";
import type { CopySource } from "./repair/copy-source.ts";

export interface UpkeepReport {
  /** Rollups that were built and attached. */
  readonly rollups: number;
  /** Packs that merged ones replaced. */
  readonly packsMerged: number;
  /** Merged packs that replaced them. */
  readonly packsWritten: number;
  /** Of the packs that were replaced, and of those that replaced them. */
  readonly bytesBefore: number;
  readonly bytesAfter: number;
}

export interface CollectReport {
  /** Objects in the store below the project. */
  readonly objects: number;
  /** Objects that nothing names, whatever their age. */
  readonly unreferenced: number;
  /** Objects that this pass deleted, or would delete. */
  readonly deleted: number;
  readonly bytesDeleted: number;
  /** Objects that a later pass may delete: seen unreferenced once, or too young. */
  readonly waiting: number;
  readonly bytesWaiting: number;
  /** RFC 3339 time from which on a pass can delete what waits; absent when nothing waits. */
  readonly nextAt?: string;
}

export interface RepairReport {
  readonly before: FsckReport;
  /** Derived data that was built again. */
  readonly rebuilt: number;
  /** Where the bytes of damaged objects are that this run put aside. */
  readonly quarantined: readonly string[];
  /**
   * Keys of damaged objects that nothing names and that are where they were: landings may still name what was stored
   * in the last days. A later repair moves them aside, or the collector takes them.
   */
  readonly left: readonly string[];
  readonly after: FsckReport;
}

export interface StorageStat {
  readonly objects: number;
  readonly bytes: number;
  readonly byKind: readonly { readonly kind: string; readonly objects: number; readonly bytes: number }[];
}

export interface EveryProjectOptions extends CallOptions {
  /** Is told of each name whose record is damaged: what it leads to is left out. */
  readonly onDamaged?: (name: string, error: MicError) => void;
}

export interface Maintenance {
  /** Builds what rollups and merged packs are due, and rollups that readers here found damaged. Errors: `unreachable`, `corrupt`, `aborted`. */
  upkeep(
    project: ProjectId,
    options?: CallOptions & {
      /** Ends between two steps when this time has passed; what is begun late is small. */
      readonly budgetMs?: number;
      /** Of the paths that its landings touched, so many are in a rollup that is built at most: larger ones are left. */
      readonly rollupEntriesMax?: number;
      /** Asks the store nothing unless the head that this process has seen last shows that something is due. */
      readonly onlyIfSeen?: boolean;
      /** Merges whatever packs can be merged, due or not. */
      readonly all?: boolean;
      readonly onProgress?: (progress: Progress) => void;
    },
  ): Promise<UpkeepReport>;
  /**
   * The project that is meant, for whoever checks or repairs it: its head is not asked, and where the record of its
   * name is missing or damaged, the metas are. By `org/project`, id or `projects/{id}`. Errors: `not-found`, `corrupt`.
   */
  locateProject(nameOrId: string, options?: CallOptions): Promise<ProjectId>;
  /** The projects that names lead to or led to, each once; deleted ones too, of which there is much to collect. */
  everyProject(options?: EveryProjectOptions): AsyncIterable<readonly ProjectId[]>;
  /** One pass of the collector: docs/format/collection.md. */
  collect(project: ProjectId, options?: CallOptions & { readonly dryRun?: boolean }): Promise<CollectReport>;
  /** `copies`: where objects may be found that are lost here. */
  repair(
    project: ProjectId,
    options?: CallOptions & {
      readonly onProgress?: (progress: Progress) => void;
      readonly copies?: readonly CopySource[];
    },
  ): Promise<RepairReport>;
  /** What is stored for a project. */
  stat(project: ProjectId, options?: CallOptions): Promise<StorageStat>;
}

/** Absent for a forge behind a server, which looks after itself. */
export function maintenanceOf(forge: Forge): Maintenance | undefined {
  return "collect" in forge ? (forge as Forge & Maintenance) : undefined;
}
