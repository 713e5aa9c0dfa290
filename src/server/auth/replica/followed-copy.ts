/** A follower's database: restored from the primary's replica, before it is opened and while it is open. */
import { existsSync, renameSync } from "node:fs";
import path from "node:path";
import Database from "better-sqlite3";
import { MicError } from "../../../core/base/errors.ts";
import type { S3Settings } from "../../../core/store/s3/environment.ts";
import type { ServerLog } from "../../context.ts";
import { AuthDatabase } from "../database/auth-database.ts";
import type { LeaseRecord } from "./lease-record.ts";
import { type LitestreamProgram, restore } from "./litestream.ts";
import {
  asideFile,
  type ReplicaStateFile,
  removeDatabase,
  removeOldAsides,
  setAside,
} from "./replica-state.ts";

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

  /** Puts it where nobody has it open. Errors: those of `restore`, `corrupt`. */
  async install(record: LeaseRecord): Promise<void> {
    const { file, state, log } = this.#options;
    await this.#restore(record);
    if (state.origin !== "copy" && existsSync(file)) {
      log.warn("auth-set-aside", { file: setAside(file, record.generation) });
    }
    removeDatabase(file);
    renameSync(this.#fresh, file);
    this.#keep(record);
  }

  /** Replaces what the open database holds, in one transaction of SQLite's own. Errors: as of `install`. */
  async replace(record: LeaseRecord, database: AuthDatabase): Promise<void> {
    const { file, state, log } = this.#options;
    await this.#restore(record);
    if (state.origin !== "copy") {
      const aside = asideFile(file, record.generation);
      removeDatabase(aside);
      await database.sql.backup(aside);
      removeOldAsides(file);
      log.warn("auth-set-aside", { file: aside });
    }
    // Checked, and brought to this program's schema.
    new AuthDatabase({ file: this.#fresh })[Symbol.dispose]();
    const source = new Database(this.#fresh, { readonly: true });
    try {
      await source.backup(file);
    } finally {
      source.close();
    }
    removeDatabase(this.#fresh);
    this.#keep(record);
    database.replaced();
  }

  #keep({ source, position }: LeaseRecord): void {
    this.#applied = { source, position };
    this.#options.state.remember({ generation: 0, origin: "copy" });
  }

  async #restore({ source }: LeaseRecord): Promise<void> {
    const { file, program, settings } = this.#options;
    removeDatabase(this.#fresh);
    const metaDirectory = path.join(path.dirname(file), "litestream-restore");
    const database = { file: this.#fresh, metaDirectory, settings, generation: source };
    if (await restore(program, database)) return;
    throw new MicError("corrupt", `generation ${source} of the accounts is not in the replica`, {
      hint: "restore a backup: mic admin restore",
    });
  }
}
