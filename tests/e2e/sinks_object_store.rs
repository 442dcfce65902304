//! The sink `object_store`, with a directory and with two servers of S3's API.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dynacrawl_sim::{Account, DemoAccount, Denial, Effect, Estate, FaultRule, Operation, Simulator, Tables};
use fastrand::Rng;
use serde_json::Value;

use crate::command::Dynacrawl;
use crate::cutter::{Cut, Cutter};
use crate::daemon::{Place, keyed, target};
use crate::servers::{self, Kind, S3_KEYS, Server};
use crate::support::{HOME, IRELAND, VIRGINIA, closed_port, eventually, ireland, simulate};

/// A place whose snapshots are in the directory `lake`, as JSON lines that are not compressed.
fn crawl(place: &Place, sim: &Simulator, home: &DemoAccount, store: &str) -> Dynacrawl {
    let config = format!(
        "[crawl]\nrate = 0\ndeliver_within = \"4s\"\n[state]\npath = \"{}\"\n\
         [sink.lake]\nbackoff = \"20ms\"\nmax_backoff = \"200ms\"\n[sink.lake.object_store]\n{store}",
        place.state().display(),
    );
    Dynacrawl::crawl_of(sim, home, IRELAND).config(&config).args(["--output", "tables.jsonl"])
}

/// An account with two tables in one Region, and three in another.
fn two_regions() -> (Simulator, DemoAccount) {
    let account =
        Account::new(HOME).region(IRELAND, Tables::new().generated(2)).region(VIRGINIA, Tables::new().generated(3));
    let home = account.access("home");
    let sim = simulate(Estate::new([account]));
    (sim, home)
}

fn directory(place: &Place) -> String {
    format!("url = \"file://{}\"\ncompression = \"none\"\n", place.path("lake").display())
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).expect("read")).expect("JSON")
}

/// The newest manifest, after its files are found to be as it says.
fn manifest(lake: &Path) -> Value {
    let manifest = json(&lake.join("_manifest.json"));
    let run = manifest["run_id"].as_str().expect("an id");
    assert_eq!(manifest, json(&lake.join(format!("_manifests/{run}.json"))));
    for data_set in manifest["data_sets"].as_array().expect("data sets") {
        let mut count = 0;
        let files = data_set["files"].as_array().expect("files");
        assert!(!files.is_empty(), "{data_set}");
        for file in files {
            let path = lake.join(file["path"].as_str().expect("a path"));
            assert_eq!(fs::metadata(&path).expect("there").len(), file["size_bytes"], "{file}");
            if path.extension().is_some_and(|extension| extension == "jsonl") {
                assert_eq!(rows_of(&path).len() as u64, file["row_count"], "{file}");
            }
            count += file["row_count"].as_u64().expect("a count");
        }
        assert_eq!(data_set["row_count"], count);
    }
    manifest
}

fn rows_of(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).expect("text");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// The rows of a data set in the newest snapshot.
fn rows(lake: &Path, data_set: &str) -> Vec<Value> {
    let manifest = manifest(lake);
    let sets = manifest["data_sets"].as_array().expect("data sets");
    let files = sets.iter().find(|one| one["name"] == data_set).expect("the data set")["files"].as_array();
    files.expect("files").iter().flat_map(|file| rows_of(&lake.join(file["path"].as_str().expect("a path")))).collect()
}

/// The paths of all files, below the directory.
fn files(directory: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut left = vec![directory.to_owned()];
    while let Some(next) = left.pop() {
        for entry in fs::read_dir(&next).into_iter().flatten().map(|entry| entry.expect("an entry").path()) {
            match entry.is_dir() {
                true => left.push(entry),
                false => drop(found.insert(entry.strip_prefix(directory).expect("below").display().to_string())),
            }
        }
    }
    found
}

#[test]
fn each_run_leaves_the_whole_estate_and_a_manifest_and_old_ones_are_deleted() {
    let (sim, home) = ireland(5);
    let place = Place::new();
    let lake = place.path("lake");
    let store = format!("{}keep_runs = 2\n", directory(&place));
    crawl(&place, &sim, &home, &store).run().succeeded();
    let first = manifest(&lake);
    assert_eq!((&first["is_complete"], &first["outcome"]), (&true.into(), &"complete".into()));
    assert_eq!((&first["scope_count"], &first["incomplete_scopes"]), (&1.into(), &Value::Array(Vec::new())));
    let tables = rows(&lake, "tables");
    assert_eq!(tables.len(), 5);
    assert_eq!((&tables[0]["account_id"], &tables[0]["scope_outcome"]), (&HOME.into(), &"complete".into()));
    assert!(tables[0]["last_seen_at"].as_str().is_some_and(|at| at.ends_with('Z')), "{}", tables[0]);
    assert_eq!(rows(&lake, "scopes")[0]["table_count"], 5);
    assert!(!rows(&lake, "key_attributes").is_empty());
    let paths = files(&lake);
    let run = first["run_id"].as_str().expect("an id");
    let partition = format!("/run_id={run}/part-00000-");
    assert!(paths.iter().any(|path| path.starts_with("tables/date=20") && path.contains(&partition)), "{paths:?}");
    assert_eq!(place.rows("outbox"), 0);

    // Statistics are no change, and each snapshot has them.
    sim.update_table(HOME, IRELAND, "table-000003", |table| table["ItemCount"] = 4_242.into()).expect("there");
    crawl(&place, &sim, &home, &store).run().succeeded();
    let counted = rows(&lake, "tables").into_iter().filter(|row| row["item_count"] == 4_242).count();
    assert_eq!((counted, place.rows("changes")), (1, 5));

    // A second run changes nothing, and its snapshot is whole all the same.
    for _ in 0..2 {
        crawl(&place, &sim, &home, &store).run().succeeded();
        assert_eq!(rows(&lake, "tables").len(), 5);
    }
    let paths = files(&lake);
    assert_eq!(paths.iter().filter(|path| path.starts_with("tables/")).count(), 2, "{paths:?}");
    assert_eq!(paths.iter().filter(|path| path.starts_with("_manifests/")).count(), 2, "{paths:?}");
    assert!(!paths.iter().any(|path| path.contains(run)), "{paths:?}");
}

#[test]
fn a_scope_that_is_not_complete_keeps_its_last_known_rows_and_is_named() {
    let (sim, home) = ireland(250);
    let place = Place::new();
    let lake = place.path("lake");
    crawl(&place, &sim, &home, &directory(&place)).run().succeeded();
    let before = rows(&lake, "tables");
    // A page of the listing is denied, and one table.
    sim.deny(Denial::new(HOME, Operation::DescribeTable).table("table-000007"));
    sim.add_fault(FaultRule::new(Effect::Deny).operation(Operation::ListTables).nth(2));
    let ended = crawl(&place, &sim, &home, &directory(&place)).run();
    assert_eq!(ended.code(), 3, "{}", ended.stderr);
    let after = rows(&lake, "tables");
    let names = |rows: &[Value]| rows.iter().map(|row| row["table_name"].clone()).collect::<Vec<_>>();
    assert_eq!(names(&after), names(&before));
    assert_eq!(after[249]["last_seen_at"], before[249]["last_seen_at"], "nobody has seen it since");
    assert_eq!(
        (&after[0]["scope_outcome"], &after[249]["scope_outcome"]),
        (&"incomplete_listing".into(), &"incomplete_listing".into())
    );
    let manifest = manifest(&lake);
    assert_eq!(manifest["is_complete"], false);
    let [scope] = &manifest["incomplete_scopes"].as_array().expect("scopes")[..] else { panic!("{manifest}") };
    assert_eq!((&scope["account_id"], &scope["region"]), (&HOME.into(), &IRELAND.into()));
    assert!(scope["problems"].to_string().contains("ListTables"), "{scope}");
    let scopes = rows(&lake, "scopes");
    assert_eq!((&scopes[0]["is_complete"], &scopes[0]["table_count"]), (&false.into(), &250.into()));
}

#[test]
fn after_a_time_without_the_store_only_the_newest_run_is_written() {
    let (sim, home) = ireland(2);
    let place = Place::new();
    fs::write(place.path("lake"), "not a directory").expect("written");
    for _ in 0..2 {
        let ended = crawl(&place, &sim, &home, &directory(&place)).run();
        assert_eq!(ended.code(), 5, "{}", ended.stderr);
        assert!(ended.stderr.contains("lake"), "{}", ended.stderr);
    }
    fs::remove_file(place.path("lake")).expect("removed");
    crawl(&place, &sim, &home, &directory(&place)).run().succeeded();
    let manifest = manifest(&place.path("lake"));
    assert_eq!(manifest["skipped_runs"].as_array().expect("runs").len(), 2, "{manifest}");
    assert_eq!(files(&place.path("lake")).iter().filter(|path| path.starts_with("_manifests/")).count(), 1);
}

#[test]
fn a_new_sink_begins_with_all_scopes_of_the_state_and_then_gets_those_of_each_run() {
    let (sim, home) = two_regions();
    let place = Place::new();
    let (first, second) = (target("first", &[IRELAND]), target("second", &[VIRGINIA]));
    let crawl = |sink: &str, args: &[&str]| {
        let config =
            format!("[crawl]\nrate = 0\n[state]\npath = \"{}\"\n{sink}{first}{second}", place.state().display());
        let crawl = Dynacrawl::crawl().config(&config).args(["--output", "tables.jsonl"]).args(args);
        keyed(crawl, &sim, &home).run().succeeded();
    };
    crawl("", &[]);
    let sink = format!("[sink.lake.object_store]\n{}", directory(&place));
    let regions = || {
        let rows = rows(&place.path("lake"), "scopes");
        rows.iter().map(|row| row["region"].as_str().expect("a Region").to_owned()).collect::<Vec<_>>()
    };
    crawl(&sink, &["--target", "first"]);
    assert_eq!(regions(), [IRELAND, VIRGINIA]);
    assert_eq!(rows(&place.path("lake"), "tables").len(), 5);
    crawl(&sink, &["--target", "second"]);
    assert_eq!(regions(), [VIRGINIA]);
    // A sink that has lost events, because they became too old, begins anew.
    place.write("UPDATE sinks SET is_synced = 0");
    crawl(&sink, &["--target", "second"]);
    assert_eq!(regions(), [IRELAND, VIRGINIA]);
    let only_first =
        sink.replace("[sink.lake.object_store]", "[sink.lake]\ntargets = [\"first\"]\n[sink.lake.object_store]");
    crawl(&only_first, &[]);
    assert_eq!(regions(), [IRELAND]);
}

#[test]
fn without_a_state_the_run_itself_is_the_snapshot() {
    let (sim, home) = ireland(3);
    let place = Place::new();
    let lake = place.path("lake");
    let config = format!("[crawl]\nrate = 0\n[sink.lake.object_store]\n{}", directory(&place));
    let crawl = || Dynacrawl::crawl_of(&sim, &home, IRELAND).config(&config).args(["--output", "tables.jsonl"]);
    crawl().run().succeeded();
    assert_eq!((rows(&lake, "tables").len(), rows(&lake, "scopes").len()), (3, 1));
    assert_eq!(manifest(&lake)["is_complete"], true);

    // A run that is interrupted, or fails, leaves the snapshot of the last one alone.
    let before = files(&lake);
    let keep = config.replace("compression", "keep_runs = 1\ncompression");
    let (large, of_large) = ireland(400);
    let slow = keep.replace("rate = 0", "rate = 100");
    let running =
        Dynacrawl::crawl_of(&large, &of_large, IRELAND).config(&slow).args(["--output", "tables.jsonl"]).start();
    eventually("tables are described", || large.counts().requests(Operation::DescribeTable) > 30);
    running.signal("INT");
    let ended = running.end();
    assert!(ended.stderr.contains("interrupted"), "{}", ended.stderr);
    assert_eq!(files(&lake), before, "{}", ended.stderr);
    sim.add_fault(FaultRule::new(Effect::Deny));
    let denied = Dynacrawl::crawl_of(&sim, &home, IRELAND).config(&keep).args(["--output", "tables.jsonl"]).run();
    assert_eq!(denied.code(), 4, "{}", denied.stderr);
    assert_eq!(files(&lake), before);
}

#[test]
fn retention_does_not_delete_the_only_rows_of_other_targets() {
    let (sim, home) = two_regions();
    let place = Place::new();
    let (first, second) = (target("first", &[IRELAND]), target("second", &[VIRGINIA]));
    let crawl = |name: &str| {
        let config = format!(
            "[crawl]\nrate = 0\n[state]\npath = \"{}\"\n[sink.lake.object_store]\n{}keep_runs = 1\n{first}{second}",
            place.state().display(),
            directory(&place)
        );
        let crawl = Dynacrawl::crawl().config(&config).args(["--output", "tables.jsonl", "--target", name]);
        keyed(crawl, &sim, &home).run().succeeded();
    };
    for name in ["first", "second", "first", "second", "first"] {
        crawl(name);
    }
    let paths = files(&place.path("lake"));
    let scopes = paths.iter().filter(|path| path.starts_with("scopes/")).map(|path| place.path("lake").join(path));
    let mut regions: Vec<_> = scopes.flat_map(|path| rows_of(&path)).map(|row| row["region"].to_string()).collect();
    regions.sort();
    assert_eq!(regions, [format!("\"{IRELAND}\""), format!("\"{VIRGINIA}\"")], "{paths:?}");
}

#[test]
fn a_target_whose_account_is_unknown_keeps_its_last_known_rows() {
    let account = Account::new(HOME).region(IRELAND, Tables::new().generated(2));
    let other = Account::new("999988887777").region(IRELAND, Tables::new().generated(3));
    let (home, away) = (account.access("home"), other.access("away"));
    let sim = simulate(Estate::new([account, other]));
    let place = Place::new();
    let second = target("second", &[IRELAND]).replace("\"K\"", "\"K2\"").replace("\"S\"", "\"S2\"");
    let config = format!(
        "[crawl]\nrate = 0\n[state]\npath = \"{}\"\n[sink.lake.object_store]\n{}{}{second}",
        place.state().display(),
        directory(&place),
        target("first", &[IRELAND]),
    );
    let crawl = || {
        let crawl = Dynacrawl::crawl().config(&config).args(["--output", "tables.jsonl"]);
        keyed(crawl, &sim, &home).env("K2", &away.access_key_id).secret_env("S2", &away.secret_access_key).run()
    };
    crawl().succeeded();
    let lake = place.path("lake");
    assert_eq!(rows(&lake, "tables").len(), 5);
    sim.delete_key(&away.access_key_id).expect("there");
    let ended = crawl();
    assert_eq!(ended.code(), 3, "{}", ended.stderr);
    assert_eq!(rows(&lake, "tables").len(), 5, "{}", fs::read_to_string(lake.join("_manifest.json")).expect("read"));
    let manifest = manifest(&lake);
    let [scope] = &manifest["incomplete_scopes"].as_array().expect("scopes")[..] else { panic!("{manifest}") };
    assert_eq!((&scope["account_id"], &scope["target"]), (&"999988887777".into(), &"second".into()));
    assert_eq!(manifest["scope_count"], 2);
}

/// A replay writes the snapshot of the newest run again, with all scopes.
#[test]
fn a_replay_that_fails_leaves_the_snapshot_as_it_was() {
    let (sim, home) = two_regions();
    let place = Place::new();
    let config = format!(
        "[crawl]\nrate = 0\ndeliver_within = \"1s\"\n[state]\npath = \"{}\"\n[sink.lake.object_store]\n{}{}{}",
        place.state().display(),
        directory(&place),
        target("first", &[IRELAND]),
        target("second", &[VIRGINIA])
    );
    let crawl = |args: &[&str]| {
        let crawl = Dynacrawl::crawl().config(&config).args(["--output", "tables.jsonl"]).args(args);
        keyed(crawl, &sim, &home).run().succeeded();
    };
    let replay = || Dynacrawl::new("replay").config(&config).args(["--sink", "lake"]).run();
    crawl(&[]);
    crawl(&["--target", "first"]);
    let lake = place.path("lake");
    let before = manifest(&lake);
    assert_eq!(rows(&lake, "tables").len(), 2);
    fs::rename(lake.join("scopes"), place.path("away"))
        .and_then(|()| fs::write(lake.join("scopes"), ""))
        .expect("away");
    let failed = replay();
    assert_eq!(failed.code(), 5, "{}", failed.stderr);
    fs::remove_file(lake.join("scopes"))
        .and_then(|()| fs::rename(place.path("away"), lake.join("scopes")))
        .expect("back");
    assert_eq!(manifest(&lake), before);
    replay().succeeded();
    assert_eq!(rows(&lake, "tables").len(), 5);
    // Nothing of the other attempts is left.
    let own = format!("run_id={}", before["run_id"].as_str().expect("an id"));
    assert_eq!(files(&lake).iter().filter(|path| path.starts_with("tables/") && path.contains(&own)).count(), 1);
}

#[test]
fn a_kill_at_any_time_leaves_a_manifest_whose_files_are_there() {
    let (sim, home) = ireland(40);
    let place = Place::new();
    let lake = place.path("lake");
    for seed in 0..30u64 {
        let mut running = crawl(&place, &sim, &home, &directory(&place)).start();
        // From before the run ends to after the snapshot is written.
        std::thread::sleep(Duration::from_millis(60 + seed * 12));
        running.kill();
        if lake.join("_manifest.json").exists() {
            assert_eq!(rows(&lake, "tables").len(), 40, "seed {seed}");
        }
    }
    crawl(&place, &sim, &home, &directory(&place)).run().succeeded();
    assert_eq!(rows(&lake, "tables").len(), 40);
    assert_eq!(place.rows("outbox"), 0);
}

fn s3(server: &Server, more: &str) -> String {
    format!(
        "url = \"s3://lake/estates/dynamodb\"\ncompression = \"none\"\n{more}[sink.lake.object_store.s3]\nregion = \"us-east-1\"\n\
         endpoint = \"{}\"\naccess_key_id = {{ env = \"S3_KEY\" }}\nsecret_access_key = {{ env = \"S3_SECRET\" }}\n",
        server.url
    )
}

fn with_keys(command: Dynacrawl) -> Dynacrawl {
    command.env("S3_KEY", S3_KEYS.0).secret_env("S3_SECRET", S3_KEYS.1)
}

fn saved(server: &Server, place: &Place, times: u32) -> (Value, PathBuf) {
    let to = place.path(&format!("saved-{times}"));
    let objects = servers::bucket(server, "lake", false, Some(&to));
    (objects, to.join("estates/dynamodb"))
}

fn bucket_of(server: &Server, more: &str, encryption: Option<&str>) {
    let (sim, home) = ireland(4);
    let place = Place::new();
    let settings = s3(server, "keep_runs = 1\n") + more;
    let crawl = || with_keys(crawl(&place, &sim, &home, &settings));
    // SeaweedFS makes a bucket when it is written to.
    if server.kind == Kind::Moto {
        let ended = crawl().run();
        assert_eq!(ended.code(), 5, "{}", ended.stderr);
        assert!(ended.stderr.contains("NoSuchBucket"), "{}", ended.stderr);
    }
    servers::bucket(server, "lake", true, None);
    let config = format!("[sink.lake.object_store]\n{settings}");
    let check =
        with_keys(Dynacrawl::new("check").sim(&sim).keys(&home).args(["--region", IRELAND]).config(&config)).run();
    assert_eq!(check.code(), 0, "{}{}", check.stdout, check.stderr);
    assert_eq!(servers::bucket(server, "lake", false, None), serde_json::json!({}), "a check leaves nothing");
    for times in 0..2 {
        crawl().run().succeeded();
        let (objects, lake) = saved(server, &place, times);
        assert_eq!(rows(&lake, "tables").len(), 4);
        let objects = objects.as_object().expect("objects");
        assert_eq!(objects.len(), 4 + 2, "{objects:?}");
        for (key, object) in objects {
            assert!(key.starts_with("estates/dynamodb/"), "{key}");
            let kind = if key.ends_with(".json") { "application/json" } else { "application/x-ndjson" };
            assert_eq!(object["type"], kind, "{key}");
            assert_eq!(object["encryption"].as_str(), encryption, "{key}");
        }
    }
}

#[test]
fn a_bucket_of_seaweedfs_gets_snapshots() {
    bucket_of(&servers::seaweed(), "", None);
}

#[test]
fn a_bucket_of_moto_gets_snapshots_with_the_encryption_that_is_asked_for() {
    let kms = "encryption = \"kms\"\nkms_key = \"alias/lake\"\n";
    bucket_of(&servers::moto(), kms, Some("aws:kms"));
}

/// Crawls into a bucket for 30 seeds. In each, connections are cut, the process is killed at any moment, and
/// `disturb` may do something to the server. In the end, the last snapshot of each seed is whole.
fn whole_after_cuts_and_kills(mut server: Server, disturb: impl Fn(Server, &Cutter) -> Server) {
    servers::bucket(&server, "lake", true, None);
    let cutter = Cutter::start(server.port());
    let through = format!("http://127.0.0.1:{}", cutter.port);
    let mut expected = Vec::new();
    for seed in 0..30_u64 {
        let (sim, home) = ireland(15);
        let mut random = Rng::with_seed(seed);
        let place = Place::new();
        let settings = s3(&server, "").replace(&server.url, &through).replace("estates/", &format!("seed-{seed}/"));
        let crawl = || with_keys(crawl(&place, &sim, &home, &settings));
        let rounds = random.u64(1..=2);
        for round in 0..rounds {
            if round > 0 {
                sim.remove_table(HOME, IRELAND, &format!("table-{round:06}")).expect("a scope");
            }
            let cut = |random: &mut Rng| match random.bool() {
                true => Cut::Request(random.usize(0..20_000)),
                false => Cut::Answer(random.usize(0..1_500)),
            };
            cutter.cuts((0..random.usize(0..6)).map(|_| cut(&mut random)).collect::<Vec<_>>());
            let mut running = crawl().start();
            // From before the run ends to after the snapshot is written.
            std::thread::sleep(Duration::from_millis(random.u64(60..700)));
            if random.bool() {
                running.kill();
            }
            if round == 0 {
                server = disturb(server, &cutter);
            }
            eventually("it ends", || running.has_ended());
        }
        let mut left = 20;
        while crawl().run().code() != 0 {
            left -= 1;
            assert!(left > 0, "seed {seed}");
        }
        assert_eq!(place.rows("outbox"), 0, "seed {seed}");
        expected.push(15 + 1 - usize::try_from(rounds).expect("small"));
    }
    let saved = Place::new();
    servers::bucket(&server, "lake", false, Some(&saved.path("saved")));
    for (seed, expected) in expected.into_iter().enumerate() {
        let lake = saved.path(&format!("saved/seed-{seed}/dynamodb"));
        assert_eq!(rows(&lake, "tables").len(), expected, "seed {seed}");
    }
}

#[test]
fn cut_and_killed_at_any_moment_a_snapshot_in_moto_is_whole() {
    whole_after_cuts_and_kills(servers::moto(), |server, _| server);
}

/// SeaweedFS is killed, too, and started again with its data.
#[test]
fn killed_with_its_server_at_any_moment_a_snapshot_in_seaweedfs_is_whole() {
    let data = tempfile::tempdir().expect("a directory");
    whole_after_cuts_and_kills(servers::seaweed_in(data.path()), |server, cutter| {
        drop(server);
        let again = servers::seaweed_in(data.path());
        cutter.forwards_to(again.port());
        again
    });
}

#[test]
fn a_store_that_does_not_answer_or_refuses_the_keys_is_an_error_without_the_keys() {
    let (sim, home) = ireland(1);
    let place = Place::new();
    let server = servers::seaweed();
    servers::bucket(&server, "lake", true, None);
    let settings = s3(&server, "");
    let wrong =
        crawl(&place, &sim, &home, &settings).env("S3_KEY", S3_KEYS.0).secret_env("S3_SECRET", "wrong-key").run();
    assert_eq!(wrong.code(), 5, "{}", wrong.stderr);
    assert!(wrong.stderr.contains("SignatureDoesNotMatch"), "{}", wrong.stderr);
    let missing = settings.replace(&server.url, &closed_port());
    let closed = with_keys(crawl(&place, &sim, &home, &missing)).run();
    assert_eq!(closed.code(), 5, "{}", closed.stderr);
    assert!(closed.stderr.to_lowercase().contains("refused"), "{}", closed.stderr);
}
