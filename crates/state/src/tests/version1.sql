PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
PRAGMA application_id = 1685679713;
PRAGMA user_version = 1;
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
INSERT INTO runs VALUES('01M86HZQSV5G8W10JAB63QF7Y0','0.1.0','add609b392b3851ab6a4facbb5e63e5b',1795516522299,1795516523654,NULL,NULL,1353,'/data/estate.jsonl',389879,224);
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
INSERT INTO scopes VALUES('01M86HZQSV5G8W10JAB63QF7Y0','analytics','ap-southeast-2','aws','444455556666',1795516523622,'partial',1,'{"listed":16,"unselected":0,"selected":16,"described":0,"denied":0,"throttled":16,"vanished":0,"failed":0,"not_attempted":0}','{"ListTables":{"sent":1,"throttled":0},"DescribeTable":{"sent":25,"throttled":25}}',NULL);
INSERT INTO scopes VALUES('01M86HZQSV5G8W10JAB63QF7Y0','analytics','eu-west-1','aws','444455556666',1795516522551,'complete',1,'{"listed":18,"unselected":0,"selected":18,"described":18,"denied":0,"throttled":0,"vanished":0,"failed":0,"not_attempted":0}','{"ListTables":{"sent":1,"throttled":0},"DescribeTable":{"sent":18,"throttled":0}}',NULL);
INSERT INTO scopes VALUES('01M86HZQSV5G8W10JAB63QF7Y0','analytics','us-east-1','aws','444455556666',1795516522551,'complete',1,'{"listed":16,"unselected":0,"selected":16,"described":16,"denied":0,"throttled":0,"vanished":0,"failed":0,"not_attempted":0}','{"ListTables":{"sent":1,"throttled":0},"DescribeTable":{"sent":16,"throttled":0}}',NULL);
INSERT INTO scopes VALUES('01M86HZQSV5G8W10JAB63QF7Y0','fraud','eu-west-1','aws','777788889999',1795516522551,'auth_failed',0,'{"listed":0,"unselected":0,"selected":0,"described":0,"denied":0,"throttled":0,"vanished":0,"failed":0,"not_attempted":0}','{"ListTables":{"sent":0,"throttled":0},"DescribeTable":{"sent":0,"throttled":0}}',NULL);
INSERT INTO scopes VALUES('01M86HZQSV5G8W10JAB63QF7Y0','payments','ap-southeast-2','aws','111122223333',1795516522551,'complete',1,'{"listed":14,"unselected":0,"selected":14,"described":14,"denied":0,"throttled":0,"vanished":0,"failed":0,"not_attempted":0}','{"ListTables":{"sent":1,"throttled":0},"DescribeTable":{"sent":14,"throttled":0}}',NULL);
INSERT INTO scopes VALUES('01M86HZQSV5G8W10JAB63QF7Y0','payments','eu-west-1','aws','111122223333',1795516523653,'complete',1,'{"listed":113,"unselected":0,"selected":113,"described":112,"denied":0,"throttled":0,"vanished":1,"failed":0,"not_attempted":0}','{"ListTables":{"sent":2,"throttled":0},"DescribeTable":{"sent":114,"throttled":0}}',NULL);
INSERT INTO scopes VALUES('01M86HZQSV5G8W10JAB63QF7Y0','payments','us-east-1','aws','111122223333',1795516522551,'partial',1,'{"listed":39,"unselected":0,"selected":39,"described":38,"denied":1,"throttled":0,"vanished":0,"failed":0,"not_attempted":0}','{"ListTables":{"sent":1,"throttled":0},"DescribeTable":{"sent":39,"throttled":0}}',NULL);
CREATE TABLE targets (
    run_id TEXT NOT NULL REFERENCES runs ON DELETE CASCADE,
    target TEXT NOT NULL,
    accounts_discovered TEXT,
    regions_discovered TEXT,
    failed INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (run_id, target)
) STRICT, WITHOUT ROWID;
COMMIT;
