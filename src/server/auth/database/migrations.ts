/**
 * The schema of the auth database, one step after the other. A step that was released is never changed. Times are
 * Unix milliseconds, ids lowercase hex, hashes raw SHA-256 or the text of the password hash.
 */
const ACCOUNTS = `
  CREATE TABLE users (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE COLLATE NOCASE,
    email TEXT UNIQUE COLLATE NOCASE,
    password_hash TEXT,
    is_site_admin INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL,
    disabled_at INTEGER
  ) STRICT;

  CREATE TABLE tokens (
    id TEXT PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users(id),
    kind TEXT NOT NULL CHECK (kind IN ('personal', 'access', 'refresh', 'session')),
    token_hash BLOB NOT NULL UNIQUE,
    name TEXT NOT NULL,
    scope TEXT NOT NULL CHECK (scope IN ('read', 'write', 'admin')),
    project_id TEXT,
    client_id TEXT,
    family TEXT,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    last_used_at INTEGER,
    revoked_at INTEGER,
    -- The refresh token that these were given for; and of a refresh token, when one of those was first used.
    issued_by TEXT,
    confirmed_at INTEGER
  ) STRICT;
  CREATE INDEX tokens_by_user ON tokens (user_id);
  CREATE INDEX tokens_by_family ON tokens (family) WHERE family IS NOT NULL;
  CREATE INDEX tokens_by_issuer ON tokens (issued_by) WHERE issued_by IS NOT NULL;

  CREATE TABLE permissions (
    project_id TEXT NOT NULL,
    user_id TEXT NOT NULL REFERENCES users(id),
    role TEXT NOT NULL CHECK (role IN ('read', 'write', 'owner')),
    created_at INTEGER NOT NULL,
    PRIMARY KEY (project_id, user_id)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX permissions_by_user ON permissions (user_id);

  CREATE TABLE members (
    organization TEXT NOT NULL,
    user_id TEXT NOT NULL REFERENCES users(id),
    role TEXT NOT NULL CHECK (role IN ('read', 'write', 'owner')),
    created_at INTEGER NOT NULL,
    PRIMARY KEY (organization, user_id)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX members_by_user ON members (user_id);

  -- Small values of the server itself, such as keys that sign its forms.
  CREATE TABLE settings (
    name TEXT PRIMARY KEY,
    value BLOB NOT NULL
  ) STRICT, WITHOUT ROWID;

  -- Counts changes of what servers remember, whoever makes them: who a token stands for, and roles.
  CREATE TABLE generations (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    tokens INTEGER NOT NULL,
    roles INTEGER NOT NULL
  ) STRICT;
  INSERT INTO generations VALUES (1, 0, 0);
  CREATE TRIGGER users_changed AFTER UPDATE OF name, is_site_admin, disabled_at ON users
    BEGIN UPDATE generations SET tokens = tokens + 1, roles = roles + 1; END;
  CREATE TRIGGER users_deleted AFTER DELETE ON users
    BEGIN UPDATE generations SET tokens = tokens + 1, roles = roles + 1; END;
  CREATE TRIGGER tokens_changed
    AFTER UPDATE OF user_id, kind, token_hash, scope, project_id, expires_at, revoked_at ON tokens
    BEGIN UPDATE generations SET tokens = tokens + 1; END;
  CREATE TRIGGER tokens_deleted AFTER DELETE ON tokens
    BEGIN UPDATE generations SET tokens = tokens + 1; END;
  CREATE TRIGGER permissions_added AFTER INSERT ON permissions
    BEGIN UPDATE generations SET roles = roles + 1; END;
  CREATE TRIGGER permissions_changed AFTER UPDATE ON permissions
    BEGIN UPDATE generations SET roles = roles + 1; END;
  CREATE TRIGGER permissions_deleted AFTER DELETE ON permissions
    BEGIN UPDATE generations SET roles = roles + 1; END;
  CREATE TRIGGER members_added AFTER INSERT ON members
    BEGIN UPDATE generations SET roles = roles + 1; END;
  CREATE TRIGGER members_changed AFTER UPDATE ON members
    BEGIN UPDATE generations SET roles = roles + 1; END;
  CREATE TRIGGER members_deleted AFTER DELETE ON members
    BEGIN UPDATE generations SET roles = roles + 1; END;
`;

const OAUTH = `
  -- Registered with RFC 7591; redirect_uris and grant_types are arrays in JSON.
  CREATE TABLE oauth_clients (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    redirect_uris TEXT NOT NULL,
    grant_types TEXT NOT NULL,
    -- Who registered it.
    address TEXT NOT NULL,
    created_at INTEGER NOT NULL
  ) STRICT;

  CREATE TABLE device_codes (
    device_code_hash BLOB PRIMARY KEY,
    -- Without its hyphen.
    user_code TEXT NOT NULL UNIQUE,
    client_id TEXT NOT NULL,
    client_name TEXT NOT NULL,
    -- Asked for; once approved, what was given.
    scope TEXT NOT NULL,
    -- Where the device asked from.
    address TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('pending', 'approved', 'denied', 'used')),
    user_id TEXT REFERENCES users(id)
  ) STRICT;

  CREATE TABLE authorization_codes (
    code_hash BLOB PRIMARY KEY,
    client_id TEXT NOT NULL,
    client_name TEXT NOT NULL,
    redirect_uri TEXT NOT NULL,
    code_challenge TEXT NOT NULL,
    scope TEXT NOT NULL,
    user_id TEXT NOT NULL REFERENCES users(id),
    -- Of the tokens that it is exchanged for.
    family TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    used_at INTEGER
  ) STRICT;
`;

const AUDIT = `
  CREATE TABLE audit (
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
  CREATE INDEX audit_by_target ON audit (target, id);
  CREATE INDEX audit_by_account ON audit (account, id);
  CREATE TRIGGER audit_is_append_only_update BEFORE UPDATE ON audit
    BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
  -- INSERT OR REPLACE removes a row without asking the trigger for that.
  CREATE TRIGGER audit_is_append_only_insert BEFORE INSERT ON audit
    WHEN EXISTS (SELECT 1 FROM audit WHERE id = NEW.id)
    BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
  CREATE TRIGGER audit_is_append_only_delete BEFORE DELETE ON audit
    BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
`;

const WEBHOOKS = `
  CREATE TABLE webhooks (
    id TEXT PRIMARY KEY,
    project_id TEXT NOT NULL,
    url TEXT NOT NULL,
    -- JSON: an array of names.
    events TEXT NOT NULL,
    secret TEXT NOT NULL,
    -- Also signs until then, while receivers change over.
    previous_secret TEXT,
    previous_secret_until INTEGER,
    is_active INTEGER NOT NULL,
    stopped_because TEXT,
    -- Messages in a row that were given up.
    given_up INTEGER NOT NULL DEFAULT 0,
    created_by TEXT NOT NULL REFERENCES users(id),
    created_at INTEGER NOT NULL,
    -- Landings up to it were taken.
    position INTEGER NOT NULL
  ) STRICT;
  CREATE INDEX webhooks_by_project ON webhooks (project_id);

  -- What a webhook was last told of each open session.
  CREATE TABLE webhook_sessions (
    webhook_id TEXT NOT NULL REFERENCES webhooks(id) ON DELETE CASCADE,
    session_id TEXT NOT NULL,
    updated_at INTEGER NOT NULL,
    state TEXT NOT NULL,
    told_at INTEGER NOT NULL,
    PRIMARY KEY (webhook_id, session_id)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE deliveries (
    -- The order of messages.
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    webhook_id TEXT NOT NULL REFERENCES webhooks(id) ON DELETE CASCADE,
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
  CREATE INDEX deliveries_by_webhook ON deliveries (webhook_id, number);
  CREATE INDEX deliveries_pending ON deliveries (webhook_id, number) WHERE next_attempt_at IS NOT NULL;
`;

/** What is dropped stands in ./records-schema.ts from then on. */
const WITHOUT_RECORDS = `
  DROP TABLE deliveries;
  DROP TABLE webhook_sessions;
  DROP TABLE audit;
  -- "position" stays: where the webhook began.
  ALTER TABLE webhooks DROP COLUMN given_up;
`;

const OWNERS = `
  -- Projects that are being made: who gets the role of owner, should the server end before it is written.
  CREATE TABLE creations (
    project_id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    user_id TEXT NOT NULL REFERENCES users(id),
    started_at INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;

  -- Until here a user owned the organization of its name without a row.
  INSERT INTO members (organization, user_id, role, created_at)
    SELECT name, id, 'owner', created_at FROM users WHERE true
    ON CONFLICT DO UPDATE SET role = excluded.role;
`;

export const MIGRATIONS: readonly string[] = [ACCOUNTS, OAUTH, AUDIT, WEBHOOKS, WITHOUT_RECORDS, OWNERS];

/** A file of a smaller version may hold what belongs to the records. */
export const RECORDS_LEFT_AT: number = MIGRATIONS.indexOf(WITHOUT_RECORDS) + 1;
