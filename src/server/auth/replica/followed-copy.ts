/** A follower's database: restored from the primary's replica, before it is opened and while it is open. */
import { existsSync, renameSync } from "node:fs";
import Database from "better-sqlite3";
import type { S3Settings } from "../../../core/store/s3/environment.ts";
import type { ServerLog } from "../../context.ts";
import { AuthDatabase } from "../database/auth-database.ts";
import { recordsFile } from "../database/records.ts";
import type { LeaseRecord } from "./lease-record.ts";
import type { LitestreamProgram } from "./litestream.ts";
import {
  asideFile,
  type ReplicaStateFile,
  removeDatabase,
  removeOldAsides,
  setAside,
} from "./replica-state.ts";
import { type RestoreFiles, restoreAccounts, restoreAll } from "./restored-files.ts";

export interface FollowedCopyOptions {
  readonly file: string;
  readonly program: LitestreamProgram;
  readonly settings: S3Settings;
  readonly state: ReplicaStateFile;
  readonly log: ServerLog;
}

export class FollowedCopy {
  readonly #options: FollowedCopyOptions;
  readonly #fresh: string;
  #applied = { source: 0, position: 0 };

  constructor(options: FollowedCopyOptions) {
    this.#options = options;
    this.#fresh = `${options.file}.restored`;
  }

  isBehind({ source, position }: LeaseRecord): boolean {
    return source > 0 && (source !== this.#applied.source || position > this.#applied.position);
  }

  /** Puts it where nobody has it open. Errors: `corrupt`, `unreachable`. */
  async install(record: LeaseRecord): Promise<void> {
    const { file, state, log } = this.#options;
    await restoreAccounts(this.#where, record);
    if (state.origin !== "copy" && existsSync(file)) {
      log.warn("auth-set-aside", { file: setAside(file, record.generation) });
    }
    removeDatabase(file);
    renameSync(this.#fresh, file);
    this.#keep(record);
  }

  /** Replaces the accounts that the open database holds, in one transaction of SQLite's own. Errors: as of `install`. */
  async follow(record: LeaseRecord, database: AuthDatabase): Promise<void> {
    const { file, state } = this.#options;
    await restoreAccounts(this.#where, record);
    if (state.origin !== "copy") {
      await this.#copyAside(record, database);
      database.exchangeRecords(undefined, asideFile(recordsFile(file), record.generation));
      removeOldAsides(file);
    }
    await this.#copyOver(record, database, "none");
    removeDatabase(this.#fresh);
  }

  /** The same with the records, for who becomes the primary. */
  async takeOver(record: LeaseRecord, database: AuthDatabase): Promise<void> {
    const { file, state } = this.#options;
    await restoreAll(this.#where, record);
    const isCopy = state.origin === "copy";
    if (!isCopy) await this.#copyAside(record, database);
    await this.#copyOver(record, database, "beside");
    const aside = asideFile(recordsFile(file), record.generation);
    database.exchangeRecords(recordsFile(this.#fresh), aside);
    // A follower has none that are worth keeping.
    if (isCopy) removeDatabase(aside);
    removeOldAsides(file);
    removeDatabase(this.#fresh);
  }

  get #where(): RestoreFiles {
    const { program, settings } = this.#options;
    return { file: this.#fresh, program, settings };
  }

  async #copyAside(record: LeaseRecord, database: AuthDatabase): Promise<void> {
    const { file, log } = this.#options;
    const aside = asideFile(file, record.generation);
    removeDatabase(aside);
    await database.sql.backup(aside);
    log.warn("auth-set-aside", { file: aside });
  }

  async #copyOver(record: LeaseRecord, database: AuthDatabase, records: "beside" | "none"): Promise<void> {
    const { file } = this.#options;
    // Checked, and brought to this program's schema.
    new AuthDatabase({ file: this.#fresh, records })[Symbol.dispose]();
    const source = new Database(this.#fresh, { readonly: true });
    try {
      await source.backup(file);
    } finally {
      source.close();
    }
    this.#keep(record);
    database.replaced();
  }

  #keep({ source, position }: LeaseRecord): void {
    this.#applied = { source, position };
    this.#options.state.remember({ generation: 0, origin: "copy" });
  }
}
