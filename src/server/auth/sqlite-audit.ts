/**
 * The audit log: what is about accounts in their database, whose triggers refuse to change or remove what was written,
 * and what landed (./sqlite-landing-log.ts). One list shows both.
 */
import type { Clock } from "../../core/base/clock.ts";
import { MicError } from "../../core/base/errors.ts";
import type { Audit, AuditEntry, AuditPage, AuditQuery, AuditRecord } from "./audit.ts";
import {
  ADDRESS_CHARACTERS_MAX,
  auditConditions,
  detailText,
  pruneInPieces,
  withoutTrigger,
} from "./audit-rows.ts";
import type { AuthDatabase } from "./database/auth-database.ts";
import type { SqliteLandingLog } from "./sqlite-landing-log.ts";

const TARGET_CHARACTERS_MAX = 1_000;

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
  /** Closed by whoever opened it. */
  readonly landings?: SqliteLandingLog | undefined;
}

/** Where a page ended in each log: only records with smaller ids follow. */
interface Cursor {
  readonly accounts: number | undefined;
  readonly landings: number | undefined;
}

export class SqliteAudit implements Audit {
  readonly #database: AuthDatabase;
  readonly #clock: Clock;
  readonly #landings: SqliteLandingLog | undefined;

  constructor({ database, clock, landings }: SqliteAuditOptions) {
    this.#database = database;
    this.#clock = clock;
    this.#landings = landings;
  }

  record({ principal, address, action, target, detail = {} }: AuditEntry): void {
    if (this.#database.isReadOnly) return;
    this.#database.writeRecords(() => {
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
          address.slice(0, ADDRESS_CHARACTERS_MAX),
          action,
          target.slice(0, TARGET_CHARACTERS_MAX),
          detailText(detail),
        );
    });
  }

  list({ before, log, ...query }: AuditQuery): AuditPage {
    const start = readCursor(before);
    const accounts = log === "landings" ? [] : this.#listAccounts(query, start.accounts);
    const landings =
      log === "accounts" ? [] : (this.#landings?.list({ ...query, beforeId: start.landings }) ?? []);
    const records: AuditRecord[] = [];
    let [a, l] = [0, 0];
    while (records.length < query.limit && (a < accounts.length || l < landings.length)) {
      const [account, landing] = [accounts[a], landings[l]];
      const isLanding = account === undefined || (landing !== undefined && landing.atMs > account.atMs);
      records.push(isLanding ? landings[l++]! : accounts[a++]!);
    }
    if (records.length < query.limit) return { records, next: undefined };
    const end = { accounts: accounts[a - 1]?.id, landings: landings[l - 1]?.id };
    return {
      records,
      next: `${end.accounts ?? start.accounts ?? ""}.${end.landings ?? start.landings ?? ""}`,
    };
  }

  /** Removes what was written before `beforeMs` from both logs, in pieces; returns how many records. */
  async prune(beforeMs: number): Promise<number> {
    const removed = await pruneInPieces(this.#clock, (limit) => {
      const { last } = this.#database
        .prepare("SELECT max(id) AS last FROM (SELECT id FROM audit WHERE at < ? ORDER BY id LIMIT ?)")
        .get(beforeMs, limit) as { readonly last: number | null };
      if (last === null) return 0;
      return this.#database.writeRecords((sql) =>
        withoutTrigger(
          sql,
          "audit_is_append_only_delete",
          () => sql.prepare("DELETE FROM audit WHERE id <= ? AND at < ?").run(last, beforeMs).changes,
          "records",
        ),
      );
    });
    return removed + ((await this.#landings?.prune(beforeMs)) ?? 0);
  }

  #listAccounts(
    query: Omit<AuditQuery, "before" | "log">,
    beforeId: number | undefined,
  ): readonly AuditRecord[] {
    const conditions = auditConditions({ ...query, beforeId });
    conditions.add("target = ?", query.target);
    const rows = this.#database
      .prepare(`SELECT * FROM audit ${conditions.where} ORDER BY id DESC LIMIT ?`)
      .all(...conditions.values, query.limit) as AuditRow[];
    return rows.map(toRecord);
  }
}

function readCursor(text: string | undefined): Cursor {
  if (text === undefined) return { accounts: undefined, landings: undefined };
  const match = /^(\d{1,15})?\.(\d{1,15})?$/.exec(text);
  if (match === null) throw new MicError("usage", "`before` is not what a page ended with");
  const read = (digits: string | undefined): number | undefined =>
    digits === undefined ? undefined : Number(digits);
  return { accounts: read(match[1]), landings: read(match[2]) };
}

function toRecord(row: AuditRow): AuditRecord {
  return {
    log: "accounts",
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
