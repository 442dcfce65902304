PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
PRAGMA application_id = 1685679713;
PRAGMA user_version = 2;
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
INSERT INTO "changes" VALUES(1,1795821288604,1795821288609,'01M8FMMF3W2ZMCTJFJXZ3TERVZ',5,'table_added','audit-log-staging','{"fingerprint":"1:6dc60b1fcd050fad08387bc03f3be40b","observed_at":"2026-11-27T23:14:48.604Z","run_id":"01M8FMMF3W2ZMCTJFJXZ3TERVZ","schema":"dynacrawl/1","scope":{"account_id":"111122223333","partition":"aws","region":"eu-west-1"}}');
INSERT INTO "changes" VALUES(2,1795821288606,1795821288609,'01M8FMMF3W2ZMCTJFJXZ3TERVZ',5,'table_added','audit-log-dev','{"fingerprint":"1:e468b8cfc5365e4a65fe74647bc0be60","observed_at":"2026-11-27T23:14:48.606Z","run_id":"01M8FMMF3W2ZMCTJFJXZ3TERVZ","schema":"dynacrawl/1","scope":{"account_id":"111122223333","partition":"aws","region":"eu-west-1"}}');
INSERT INTO "changes" VALUES(3,1795821288607,1795821288609,'01M8FMMF3W2ZMCTJFJXZ3TERVZ',6,'table_added','audit-log-staging','{"fingerprint":"1:248950d46f6573c2a00e8d6a491dd8ea","observed_at":"2026-11-27T23:14:48.607Z","run_id":"01M8FMMF3W2ZMCTJFJXZ3TERVZ","schema":"dynacrawl/1","scope":{"account_id":"111122223333","partition":"aws","region":"us-east-1"}}');
CREATE TABLE records (
    record_id INTEGER PRIMARY KEY,
    record TEXT NOT NULL
) STRICT;
INSERT INTO "records" VALUES(1,'{"type":"table","schema":"dynacrawl/1","run_id":"01M8FMMF3W2ZMCTJFJXZ3TERVZ","scope":{"partition":"aws","account_id":"111122223333","region":"eu-west-1"},"observed_at":"2026-11-27T23:14:48.604Z","fingerprint":"1:6dc60b1fcd050fad08387bc03f3be40b","table":{"arn":"arn:aws:dynamodb:eu-west-1:111122223333:table/audit-log-staging","id":"39f59140-9a5f-4eb0-a39a-58016e917d15","name":"audit-log-staging","status":"ACTIVE","created_at":"2020-02-17T00:49:20.109Z","attributes":[{"name":"pk","type":"S"},{"name":"sk","type":"S"}],"key_schema":[{"attribute":"pk","type":"S","role":"partition","position":0},{"attribute":"sk","type":"S","role":"sort","position":1}],"indexes":[],"billing_mode":"PAY_PER_REQUEST","last_update_to_pay_per_request_at":"2020-02-17T00:49:20.109Z","provisioned_throughput":{"read_capacity_units":0,"write_capacity_units":0,"last_increase_at":null,"last_decrease_at":null,"number_of_decreases_today":0},"on_demand_throughput":{"max_read_request_units":4000,"max_write_request_units":1000},"warm_throughput":{"read_units_per_second":12000,"write_units_per_second":4000,"status":"ACTIVE"},"item_count":560109,"size_bytes":94658421,"stream":null,"encryption":null,"replicas":[],"global_table_version":null,"global_table_witnesses":[],"global_table_settings_replication_mode":null,"multi_region_consistency":null,"table_class":null,"table_class_updated_at":null,"deletion_protection_enabled":false,"disassociation_protection_enabled":null,"restore":null,"archival":null,"extra":{}},"probes":{}}');
INSERT INTO "records" VALUES(2,'{"type":"table","schema":"dynacrawl/1","run_id":"01M8FMMF3W2ZMCTJFJXZ3TERVZ","scope":{"partition":"aws","account_id":"111122223333","region":"eu-west-1"},"observed_at":"2026-11-27T23:14:48.606Z","fingerprint":"1:e468b8cfc5365e4a65fe74647bc0be60","table":{"arn":"arn:aws:dynamodb:eu-west-1:111122223333:table/audit-log-dev","id":"2975ee26-e902-4bdb-a119-98b5a5ee8ae1","name":"audit-log-dev","status":"ACTIVE","created_at":"2019-08-17T06:35:25.731Z","attributes":[{"name":"pk","type":"S"},{"name":"sk","type":"S"}],"key_schema":[{"attribute":"pk","type":"S","role":"partition","position":0},{"attribute":"sk","type":"S","role":"sort","position":1}],"indexes":[],"billing_mode":"PAY_PER_REQUEST","last_update_to_pay_per_request_at":"2019-08-17T06:35:25.731Z","provisioned_throughput":{"read_capacity_units":0,"write_capacity_units":0,"last_increase_at":null,"last_decrease_at":null,"number_of_decreases_today":0},"on_demand_throughput":{"max_read_request_units":4000,"max_write_request_units":1000},"warm_throughput":{"read_units_per_second":12000,"write_units_per_second":4000,"status":"ACTIVE"},"item_count":1225731,"size_bytes":234114621,"stream":null,"encryption":null,"replicas":[],"global_table_version":null,"global_table_witnesses":[],"global_table_settings_replication_mode":null,"multi_region_consistency":null,"table_class":null,"table_class_updated_at":null,"deletion_protection_enabled":false,"disassociation_protection_enabled":null,"restore":null,"archival":null,"extra":{}},"probes":{}}');
INSERT INTO "records" VALUES(3,'{"type":"table","schema":"dynacrawl/1","run_id":"01M8FMMF3W2ZMCTJFJXZ3TERVZ","scope":{"partition":"aws","account_id":"111122223333","region":"us-east-1"},"observed_at":"2026-11-27T23:14:48.607Z","fingerprint":"1:248950d46f6573c2a00e8d6a491dd8ea","table":{"arn":"arn:aws:dynamodb:us-east-1:111122223333:table/audit-log-staging","id":"28853a4b-042d-44e4-ade9-f5cd3cf8d249","name":"audit-log-staging","status":"ACTIVE","created_at":"2022-01-14T12:42:00.017Z","attributes":[{"name":"pk","type":"S"},{"name":"sk","type":"S"}],"key_schema":[{"attribute":"pk","type":"S","role":"partition","position":0},{"attribute":"sk","type":"S","role":"sort","position":1}],"indexes":[],"billing_mode":"PAY_PER_REQUEST","last_update_to_pay_per_request_at":"2022-01-14T12:42:00.017Z","provisioned_throughput":{"read_capacity_units":0,"write_capacity_units":0,"last_increase_at":null,"last_decrease_at":null,"number_of_decreases_today":0},"on_demand_throughput":{"max_read_request_units":4000,"max_write_request_units":1000},"warm_throughput":{"read_units_per_second":12000,"write_units_per_second":4000,"status":"ACTIVE"},"item_count":1620017,"size_bytes":1420754909,"stream":null,"encryption":null,"replicas":[],"global_table_version":null,"global_table_witnesses":[],"global_table_settings_replication_mode":null,"multi_region_consistency":null,"table_class":null,"table_class_updated_at":null,"deletion_protection_enabled":false,"disassociation_protection_enabled":null,"restore":null,"archival":null,"extra":{}},"probes":{}}');
INSERT INTO "records" VALUES(4,'{"type":"table","schema":"dynacrawl/1","run_id":"01M8FMMF7D3NS0D3RKTRVY4GMB","scope":{"partition":"aws","account_id":"111122223333","region":"ap-southeast-2"},"observed_at":"2026-11-27T23:14:49.702Z","fingerprint":"1:be8d8d3bb11e6804a1070e3181a2da94","table":{"arn":"arn:aws:dynamodb:ap-southeast-2:111122223333:table/audit-log-prod","id":"a78670f8-7f2e-4f0e-a08b-e279b66b6c2d","name":"audit-log-prod","status":"ACTIVE","created_at":"2023-10-13T23:47:56.364Z","attributes":[{"name":"pk","type":"S"},{"name":"sk","type":"S"}],"key_schema":[{"attribute":"pk","type":"S","role":"partition","position":0},{"attribute":"sk","type":"S","role":"sort","position":1}],"indexes":[],"billing_mode":"PAY_PER_REQUEST","last_update_to_pay_per_request_at":"2023-10-13T23:47:56.364Z","provisioned_throughput":{"read_capacity_units":0,"write_capacity_units":0,"last_increase_at":null,"last_decrease_at":null,"number_of_decreases_today":0},"on_demand_throughput":{"max_read_request_units":4000,"max_write_request_units":1000},"warm_throughput":{"read_units_per_second":12000,"write_units_per_second":4000,"status":"ACTIVE"},"item_count":876364,"size_bytes":196305536,"stream":null,"encryption":null,"replicas":[],"global_table_version":null,"global_table_witnesses":[],"global_table_settings_replication_mode":null,"multi_region_consistency":null,"table_class":null,"table_class_updated_at":null,"deletion_protection_enabled":true,"disassociation_protection_enabled":null,"restore":null,"archival":null,"extra":{}},"probes":{}}');
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
    checkpoint TEXT, changes TEXT,
    PRIMARY KEY (run_id, target, region)
) STRICT, WITHOUT ROWID;
INSERT INTO "run_scopes" VALUES('01M8FMMF3W2ZMCTJFJXZ3TERVZ','analytics','ap-southeast-2','aws','444455556666',1795821288610,'complete',1,'{"listed":16,"unselected":16,"selected":0,"described":0,"denied":0,"throttled":0,"vanished":0,"failed":0,"not_attempted":0}','{"ListTables":{"sent":1,"throttled":0},"DescribeTable":{"sent":0,"throttled":0}}',NULL,'{"added":0,"changed":0,"recreated":0,"removed":0,"unselected":0,"held":0}');
INSERT INTO "run_scopes" VALUES('01M8FMMF3W2ZMCTJFJXZ3TERVZ','analytics','eu-west-1','aws','444455556666',1795821288610,'complete',1,'{"listed":18,"unselected":18,"selected":0,"described":0,"denied":0,"throttled":0,"vanished":0,"failed":0,"not_attempted":0}','{"ListTables":{"sent":1,"throttled":0},"DescribeTable":{"sent":0,"throttled":0}}',NULL,'{"added":0,"changed":0,"recreated":0,"removed":0,"unselected":0,"held":0}');
INSERT INTO "run_scopes" VALUES('01M8FMMF3W2ZMCTJFJXZ3TERVZ','analytics','us-east-1','aws','444455556666',1795821288610,'complete',1,'{"listed":16,"unselected":16,"selected":0,"described":0,"denied":0,"throttled":0,"vanished":0,"failed":0,"not_attempted":0}','{"ListTables":{"sent":1,"throttled":0},"DescribeTable":{"sent":0,"throttled":0}}',NULL,'{"added":0,"changed":0,"recreated":0,"removed":0,"unselected":0,"held":0}');
INSERT INTO "run_scopes" VALUES('01M8FMMF3W2ZMCTJFJXZ3TERVZ','payments','ap-southeast-2','aws','111122223333',1795821288610,'complete',1,'{"listed":14,"unselected":14,"selected":0,"described":0,"denied":0,"throttled":0,"vanished":0,"failed":0,"not_attempted":0}','{"ListTables":{"sent":1,"throttled":0},"DescribeTable":{"sent":0,"throttled":0}}',NULL,'{"added":0,"changed":0,"recreated":0,"removed":0,"unselected":0,"held":0}');
INSERT INTO "run_scopes" VALUES('01M8FMMF3W2ZMCTJFJXZ3TERVZ','payments','eu-west-1','aws','111122223333',1795821288610,'complete',1,'{"listed":113,"unselected":111,"selected":2,"described":2,"denied":0,"throttled":0,"vanished":0,"failed":0,"not_attempted":0}','{"ListTables":{"sent":2,"throttled":0},"DescribeTable":{"sent":2,"throttled":0}}',NULL,'{"added":2,"changed":0,"recreated":0,"removed":0,"unselected":0,"held":0}');
INSERT INTO "run_scopes" VALUES('01M8FMMF3W2ZMCTJFJXZ3TERVZ','payments','us-east-1','aws','111122223333',1795821288610,'complete',1,'{"listed":39,"unselected":38,"selected":1,"described":1,"denied":0,"throttled":0,"vanished":0,"failed":0,"not_attempted":0}','{"ListTables":{"sent":1,"throttled":0},"DescribeTable":{"sent":1,"throttled":0}}',NULL,'{"added":1,"changed":0,"recreated":0,"removed":0,"unselected":0,"held":0}');
INSERT INTO "run_scopes" VALUES('01M8FMMF7D3NS0D3RKTRVY4GMB','analytics','ap-southeast-2','aws','444455556666',1795821288939,'complete',1,'{"listed":16,"unselected":16,"selected":0,"described":0,"denied":0,"throttled":0,"vanished":0,"failed":0,"not_attempted":0}','{"ListTables":{"sent":1,"throttled":0},"DescribeTable":{"sent":0,"throttled":0}}',NULL,'{"added":0,"changed":0,"recreated":0,"removed":0,"unselected":0,"held":0}');
INSERT INTO "run_scopes" VALUES('01M8FMMF7D3NS0D3RKTRVY4GMB','analytics','eu-west-1','aws','444455556666',1795821288939,'complete',1,'{"listed":18,"unselected":18,"selected":0,"described":0,"denied":0,"throttled":0,"vanished":0,"failed":0,"not_attempted":0}','{"ListTables":{"sent":1,"throttled":0},"DescribeTable":{"sent":0,"throttled":0}}',NULL,'{"added":0,"changed":0,"recreated":0,"removed":0,"unselected":0,"held":0}');
INSERT INTO "run_scopes" VALUES('01M8FMMF7D3NS0D3RKTRVY4GMB','analytics','us-east-1','aws','444455556666',1795821288939,'complete',1,'{"listed":16,"unselected":16,"selected":0,"described":0,"denied":0,"throttled":0,"vanished":0,"failed":0,"not_attempted":0}','{"ListTables":{"sent":1,"throttled":0},"DescribeTable":{"sent":0,"throttled":0}}',NULL,'{"added":0,"changed":0,"recreated":0,"removed":0,"unselected":0,"held":0}');
INSERT INTO "run_scopes" VALUES('01M8FMMF7D3NS0D3RKTRVY4GMB','payments','ap-southeast-2','aws','111122223333',1795821289706,'complete',1,'{"listed":14,"unselected":13,"selected":1,"described":1,"denied":0,"throttled":0,"vanished":0,"failed":0,"not_attempted":0}','{"ListTables":{"sent":1,"throttled":0},"DescribeTable":{"sent":1,"throttled":0}}',NULL,'{"added":1,"changed":0,"recreated":0,"removed":0,"unselected":0,"held":0}');
INSERT INTO "run_scopes" VALUES('01M8FMMF7D3NS0D3RKTRVY4GMB','payments','eu-west-1','aws',NULL,1795821288939,NULL,NULL,NULL,NULL,'{"cursor":"start","counts":{"listed":0,"unselected":0,"selected":0,"described":0,"denied":0,"throttled":0,"vanished":0,"failed":0,"not_attempted":0},"listed_a_page":true,"changes":{"added":0,"changed":0,"recreated":0,"removed":0,"unselected":0,"held":0},"done":[],"deferred":[],"failures":[],"requests":{"ListTables":{"sent":1,"throttled":0},"DescribeTable":{"sent":0,"throttled":0}}}',NULL);
INSERT INTO "run_scopes" VALUES('01M8FMMF7D3NS0D3RKTRVY4GMB','payments','us-east-1','aws',NULL,1795821288939,NULL,NULL,NULL,NULL,'{"cursor":"start","counts":{"listed":0,"unselected":0,"selected":0,"described":0,"denied":0,"throttled":0,"vanished":0,"failed":0,"not_attempted":0},"listed_a_page":true,"changes":{"added":0,"changed":0,"recreated":0,"removed":0,"unselected":0,"held":0},"done":[],"deferred":[],"failures":[],"requests":{"ListTables":{"sent":1,"throttled":0},"DescribeTable":{"sent":0,"throttled":0}}}',NULL);
CREATE TABLE "run_targets" (
    run_id TEXT NOT NULL REFERENCES runs ON DELETE CASCADE,
    target TEXT NOT NULL,
    accounts_discovered TEXT,
    regions_discovered TEXT,
    failed INTEGER NOT NULL DEFAULT 0,
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
, schedule TEXT, targets TEXT, accepted TEXT, is_replaced INTEGER NOT NULL DEFAULT 1, completed TEXT) STRICT;
INSERT INTO "runs" VALUES('01M8FMMF3W2ZMCTJFJXZ3TERVZ','0.1.0','ac92e347154c6ce135dd415e937cad38',1795821288572,1795821288609,1795821288609,'complete',37,'/data/estate.jsonl',13287,13,NULL,NULL,'[]',1,'{"schema":"dynacrawl/1","run_id":"01M8FMMF3W2ZMCTJFJXZ3TERVZ","at":"2026-11-27T23:14:48.609Z","outcome":"complete","scopes":{"planned":6,"complete":6,"partial":0,"incomplete_listing":0,"denied":0,"throttled":0,"not_opted_in":0,"auth_failed":0,"unreachable":0,"failed":0,"cancelled":0,"targets_failed":0},"counts":{"listed":216,"unselected":213,"selected":3,"described":3,"denied":0,"throttled":0,"vanished":0,"failed":0,"not_attempted":0},"requests":{"ListTables":{"sent":7,"throttled":0},"DescribeTable":{"sent":3,"throttled":0}},"changes":{"added":3,"changed":0,"recreated":0,"removed":0,"unselected":0,"held":0},"duration_ms":36}');
INSERT INTO "runs" VALUES('01M8FMMF7D3NS0D3RKTRVY4GMB','0.1.0','b7232f1dd188c63aa2e0481a75265632',1795821288686,1795821289706,NULL,NULL,1019,'/data/estate.jsonl',6053,7,NULL,NULL,'[]',1,NULL);
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
    retired_at INTEGER,
    UNIQUE (partition, account_id, region)
) STRICT;
INSERT INTO "scopes" VALUES(1,'aws','444455556666','ap-southeast-2','analytics',1795821288610,1795821288610,'complete',1795821288610,1795821288610,0,NULL);
INSERT INTO "scopes" VALUES(2,'aws','444455556666','eu-west-1','analytics',1795821288610,1795821288610,'complete',1795821288610,1795821288610,0,NULL);
INSERT INTO "scopes" VALUES(3,'aws','444455556666','us-east-1','analytics',1795821288610,1795821288610,'complete',1795821288610,1795821288610,0,NULL);
INSERT INTO "scopes" VALUES(4,'aws','111122223333','ap-southeast-2','payments',1795821288610,1795821288610,'complete',1795821288610,1795821288610,0,NULL);
INSERT INTO "scopes" VALUES(5,'aws','111122223333','eu-west-1','payments',1795821288610,1795821288610,'complete',1795821288610,1795821288610,0,NULL);
INSERT INTO "scopes" VALUES(6,'aws','111122223333','us-east-1','payments',1795821288610,1795821288610,'complete',1795821288610,1795821288610,0,NULL);
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
INSERT INTO "staged" VALUES(1,'01M8FMMF7D3NS0D3RKTRVY4GMB','aws','111122223333','ap-southeast-2',1795821289702,'audit-log-prod','present','1:be8d8d3bb11e6804a1070e3181a2da94',1795821289702,1795821289702,NULL,'arn:aws:dynamodb:ap-southeast-2:111122223333:table/audit-log-prod','a78670f8-7f2e-4f0e-a08b-e279b66b6c2d',4,'table_added','{"fingerprint":"1:be8d8d3bb11e6804a1070e3181a2da94","observed_at":"2026-11-27T23:14:49.702Z","run_id":"01M8FMMF7D3NS0D3RKTRVY4GMB","schema":"dynacrawl/1","scope":{"account_id":"111122223333","partition":"aws","region":"ap-southeast-2"}}');
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
INSERT INTO "tables" VALUES(5,'audit-log-dev','present','1:e468b8cfc5365e4a65fe74647bc0be60',1795821288606,1795821288606,NULL,'arn:aws:dynamodb:eu-west-1:111122223333:table/audit-log-dev','2975ee26-e902-4bdb-a119-98b5a5ee8ae1',2);
INSERT INTO "tables" VALUES(5,'audit-log-staging','present','1:6dc60b1fcd050fad08387bc03f3be40b',1795821288604,1795821288604,NULL,'arn:aws:dynamodb:eu-west-1:111122223333:table/audit-log-staging','39f59140-9a5f-4eb0-a39a-58016e917d15',1);
INSERT INTO "tables" VALUES(6,'audit-log-staging','present','1:248950d46f6573c2a00e8d6a491dd8ea',1795821288607,1795821288607,NULL,'arn:aws:dynamodb:us-east-1:111122223333:table/audit-log-staging','28853a4b-042d-44e4-ade9-f5cd3cf8d249',3);
CREATE INDEX tables_gone ON tables (changed_at) WHERE status <> 'present';
CREATE INDEX changes_known_at ON changes (known_at);
CREATE VIEW estate AS
    SELECT s.partition, s.account_id, s.region, t.name, t.status, t.arn, t.table_id, t.fingerprint,
        strftime('%Y-%m-%dT%H:%M:%fZ', t.first_seen_at / 1000.0, 'unixepoch') AS first_seen,
        strftime('%Y-%m-%dT%H:%M:%fZ', t.changed_at / 1000.0, 'unixepoch') AS changed,
        strftime('%Y-%m-%dT%H:%M:%fZ', COALESCE(t.last_seen_at, s.last_listed_at) / 1000.0, 'unixepoch') AS last_seen,
        r.record
    FROM tables t JOIN scopes s USING (scope_id) JOIN records r USING (record_id);
COMMIT;
