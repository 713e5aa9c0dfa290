/** What the two tables of the audit log have in common. */
import type Database from "better-sqlite3";
import type { Clock } from "../../core/base/clock.ts";
import type { AuditQuery } from "./audit.ts";

/** Nobody fills the disk with one call. */
export const ADDRESS_CHARACTERS_MAX = 1_000;
const DETAIL_CHARACTERS_MAX = 8_000;
/** About 30 ms, in which the server that writes the same file waits with everything it does. */
const PRUNED_AT_ONCE = 5_000;
/** Whoever waits for a lock of SQLite looks every now and then: it must find it free. */
const PRUNE_PAUSE_MS = 30;

export interface AuditConditions {
  readonly where: string;
  readonly values: readonly (string | number | Buffer)[];
  add(condition: string, value: string | number | Buffer | undefined): void;
}

/** On the columns `id`, `account`, `action` and `at`. */
export function auditConditions(
  query: Pick<AuditQuery, "account" | "action" | "sinceMs" | "untilMs"> & {
    readonly beforeId?: number | undefined;
  },
): AuditConditions {
  const { account, action, sinceMs, untilMs, beforeId } = query;
  const conditions: string[] = [];
  const values: (string | number | Buffer)[] = [];
  const add: AuditConditions["add"] = (condition, value) => {
    if (value === undefined) return;
    conditions.push(condition);
    values.push(value);
  };
  add("id < ?", beforeId);
  add("account = ?", account);
  if (action?.endsWith(".") === true) {
    add("action > ?", action);
    // The character after the dot.
    add("action < ?", `${action.slice(0, -1)}/`);
  } else add("action = ?", action);
  add("at >= ?", sinceMs);
  add("at < ?", untilMs);
  return {
    get where() {
      return conditions.length === 0 ? "" : `WHERE ${conditions.join(" AND ")}`;
    },
    values,
    add,
  };
}

export function detailText(detail: Readonly<Record<string, unknown>>): string {
  const text = JSON.stringify(detail);
  return text.length <= DETAIL_CHARACTERS_MAX ? text : JSON.stringify({ leftOut: text.length });
}

/** `remove`: at most so many of the oldest, in a transaction of its own; returns how many. The result is their sum. */
export async function pruneInPieces(clock: Clock, remove: (limit: number) => number): Promise<number> {
  for (let removed = 0; ; ) {
    const count = remove(PRUNED_AT_ONCE);
    removed += count;
    if (count < PRUNED_AT_ONCE) return removed;
    await clock.sleep(PRUNE_PAUSE_MS);
  }
}

/** Inside a transaction: the trigger that refuses to remove what was written is back at its end. */
export function withoutTrigger<T>(
  sql: Database.Database,
  name: string,
  work: () => T,
  schema: "main" | "records" = "main",
): T {
  const text = sql
    .prepare(`SELECT sql FROM ${schema}.sqlite_schema WHERE type = 'trigger' AND name = ?`)
    .pluck()
    .get(name) as string;
  sql.exec(`DROP TRIGGER ${schema}.${name}`);
  const result = work();
  sql.exec(text.replace("CREATE TRIGGER ", `CREATE TRIGGER ${schema}.`));
  return result;
}
