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
