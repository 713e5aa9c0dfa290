/**
 * The schema of the records, which stand in a file beside the accounts and are attached to their connection as
 * `records`: what grows, and what no follower needs (docs/adr/0143-records-beside-accounts.md). Steps and types as in
 * ./migrations.ts. No row refers to one of the accounts: the two files are replicated each on its own, and either may
 * be a moment older.
 */
const RECORDS = `
  CREATE TABLE records.audit (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    user_id TEXT,
    account TEXT NOT NULL,
    token_id TEXT,
    address TEXT NOT NULL,
    action TEXT NOT NULL,
    target TEXT NOT NULL,
    detail TEXT NOT NULL
  ) STRICT;
  CREATE INDEX records.audit_by_target ON audit (target, id);
  CREATE INDEX records.audit_by_account ON audit (account, id);
  CREATE TRIGGER records.audit_is_append_only_update BEFORE UPDATE ON audit
    BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
  -- INSERT OR REPLACE removes a row without asking the trigger for that.
  CREATE TRIGGER records.audit_is_append_only_insert BEFORE INSERT ON audit
    WHEN EXISTS (SELECT 1 FROM audit WHERE id = NEW.id)
    BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
  CREATE TRIGGER records.audit_is_append_only_delete BEFORE DELETE ON audit
    BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;

  -- How far a webhook is; one without a row is where it began.
  CREATE TABLE records.webhook_progress (
    webhook_id TEXT PRIMARY KEY,
    -- Landings up to it were taken.
    position INTEGER NOT NULL,
    -- Messages in a row that were given up.
    given_up INTEGER NOT NULL DEFAULT 0
  ) STRICT, WITHOUT ROWID;

  -- What a webhook was last told of each open session.
  CREATE TABLE records.webhook_sessions (
    webhook_id TEXT NOT NULL,
    session_id TEXT NOT NULL,
    updated_at INTEGER NOT NULL,
    state TEXT NOT NULL,
    told_at INTEGER NOT NULL,
    PRIMARY KEY (webhook_id, session_id)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE records.deliveries (
    -- The order of messages.
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    webhook_id TEXT NOT NULL,
    message TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('event', 'redelivery', 'ping')),
    event TEXT NOT NULL,
    payload TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    next_attempt_at INTEGER,
    status INTEGER,
    error TEXT,
    duration_ms INTEGER,
    delivered_at INTEGER
  ) STRICT;
  CREATE INDEX records.deliveries_by_webhook ON deliveries (webhook_id, number);
  CREATE INDEX records.deliveries_pending ON deliveries (webhook_id, number) WHERE next_attempt_at IS NOT NULL;
`;

export const RECORDS_MIGRATIONS: readonly string[] = [RECORDS];

/**
 * From accounts of a version that kept them (below `WITH_RECORDS`): once more does nothing, so that a crash before the
 * accounts drop theirs loses nothing and doubles nothing.
 */
export const TAKE_RECORDS: Readonly<Record<string, string>> = {
  audit: `
    INSERT INTO records.audit SELECT * FROM main.audit
    WHERE id > (SELECT coalesce(max(id), 0) FROM records.audit) ORDER BY id;`,
  deliveries: `
    INSERT OR IGNORE INTO records.webhook_progress SELECT id, position, given_up FROM main.webhooks;
    INSERT OR IGNORE INTO records.webhook_sessions SELECT * FROM main.webhook_sessions;
    INSERT OR IGNORE INTO records.deliveries SELECT * FROM main.deliveries;`,
};
