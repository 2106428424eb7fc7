//! The schema as it came to be: one constant per step, never edited after a release.
//!
//! Times are microseconds since 1970 (UTC). Booleans are 0 and 1. JSON is text.

/// Step 1: the first schema.
///
/// `operations` has no foreign keys on purpose: the record of a deletion outlives what it deleted.
/// Its partial unique index *is* the rule "one mutating operation per project at a time".
pub const FIRST: &str = "
CREATE TABLE settings (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;

CREATE TABLE projects (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    pg_version INTEGER NOT NULL,
    settings TEXT NOT NULL,
    deleting INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;
CREATE INDEX projects_by_name ON projects (name);

CREATE TABLE branches (
    id TEXT PRIMARY KEY,
    project_id TEXT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    is_default INTEGER NOT NULL,
    ready INTEGER NOT NULL,
    owner TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    UNIQUE (project_id, name)
) STRICT;
CREATE UNIQUE INDEX one_default_branch ON branches (project_id) WHERE is_default = 1;

CREATE TABLE endpoints (
    id TEXT PRIMARY KEY,
    project_id TEXT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    branch_id TEXT NOT NULL REFERENCES branches (id) ON DELETE CASCADE,
    slot INTEGER NOT NULL UNIQUE,
    suspend_timeout_seconds INTEGER NOT NULL,
    pause_timeout_seconds INTEGER,
    min_cu REAL NOT NULL,
    max_cu REAL NOT NULL,
    pg_settings TEXT NOT NULL,
    roles_stale INTEGER NOT NULL DEFAULT 0,
    next_wake INTEGER,
    started_at INTEGER,
    suspended_at INTEGER,
    last_active INTEGER,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;
CREATE INDEX endpoints_of_branch ON endpoints (branch_id);

CREATE TABLE roles (
    branch_id TEXT NOT NULL REFERENCES branches (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    verifier TEXT,
    sealed_password BLOB,
    can_login INTEGER NOT NULL,
    valid_until INTEGER,
    protected INTEGER NOT NULL DEFAULT 0,
    pending TEXT,
    rename_from TEXT,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (branch_id, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE databases (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    branch_id TEXT NOT NULL REFERENCES branches (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    owner TEXT NOT NULL,
    pending TEXT,
    rename_from TEXT,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    UNIQUE (branch_id, name)
) STRICT;

CREATE TABLE api_keys (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    prefix TEXT NOT NULL,
    hash BLOB NOT NULL UNIQUE,
    created_at INTEGER NOT NULL,
    last_used_at INTEGER
) STRICT;
CREATE INDEX api_keys_by_prefix ON api_keys (prefix);

CREATE TABLE operations (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    project_id TEXT NOT NULL,
    branch_id TEXT,
    endpoint_id TEXT,
    kind TEXT NOT NULL,
    phase TEXT NOT NULL,
    step INTEGER NOT NULL,
    args TEXT NOT NULL,
    error TEXT,
    failures INTEGER NOT NULL DEFAULT 0,
    retry_at INTEGER,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;
CREATE INDEX operations_of_project ON operations (project_id, seq);
CREATE UNIQUE INDEX one_operation_per_project ON operations (project_id) WHERE phase IN ('doing', 'undoing');

CREATE TABLE endpoint_events (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    endpoint_id TEXT NOT NULL REFERENCES endpoints (id) ON DELETE CASCADE,
    at INTEGER NOT NULL,
    happening TEXT NOT NULL
) STRICT;
CREATE INDEX events_of_endpoint ON endpoint_events (endpoint_id, id);
";

/// Step 2: branches have storage, parents and an end; endpoints can be readers.
///
/// A branch's public ID never changes; its `storage_id` does when it is restored. Until then both are the
/// same. `parent_storage_id` is a storage ID as well, so that children keep to the line that they left.
/// `metas` holds the hash of what was last stored for a disaster, by storage ID or project ID.
pub const BRANCHES: &str = "
ALTER TABLE branches ADD COLUMN storage_id TEXT NOT NULL DEFAULT '';
UPDATE branches SET storage_id = id;
CREATE UNIQUE INDEX branches_by_storage ON branches (storage_id);
ALTER TABLE branches ADD COLUMN parent_storage_id TEXT;
ALTER TABLE branches ADD COLUMN parent_lsn TEXT;
ALTER TABLE branches ADD COLUMN parent_timestamp INTEGER;
CREATE INDEX branches_by_parent ON branches (parent_storage_id);
ALTER TABLE branches ADD COLUMN protected INTEGER NOT NULL DEFAULT 0;
ALTER TABLE branches ADD COLUMN expires_at INTEGER;
ALTER TABLE branches ADD COLUMN ttl_seconds INTEGER;
ALTER TABLE branches ADD COLUMN deleting INTEGER NOT NULL DEFAULT 0;
ALTER TABLE branches ADD COLUMN resetting INTEGER NOT NULL DEFAULT 0;
ALTER TABLE branches ADD COLUMN restored_from TEXT;
ALTER TABLE branches ADD COLUMN last_reset_at INTEGER;

ALTER TABLE endpoints ADD COLUMN kind TEXT NOT NULL DEFAULT 'read_write';
ALTER TABLE endpoints ADD COLUMN pinned_lsn TEXT;
ALTER TABLE endpoints ADD COLUMN expires_at INTEGER;
ALTER TABLE endpoints ADD COLUMN deleting INTEGER NOT NULL DEFAULT 0;
CREATE UNIQUE INDEX one_writer_per_branch ON endpoints (branch_id) WHERE kind = 'read_write';

CREATE TABLE metas (
    key TEXT PRIMARY KEY,
    hash TEXT NOT NULL
) STRICT, WITHOUT ROWID;
";

/// Step 3: endpoints have lists of addresses that may connect; branches have login tokens.
pub const AUTH: &str = "
ALTER TABLE endpoints ADD COLUMN allowed_ips TEXT NOT NULL DEFAULT '[]';

CREATE TABLE tokens (
    branch_id TEXT PRIMARY KEY REFERENCES branches (id) ON DELETE CASCADE,
    until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
";

/// Step 4: API keys can be bound to a project; who changed what is written down; snapshots.
///
/// A snapshot is a branch that the lists do not show: the row here makes it one. `previews` knows for which
/// branch a snapshot was restored. `audit` has no foreign keys: it outlives what it tells of.
pub const IDENTITY: &str = "
ALTER TABLE api_keys ADD COLUMN project_id TEXT REFERENCES projects (id) ON DELETE CASCADE;
ALTER TABLE api_keys ADD COLUMN created_by TEXT NOT NULL DEFAULT 'local';
ALTER TABLE api_keys ADD COLUMN last_used_from TEXT NOT NULL DEFAULT '';

CREATE TABLE audit (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    actor_kind TEXT NOT NULL,
    actor_id TEXT NOT NULL,
    actor_name TEXT NOT NULL,
    action TEXT NOT NULL,
    path TEXT NOT NULL,
    project_id TEXT,
    peer TEXT,
    status INTEGER,
    error TEXT,
    request_id TEXT NOT NULL
) STRICT;
CREATE INDEX audit_of_project ON audit (project_id, id);

CREATE TABLE snapshots (
    branch_id TEXT PRIMARY KEY REFERENCES branches (id) ON DELETE CASCADE,
    source_id TEXT NOT NULL,
    name TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE previews (
    branch_id TEXT PRIMARY KEY REFERENCES branches (id) ON DELETE CASCADE,
    target_id TEXT NOT NULL
) STRICT, WITHOUT ROWID;
";

/// The ledger: what was used, by hour, day and month (see `control::metering`).
///
/// A *subject* is a branch as the ledger knows it; it stays when the branch is gone, with its last names. `usage`
/// has whole numbers but for byte-hours, whose sums are too large for them. `usage_marks` and the levels in
/// `usage_subjects` say until when everything is counted; they change with `usage` in one transaction, whose number
/// is in `usage_book`.
pub const USAGE: &str = "
CREATE TABLE usage_book (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    number INTEGER NOT NULL,
    since INTEGER NOT NULL
) STRICT;

CREATE TABLE usage_subjects (
    id INTEGER PRIMARY KEY,
    branch_id TEXT NOT NULL UNIQUE,
    project_id TEXT NOT NULL,
    name TEXT NOT NULL,
    project_name TEXT NOT NULL,
    storage INTEGER NOT NULL DEFAULT 0,
    history INTEGER NOT NULL DEFAULT 0,
    wall INTEGER NOT NULL DEFAULT 0,
    boot INTEGER NOT NULL DEFAULT 0,
    uptime_ms INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX usage_subjects_of_project ON usage_subjects (project_id);

CREATE TABLE usage_marks (
    endpoint_id TEXT PRIMARY KEY,
    subject INTEGER NOT NULL,
    doing INTEGER NOT NULL,
    milli_cu INTEGER NOT NULL,
    wall INTEGER NOT NULL,
    boot INTEGER NOT NULL,
    uptime_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE usage (
    grain INTEGER NOT NULL,
    start INTEGER NOT NULL,
    subject INTEGER NOT NULL,
    active_ms INTEGER NOT NULL,
    milli_cu_ms INTEGER NOT NULL,
    paused_ms INTEGER NOT NULL,
    storage_byte_hours REAL NOT NULL,
    history_byte_hours REAL NOT NULL,
    egress INTEGER NOT NULL,
    ingress INTEGER NOT NULL,
    queries INTEGER NOT NULL,
    written INTEGER NOT NULL,
    wakes INTEGER NOT NULL,
    PRIMARY KEY (grain, start, subject)
) STRICT, WITHOUT ROWID;
CREATE INDEX usage_of_subject ON usage (subject, grain, start);

CREATE TABLE quota_states (
    project_id TEXT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    measure TEXT NOT NULL,
    state TEXT NOT NULL,
    since INTEGER NOT NULL,
    PRIMARY KEY (project_id, measure)
) STRICT, WITHOUT ROWID;
";

/// Replies to requests with an `Idempotency-Key`. Hashes instead of keys; bodies are sealed, as they have passwords.
pub const REPLIES: &str = "
CREATE TABLE replies (
    id BLOB PRIMARY KEY,
    request BLOB NOT NULL,
    run TEXT NOT NULL,
    at INTEGER NOT NULL,
    status INTEGER,
    body BLOB
) STRICT, WITHOUT ROWID;
CREATE INDEX replies_by_age ON replies (at);
";

/// Browsers that are signed in to the console. A session acts as its API key and ends with it.
pub const CONSOLE: &str = "
CREATE TABLE sessions (
    hash BLOB PRIMARY KEY,
    api_key_id TEXT NOT NULL REFERENCES api_keys (id) ON DELETE CASCADE,
    created_at INTEGER NOT NULL,
    used_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX sessions_by_key ON sessions (api_key_id);
";

/// Endpoints have times in which they are kept awake, and may read their working set at each start.
pub const WARM: &str = "
ALTER TABLE endpoints ADD COLUMN keep_warm TEXT NOT NULL DEFAULT '[]';
ALTER TABLE endpoints ADD COLUMN prewarm INTEGER NOT NULL DEFAULT 0;
";

/// Alerts: rules that were made or changed, what fires, what changed; webhooks and the notices to them.
///
/// Nothing refers to endpoints: what is said of one that is gone is history.
pub const ALERTS: &str = "
CREATE TABLE alert_rules (
    id TEXT PRIMARY KEY,
    rule TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE alert_states (
    rule_id TEXT NOT NULL,
    subject TEXT NOT NULL,
    name TEXT NOT NULL,
    metric TEXT NOT NULL,
    state TEXT NOT NULL,
    value REAL,
    since INTEGER NOT NULL,
    PRIMARY KEY (rule_id, subject)
) STRICT, WITHOUT ROWID;

CREATE TABLE alert_history (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    rule_id TEXT NOT NULL,
    name TEXT NOT NULL,
    metric TEXT NOT NULL,
    subject TEXT NOT NULL,
    from_state TEXT NOT NULL,
    to_state TEXT NOT NULL,
    value REAL
) STRICT;

CREATE TABLE webhooks (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    url TEXT NOT NULL,
    sealed BLOB NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE deliveries (
    id TEXT PRIMARY KEY,
    webhook_id TEXT NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE,
    body TEXT NOT NULL,
    state TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    status INTEGER,
    error TEXT,
    at INTEGER NOT NULL,
    next_at INTEGER
) STRICT;
CREATE INDEX deliveries_of_webhook ON deliveries (webhook_id, state);
CREATE INDEX deliveries_by_time ON deliveries (next_at) WHERE state = 'pending';
";

/// Sessions of the console say which browser they are, so that somebody can end one.
pub const SIGNED_IN: &str = "
ALTER TABLE sessions ADD COLUMN from_addr TEXT NOT NULL DEFAULT '';
ALTER TABLE sessions ADD COLUMN agent TEXT NOT NULL DEFAULT '';
";

/// A database that is to be made may have a locale of its own.
pub const LOCALES: &str = "
ALTER TABLE databases ADD COLUMN locale TEXT;
";

/// A name may become another role's; this tells them apart.
pub const ROLE_OIDS: &str = "
ALTER TABLE roles ADD COLUMN oid INTEGER;
";
