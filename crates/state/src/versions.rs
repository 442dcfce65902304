//! The versions of the tables. dynacrawl upgrades a state of any version to the newest, step by
//! step.

use rusqlite::{Connection, Transaction};

use crate::version6;

/// The version of the tables that this program writes.
pub(crate) const NEWEST: i64 = STEPS.len() as i64 + 5;
/// `dyna`: distinguishes a state from another program's database.
pub(crate) const APPLICATION: i64 = 0x6479_6e61;

/// From each version to the next, up to version 5. These statements never change, because states
/// that are in use were made with them.
const STEPS: [&str; 5] = [
    "
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
) STRICT;
CREATE TABLE scopes (
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
    checkpoint TEXT,
    PRIMARY KEY (run_id, target, region)
) STRICT, WITHOUT ROWID;
CREATE TABLE targets (
    run_id TEXT NOT NULL REFERENCES runs ON DELETE CASCADE,
    target TEXT NOT NULL,
    accounts_discovered TEXT,
    regions_discovered TEXT,
    failed INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (run_id, target)
) STRICT, WITHOUT ROWID;
",
    "
ALTER TABLE scopes RENAME TO run_scopes;
ALTER TABLE targets RENAME TO run_targets;
ALTER TABLE run_scopes ADD COLUMN changes TEXT;
ALTER TABLE runs ADD COLUMN schedule TEXT;
ALTER TABLE runs ADD COLUMN targets TEXT;
ALTER TABLE runs ADD COLUMN accepted TEXT;
ALTER TABLE runs ADD COLUMN is_replaced INTEGER NOT NULL DEFAULT 1;
ALTER TABLE runs ADD COLUMN completed TEXT;
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
    retired_at INTEGER,
    UNIQUE (partition, account_id, region)
) STRICT;
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
CREATE INDEX tables_gone ON tables (changed_at) WHERE status <> 'present';
CREATE TABLE records (
    record_id INTEGER PRIMARY KEY,
    record TEXT NOT NULL
) STRICT;
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
CREATE INDEX changes_known_at ON changes (known_at);
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
) STRICT;
CREATE TABLE schedules (
    name TEXT PRIMARY KEY,
    last_at INTEGER NOT NULL
) STRICT;
CREATE VIEW estate AS
    SELECT s.partition, s.account_id, s.region, t.name, t.status, t.arn, t.table_id, t.fingerprint,
        strftime('%Y-%m-%dT%H:%M:%fZ', t.first_seen_at / 1000.0, 'unixepoch') AS first_seen,
        strftime('%Y-%m-%dT%H:%M:%fZ', t.changed_at / 1000.0, 'unixepoch') AS changed,
        strftime('%Y-%m-%dT%H:%M:%fZ', COALESCE(t.last_seen_at, s.last_listed_at) / 1000.0, 'unixepoch') AS last_seen,
        r.record
    FROM tables t JOIN scopes s USING (scope_id) JOIN records r USING (record_id);
",
    "
CREATE TABLE marks (
    name TEXT PRIMARY KEY,
    at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO marks SELECT 'emit_default_changed', MAX(started_at) FROM runs HAVING count(*) > 0;
ALTER TABLE runs ADD COLUMN output_template TEXT;
ALTER TABLE runs ADD COLUMN files_deleted INTEGER NOT NULL DEFAULT 0;
",
    "
ALTER TABLE runs ADD COLUMN output_format INTEGER NOT NULL DEFAULT 1;
",
    "
CREATE TABLE outbox (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    event_id TEXT NOT NULL,
    at INTEGER NOT NULL,
    type TEXT NOT NULL,
    record TEXT NOT NULL,
    table_record TEXT
) STRICT;
CREATE TABLE sinks (
    name TEXT PRIMARY KEY,
    cursor INTEGER NOT NULL,
    lost INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
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
    status TEXT,
    PRIMARY KEY (scope_id, name)
) STRICT, WITHOUT ROWID;
ALTER TABLE staged ADD COLUMN has_stats INTEGER NOT NULL DEFAULT 0;
ALTER TABLE staged ADD COLUMN item_count INTEGER;
ALTER TABLE staged ADD COLUMN size_bytes INTEGER;
ALTER TABLE staged ADD COLUMN table_status TEXT;
",
];

/// Version 7: how the deliveries of each sink went, and the target of each event.
const VERSION_7: &str = "
ALTER TABLE sinks ADD COLUMN delivered_at INTEGER;
ALTER TABLE sinks ADD COLUMN refused INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sinks ADD COLUMN failed_at INTEGER;
ALTER TABLE sinks ADD COLUMN failure TEXT;
ALTER TABLE outbox ADD COLUMN target TEXT;
";

/// Version 8: whether a sink that follows the state, and not its changes, has all of it, and when it
/// last got statistics.
const VERSION_8: &str = "
ALTER TABLE sinks ADD COLUMN is_synced INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sinks ADD COLUMN statistics_at INTEGER;
ALTER TABLE sinks ADD COLUMN progress TEXT;
ALTER TABLE sinks ADD COLUMN place TEXT;
";

/// Version 9: sinks of events can need the whole state, too. Those that there are do not.
const VERSION_9: &str = "UPDATE sinks SET is_synced = 1, place = 'events' WHERE place IS NULL;";

/// Version 10: which table an event is about, so that a newer event of the table replaces it for a catalog. And what
/// changes by itself in indexes, capacity and replicas.
const VERSION_10: &str = "
ALTER TABLE outbox ADD COLUMN about TEXT;
ALTER TABLE outbox ADD COLUMN waiting_seq INTEGER;
ALTER TABLE outbox ADD COLUMN waiting_since INTEGER;
ALTER TABLE table_stats ADD COLUMN digest INTEGER;
ALTER TABLE table_stats ADD COLUMN parts TEXT;
ALTER TABLE staged ADD COLUMN digest INTEGER;
ALTER TABLE staged ADD COLUMN parts TEXT;
CREATE INDEX outbox_about ON outbox (about, target);
";

/// Upgrades the tables from one version to the next.
type Step = Box<dyn Fn(&Transaction<'_>) -> rusqlite::Result<()>>;

/// Upgrades the tables from `version` to the newest. A kill leaves one of the versions in between.
pub(crate) fn bring_up(connection: &mut Connection, version: i64) -> rusqlite::Result<()> {
    let statements = |sql: &'static str| move |making: &Transaction<'_>| making.execute_batch(sql);
    let steps =
        STEPS.map(|sql| Box::new(statements(sql)) as Step).into_iter().chain([Box::new(version6::bring_up) as Step]);
    let steps = steps.chain([VERSION_7, VERSION_8, VERSION_9, VERSION_10].map(|sql| Box::new(statements(sql)) as Step));
    for (before, step) in (0..).zip(steps).filter(|(before, _)| *before >= version) {
        let making = connection.transaction()?;
        step(&making)?;
        making.pragma_update(None, "application_id", APPLICATION)?;
        making.pragma_update(None, "user_version", before + 1)?;
        making.commit()?;
    }
    Ok(())
}
