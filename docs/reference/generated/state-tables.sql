CREATE VIEW estate AS
             SELECT s.partition, s.account_id, s.account_name, s.region, t.name, t.status, t.arn, t.table_id, t.fingerprint,
                 strftime('%Y-%m-%dT%H:%M:%fZ', t.first_seen_at / 1000.0, 'unixepoch') AS first_seen,
                 strftime('%Y-%m-%dT%H:%M:%fZ', t.changed_at / 1000.0, 'unixepoch') AS changed,
                 strftime('%Y-%m-%dT%H:%M:%fZ', COALESCE(t.last_seen_at, s.last_listed_at) / 1000.0, 'unixepoch') AS last_seen,
                 r.record
             FROM tables t JOIN scopes s USING (scope_id) JOIN records r USING (record_id);
CREATE TABLE changes (
    change_id INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    known_at INTEGER NOT NULL,
    run_id TEXT NOT NULL,
    scope_id INTEGER NOT NULL REFERENCES scopes,
    type TEXT NOT NULL,
    name TEXT,
    change TEXT NOT NULL
) STRICT;
CREATE TABLE marks (
    name TEXT PRIMARY KEY,
    at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE outbox (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    event_id TEXT NOT NULL,
    at INTEGER NOT NULL,
    type TEXT NOT NULL,
    record TEXT NOT NULL,
    table_record TEXT
, target TEXT, about TEXT, waiting_seq INTEGER, waiting_since INTEGER) STRICT;
CREATE TABLE records (
    record_id INTEGER PRIMARY KEY,
    record TEXT NOT NULL
) STRICT;
CREATE TABLE "run_scopes" (
    run_id TEXT NOT NULL REFERENCES runs ON DELETE CASCADE,
    target TEXT NOT NULL,
    region TEXT NOT NULL,
    partition TEXT NOT NULL,
    account_id TEXT,
    updated_at INTEGER NOT NULL,
    outcome TEXT,
    listed_a_page INTEGER,
    counts TEXT,
    requests TEXT,
    checkpoint TEXT, changes TEXT, account_name TEXT, problems TEXT,
    PRIMARY KEY (run_id, target, region)
) STRICT, WITHOUT ROWID;
CREATE TABLE "run_targets" (
    run_id TEXT NOT NULL REFERENCES runs ON DELETE CASCADE,
    target TEXT NOT NULL,
    accounts_discovered TEXT,
    regions_discovered TEXT,
    failed INTEGER NOT NULL DEFAULT 0, failure TEXT,
    PRIMARY KEY (run_id, target)
) STRICT, WITHOUT ROWID;
CREATE TABLE runs (
    run_id TEXT PRIMARY KEY,
    version TEXT NOT NULL,
    config_digest TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    ended_at INTEGER,
    outcome TEXT,
    active_ms INTEGER NOT NULL,
    output TEXT NOT NULL,
    output_offset INTEGER NOT NULL,
    output_lines INTEGER NOT NULL
, schedule TEXT, targets TEXT, accepted TEXT, is_replaced INTEGER NOT NULL DEFAULT 1, completed TEXT, output_template TEXT, files_deleted INTEGER NOT NULL DEFAULT 0, output_format INTEGER NOT NULL DEFAULT 1) STRICT;
CREATE TABLE schedules (
    name TEXT PRIMARY KEY,
    last_at INTEGER NOT NULL
) STRICT;
CREATE TABLE scopes (
    scope_id INTEGER PRIMARY KEY,
    partition TEXT NOT NULL,
    account_id TEXT NOT NULL,
    region TEXT NOT NULL,
    target TEXT NOT NULL,
    first_run_at INTEGER NOT NULL,
    last_run_at INTEGER NOT NULL,
    last_outcome TEXT NOT NULL,
    last_listed_at INTEGER,
    last_complete_at INTEGER,
    held INTEGER NOT NULL DEFAULT 0,
    retired_at INTEGER, account_name TEXT, last_problems TEXT,
    UNIQUE (partition, account_id, region)
) STRICT;
CREATE TABLE sinks (
    name TEXT PRIMARY KEY,
    cursor INTEGER NOT NULL,
    lost INTEGER NOT NULL DEFAULT 0
, delivered_at INTEGER, refused INTEGER NOT NULL DEFAULT 0, failed_at INTEGER, failure TEXT, is_synced INTEGER NOT NULL DEFAULT 0, statistics_at INTEGER, progress TEXT, place TEXT) STRICT, WITHOUT ROWID;
CREATE TABLE staged (
    staged_id INTEGER PRIMARY KEY,
    run_id TEXT NOT NULL,
    partition TEXT NOT NULL,
    account_id TEXT NOT NULL,
    region TEXT NOT NULL,
    at INTEGER NOT NULL,
    name TEXT,
    status TEXT,
    fingerprint TEXT,
    first_seen_at INTEGER,
    changed_at INTEGER,
    last_seen_at INTEGER,
    arn TEXT,
    table_id TEXT,
    record_id INTEGER,
    type TEXT,
    change TEXT
, has_stats INTEGER NOT NULL DEFAULT 0, item_count INTEGER, size_bytes INTEGER, table_status TEXT, digest INTEGER, parts TEXT) STRICT;
CREATE TABLE staged_ends (
    end_id INTEGER PRIMARY KEY,
    run_id TEXT NOT NULL,
    type TEXT NOT NULL,
    record TEXT NOT NULL
) STRICT;
CREATE TABLE table_stats (
    scope_id INTEGER NOT NULL REFERENCES scopes,
    name TEXT NOT NULL,
    observed_at INTEGER NOT NULL,
    item_count INTEGER,
    size_bytes INTEGER,
    status TEXT, digest INTEGER, parts TEXT,
    PRIMARY KEY (scope_id, name)
) STRICT, WITHOUT ROWID;
CREATE TABLE tables (
    scope_id INTEGER NOT NULL REFERENCES scopes,
    name TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('present', 'removed', 'unselected', 'retired')),
    fingerprint TEXT NOT NULL,
    first_seen_at INTEGER NOT NULL,
    changed_at INTEGER NOT NULL,
    last_seen_at INTEGER,
    arn TEXT,
    table_id TEXT,
    record_id INTEGER NOT NULL,
    PRIMARY KEY (scope_id, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX changes_known_at ON changes (known_at);
CREATE INDEX outbox_about ON outbox (about, target);
CREATE INDEX tables_gone ON tables (changed_at) WHERE status <> 'present';
