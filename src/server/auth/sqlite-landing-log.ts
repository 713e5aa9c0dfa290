/**
 * Who landed what through this server: a SQLite file of its own beside the accounts, on followers too. It is not
 * replicated, since every landing would make each follower take all accounts over again, and it is bounded: beyond
 * ROWS_MAX the oldest records of the account that has the most go, so that nobody can wash away those of others.
 *
 * Landings that are answered in one turn of the event loop are written in one transaction, before their answers. It is
 * in the operating system then: the end of this process loses nothing, a power cut the last moments.
 */
import { chmodSync } from "node:fs";
import path from "node:path";
import Database from "better-sqlite3";
import type { Clock } from "../../core/base/clock.ts";
import { MicError } from "../../core/base/errors.ts";
import type { AuditQuery, AuditRecord, LandingEntry, LandingLog } from "./audit.ts";
import {
  ADDRESS_CHARACTERS_MAX,
  auditConditions,
  detailText,
  pruneInPieces,
  withoutTrigger,
} from "./audit-rows.ts";

/** About half a gigabyte. */
const ROWS_MAX = 2_000_000;
/** It is made shorter after so many new ones. */
const TRIM_EVERY = 1_000;
/** `mical`. */
const APPLICATION_ID = 0x6d69636c;
const VERSION = 1;
/** For another process: `mic admin audit prune`. */
const BUSY_MS = 1_000;

export const LANDING_LOG_FILE = "landings.db";

const SCHEMA = `
  CREATE TABLE landings (
    id INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    user_id BLOB,
    account TEXT NOT NULL,
    token_id BLOB,
    address TEXT NOT NULL,
    action TEXT NOT NULL,
    project BLOB NOT NULL,
    position INTEGER,
    landing BLOB,
    detail TEXT NOT NULL
  ) STRICT;
  CREATE INDEX landings_by_project ON landings (project, id);
  CREATE INDEX landings_by_account ON landings (account, id);
  -- Positions are dense, so this grows at its end; whoever sends a landing again is not who landed it.
  CREATE UNIQUE INDEX landings_once ON landings (project, position, landing);
  CREATE TRIGGER landings_are_append_only_update BEFORE UPDATE ON landings
    BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
  CREATE TRIGGER landings_are_append_only_insert BEFORE INSERT ON landings
    WHEN NEW.id IS NOT NULL AND EXISTS (SELECT 1 FROM landings WHERE id = NEW.id)
    BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
  CREATE TRIGGER landings_are_append_only_delete BEFORE DELETE ON landings
    BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
`;

interface LandingRow {
  readonly id: number;
  readonly at: number;
  readonly user_id: Buffer | null;
  readonly account: string;
  readonly token_id: Buffer | null;
  readonly address: string;
  readonly action: string;
  readonly project: Buffer;
  readonly position: number | null;
  readonly landing: Buffer | null;
  readonly detail: string;
}

export interface SqliteLandingLogOptions {
  /** Made where it is missing; its directory is there. */
  readonly file: string;
  readonly clock: Clock;
  /** What could not be written. */
  readonly onFailure?: (error: unknown, lost: number) => void;
  /** For tests. */
  readonly rowsMax?: number;
}

export function landingLogFile(accountsFile: string): string {
  return path.join(path.dirname(accountsFile), LANDING_LOG_FILE);
}

export class SqliteLandingLog implements LandingLog, Disposable {
  readonly #clock: Clock;
  readonly #onFailure: (error: unknown, lost: number) => void;
  readonly #rowsMax: number;
  readonly #sql: Database.Database;
  readonly #insert: Database.Statement;
  #waiting: LandingEntry[] = [];
  #written: PromiseWithResolvers<void> | undefined;
  #sinceTrim = TRIM_EVERY;
  /** Records of each account, once there may be too many. */
  #counts: Map<string, number> | undefined;
  /** What SQLite counted of other processes' changes then. */
  #countedAt = 0;

  /** Errors: `corrupt`, `unsupported` for the file of a newer mic, `forbidden` where it cannot be opened. */
  constructor({ file, clock, onFailure, rowsMax = ROWS_MAX }: SqliteLandingLogOptions) {
    this.#clock = clock;
    this.#onFailure = onFailure ?? (() => undefined);
    this.#rowsMax = rowsMax;
    this.#sql = open(file);
    this.#insert = this.#sql.prepare(
      `INSERT INTO landings (at, user_id, account, token_id, address, action, project, position, landing, detail)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (project, position, landing) DO NOTHING`,
    );
  }

  record(entry: LandingEntry): Promise<void> {
    this.#waiting.push(entry);
    if (this.#written === undefined) {
      this.#written = Promise.withResolvers();
      setImmediate(() => this.#flush());
    }
    return this.#written.promise;
  }

  /** Newest first. */
  list(
    query: Omit<AuditQuery, "before" | "log"> & { readonly beforeId?: number | undefined },
  ): AuditRecord[] {
    const { target, ...rest } = query;
    const conditions = auditConditions(rest);
    if (target !== undefined) {
      const project = /^project:([0-9a-f]{32})$/.exec(target)?.[1];
      if (project === undefined) return [];
      conditions.add("project = ?", bytesOf(project));
    }
    const rows = this.#sql
      .prepare(`SELECT * FROM landings ${conditions.where} ORDER BY id DESC LIMIT ?`)
      .all(...conditions.values, query.limit) as LandingRow[];
    return rows.map(toRecord);
  }

  /** Removes what was written before `beforeMs`, in pieces; returns how many. */
  async prune(beforeMs: number): Promise<number> {
    const find = this.#sql
      .prepare("SELECT max(id) FROM (SELECT id FROM landings WHERE at < ? ORDER BY id LIMIT ?)")
      .pluck();
    const remove = this.#sql.prepare("DELETE FROM landings WHERE id <= ? AND at < ?");
    return await pruneInPieces(this.#clock, (limit) => {
      const last = find.get(beforeMs, limit) as number | null;
      if (last === null) return 0;
      this.#counts = undefined;
      return this.#sql.transaction(() => this.#remove(() => remove.run(last, beforeMs).changes)).immediate();
    });
  }

  [Symbol.dispose](): void {
    this.#flush();
    this.#sql.close();
  }

  #flush(): void {
    const entries = this.#waiting;
    const written = this.#written;
    this.#waiting = [];
    this.#written = undefined;
    if (entries.length === 0) return;
    try {
      this.#write(entries);
    } catch (error) {
      // It may have counted what was not written.
      this.#counts = undefined;
      this.#onFailure(error, entries.length);
    }
    written?.resolve();
  }

  #write(entries: readonly LandingEntry[]): void {
    const nowMs = this.#clock.nowMs();
    this.#sql
      .transaction(() => {
        for (const { principal, address, action, project, position, landingId, detail } of entries) {
          const { changes } = this.#insert.run(
            nowMs,
            principal.userId === undefined ? null : bytesOf(principal.userId),
            principal.account,
            principal.tokenId === undefined ? null : bytesOf(principal.tokenId),
            address.slice(0, ADDRESS_CHARACTERS_MAX),
            action,
            bytesOf(project),
            position ?? null,
            landingId === undefined ? null : bytesOf(landingId),
            detailText(detail),
          );
          const { account } = principal;
          this.#counts?.set(account, (this.#counts.get(account) ?? 0) + changes);
        }
        this.#sinceTrim += entries.length;
        if (this.#sinceTrim >= TRIM_EVERY) this.#trim();
      })
      .immediate();
  }

  #trim(): void {
    this.#sinceTrim = 0;
    const counts = this.#countByAccount();
    if (counts === undefined) return;
    const most = [...counts].sort((a, b) => b[1] - a[1]);
    let excess = -this.#rowsMax;
    for (const [, count] of most) excess += count;
    if (excess <= 0) return;
    const remove = this.#sql.prepare(
      "DELETE FROM landings WHERE id IN (SELECT id FROM landings WHERE account = ? ORDER BY id LIMIT ?)",
    );
    const kept = levelFor(
      most.map(([, count]) => count),
      excess,
    );
    this.#remove(() => {
      for (const [account, count] of most) {
        const wanted = Math.min(excess, count - kept);
        if (wanted <= 0) return;
        remove.run(account, wanted);
        counts.set(account, count - wanted);
        excess -= wanted;
      }
    });
  }

  /** Undefined while there cannot be too many: ids are given out one after the other. */
  #countByAccount(): Map<string, number> | undefined {
    const othersAt = this.#sql.pragma("data_version", { simple: true }) as number;
    if (this.#counts !== undefined && othersAt === this.#countedAt) return this.#counts;
    this.#countedAt = othersAt;
    this.#counts = undefined;
    const lastId = this.#sql.prepare("SELECT max(id) FROM landings").pluck().get() as number | null;
    if ((lastId ?? 0) <= this.#rowsMax) return undefined;
    const rows = this.#sql
      .prepare("SELECT account, count(*) AS count FROM landings GROUP BY account")
      .all() as { readonly account: string; readonly count: number }[];
    this.#counts = new Map(rows.map(({ account, count }) => [account, count]));
    return this.#counts;
  }

  #remove<T>(remove: () => T): T {
    return withoutTrigger(this.#sql, "landings_are_append_only_delete", remove);
  }
}

/** How many each may keep so that `excess` go. `counts`: the largest first, and more than `excess` together. */
function levelFor(counts: readonly number[], excess: number): number {
  let above = 0;
  for (const [index, count] of counts.entries()) {
    above += count;
    const level = Math.floor((above - excess) / (index + 1));
    if (level >= (counts[index + 1] ?? 0)) return level;
  }
  return 0;
}

function open(file: string): Database.Database {
  try {
    const sql = new Database(file, { timeout: BUSY_MS });
    try {
      if (process.platform !== "win32") chmodSync(file, 0o600);
      sql.pragma("journal_mode = WAL");
      sql.pragma("synchronous = NORMAL");
      prepare(sql, file);
      return sql;
    } catch (error) {
      sql.close();
      throw error;
    }
  } catch (cause) {
    if (cause instanceof MicError) throw cause;
    const { code } = cause as { readonly code?: string };
    if (code === "SQLITE_NOTADB" || code === "SQLITE_CORRUPT") throw damaged(file, cause);
    throw new MicError(
      "forbidden",
      `the log of landings in ${file} cannot be opened (${code ?? String(cause)})`,
      {
        hint: "the file and its directory must belong to the user that runs mic",
        cause,
      },
    );
  }
}

function prepare(sql: Database.Database, file: string): void {
  const read = (name: string): number => Number(sql.pragma(name, { simple: true }));
  if (read("user_version") > VERSION && read("application_id") === APPLICATION_ID) {
    throw new MicError("unsupported", `the log of landings in ${file} was written by a newer mic`, {
      hint: "install that version",
    });
  }
  sql
    .transaction(() => {
      const id = read("application_id");
      if (id === APPLICATION_ID) return;
      if (id !== 0 || read("user_version") !== 0) throw damaged(file, undefined);
      sql.exec(SCHEMA);
      sql.pragma(`application_id = ${APPLICATION_ID}`);
      sql.pragma(`user_version = ${VERSION}`);
    })
    .immediate();
}

function damaged(file: string, cause: unknown): MicError {
  return new MicError("corrupt", `${file} is no log of landings`, {
    hint: "move it away: the server starts a new one",
    ...(cause === undefined ? {} : { cause }),
  });
}

function bytesOf(hex: string): Buffer {
  return Buffer.from(hex, "hex");
}

function toRecord(row: LandingRow): AuditRecord {
  const detail = JSON.parse(row.detail) as Readonly<Record<string, unknown>>;
  return {
    log: "landings",
    id: row.id,
    atMs: row.at,
    account: row.account,
    userId: row.user_id?.toString("hex"),
    tokenId: row.token_id?.toString("hex"),
    address: row.address,
    action: row.action,
    target: `project:${row.project.toString("hex")}`,
    detail: {
      ...(row.position === null ? {} : { position: row.position }),
      ...(row.landing === null ? {} : { landing: row.landing.toString("hex") }),
      ...detail,
    },
  };
}
