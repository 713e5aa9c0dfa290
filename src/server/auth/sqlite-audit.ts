/** The audit log in the auth database, whose triggers refuse to change or remove what was written. */
import type { Clock } from "../../core/base/clock.ts";
import type { Audit, AuditEntry, AuditQuery, AuditRecord } from "./audit.ts";
import type { AuthDatabase } from "./database/auth-database.ts";

/** Of each text: nobody fills the disk with one call. */
const TEXT_CHARACTERS_MAX = 1_000;
const DETAIL_CHARACTERS_MAX = 8_000;

interface AuditRow {
  readonly id: number;
  readonly at: number;
  readonly user_id: string | null;
  readonly account: string;
  readonly token_id: string | null;
  readonly address: string;
  readonly action: string;
  readonly target: string;
  readonly detail: string;
}

export interface SqliteAuditOptions {
  readonly database: AuthDatabase;
  readonly clock: Clock;
}

export class SqliteAudit implements Audit {
  readonly #database: AuthDatabase;
  readonly #clock: Clock;

  constructor({ database, clock }: SqliteAuditOptions) {
    this.#database = database;
    this.#clock = clock;
  }

  record({ principal, address, action, target, detail = {} }: AuditEntry): void {
    if (this.#database.isReadOnly) return;
    const text = JSON.stringify(detail);
    const kept = text.length <= DETAIL_CHARACTERS_MAX ? text : JSON.stringify({ leftOut: text.length });
    this.#database.write(() => {
      this.#database
        .prepare(
          `INSERT INTO audit (at, user_id, account, token_id, address, action, target, detail)
           VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
        )
        .run(
          this.#clock.nowMs(),
          principal.userId ?? null,
          principal.account,
          principal.tokenId ?? null,
          address.slice(0, TEXT_CHARACTERS_MAX),
          action,
          target.slice(0, TEXT_CHARACTERS_MAX),
          kept,
        );
    });
  }

  list(query: AuditQuery): readonly AuditRecord[] {
    const { account, action, target, sinceMs, untilMs, beforeId, limit } = query;
    const conditions: string[] = [];
    const values: (string | number)[] = [];
    const add = (condition: string, value: string | number | undefined): void => {
      if (value === undefined) return;
      conditions.push(condition);
      values.push(value);
    };
    add("id < ?", beforeId);
    add("account = ?", account);
    add("target = ?", target);
    if (action?.endsWith(".") === true) {
      add("action > ?", action);
      // The character after the dot.
      add("action < ?", `${action.slice(0, -1)}/`);
    } else add("action = ?", action);
    add("at >= ?", sinceMs);
    add("at < ?", untilMs);
    const where = conditions.length === 0 ? "" : `WHERE ${conditions.join(" AND ")}`;
    const rows = this.#database
      .prepare(`SELECT * FROM audit ${where} ORDER BY id DESC LIMIT ?`)
      .all(...values, limit) as AuditRow[];
    return rows.map(toRecord);
  }
}

function toRecord(row: AuditRow): AuditRecord {
  return {
    id: row.id,
    atMs: row.at,
    account: row.account,
    userId: row.user_id ?? undefined,
    tokenId: row.token_id ?? undefined,
    address: row.address,
    action: row.action,
    target: row.target,
    detail: JSON.parse(row.detail) as Readonly<Record<string, unknown>>,
  };
}
