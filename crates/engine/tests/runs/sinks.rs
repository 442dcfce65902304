//! What sinks get, and when.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use dynacrawl_engine::Owed;
use dynacrawl_engine::settings::{ConfiguredSink, EventFilter, SinkChoice};
use dynacrawl_model::{RunOutcome, Scope, Timestamp};
use dynacrawl_sim::{Effect, FaultRule, Operation};
use dynacrawl_sinks::{Backoff, CloudEvents, FileSettings, HttpSettings, SinkKind, SinkSettings, Start};
use dynacrawl_state::{OutboxEvent, Reader, ScopeKey, State};
use dynacrawl_testing::inside::{HUB, plan_of};
use dynacrawl_testing::sink_contract::{Candidate, holds, rows};
use dynacrawl_testing::world::{REGION, World, table};
use serde_json::Value;

fn file(directory: &Path) -> SinkKind {
    SinkKind::File(FileSettings { path: directory.join("events.jsonl"), max_bytes: 3_000, daily: false })
}

/// The events of a file, and of the files that were rotated before it.
fn received(directory: &Path) -> Vec<(String, Value)> {
    let mut files: Vec<_> =
        std::fs::read_dir(directory).expect("read").map(|entry| entry.expect("one").path()).collect();
    files.retain(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("events.jsonl")));
    // A rotated file has a longer name, with a number at its end if several have the same second.
    let number = |path: &Path| {
        let name = path.display().to_string();
        let (time, number) = name.rsplit_once("Z-").map_or((name.as_str(), "0"), |(time, number)| (time, number));
        (time.trim_end_matches('Z').to_owned(), number.parse::<u32>().unwrap_or_default())
    };
    let current = directory.join("events.jsonl");
    files.retain(|path| *path != current);
    files.sort_by_key(|path| number(path));
    files.push(current);
    let texts = files.iter().filter_map(|path| std::fs::read_to_string(path).ok());
    let lines: Vec<String> = texts.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()).collect();
    let event = |line: &String| {
        let mut record: Value = serde_json::from_str(line).expect("JSON");
        let members = record.as_object_mut().expect("an object");
        let id = members.remove("event_id").expect("an id");
        let with_table = members.remove("table_before").is_some();
        assert_eq!(with_table, members["type"] == "table_removed", "{line}");
        (id.as_str().expect("text").to_owned(), record)
    };
    lines.iter().map(event).collect()
}

#[tokio::test(start_paused = true)]
async fn a_file_keeps_the_contract_of_sinks() {
    holds(&Candidate { kind: file, in_real_time: false, received }).await;
}

/// A server that appends the bodies of all requests to `events.jsonl` in a directory. It runs until
/// the tests end.
fn receiver(directory: &Path) -> u16 {
    static PORTS: Mutex<Vec<(PathBuf, u16)>> = Mutex::new(Vec::new());
    let mut ports = PORTS.lock().expect("no panic");
    if let Some((_, port)) = ports.iter().find(|(of, _)| of == directory) {
        return *port;
    }
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = listener.local_addr().expect("an address").port();
    ports.push((directory.to_owned(), port));
    let file = directory.join("events.jsonl");
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let file = file.clone();
            std::thread::spawn(move || while receive(&stream, &file).is_some() {});
        }
    });
    port
}

/// Receives one request; `None` at the end of the connection.
fn receive(mut stream: &TcpStream, file: &Path) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let head: Vec<_> = reader.by_ref().lines().map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
    let length = head.iter().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; if head.is_empty() { return None } else { length.unwrap_or(0) }];
    reader.read_exact(&mut body).ok()?;
    let mut file = File::options().append(true).create(true).open(file).ok()?;
    file.write_all(&body).ok()?;
    stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").ok()
}

fn http(directory: &Path) -> SinkKind {
    SinkKind::Http(HttpSettings {
        url: format!("http://127.0.0.1:{}/events", receiver(directory)),
        single: false,
        gzip: false,
        headers: Vec::new(),
        auth: None,
        signing_key: None,
        cloud_events: CloudEvents::Off,
        timeout: Duration::from_secs(30),
        ca_bundle: None,
    })
}

#[tokio::test(start_paused = true)]
async fn a_url_keeps_the_contract_of_sinks() {
    holds(&Candidate { kind: http, in_real_time: true, received }).await;
}

fn sink(world: &World, name: &str) -> String {
    format!("[sink.{name}.file]\npath = \"{}\"\n", world.path(name))
}

fn kind(event: &OutboxEvent) -> &'static str {
    event.record.as_ref().expect("it can be read").kind().as_str()
}

fn owed(world: &World, sink: &str) -> Vec<OutboxEvent> {
    let state = State::open(Path::new(&world.path("state.db"))).expect("a state");
    state.undelivered(sink, 10_000).expect("read")
}

#[tokio::test(start_paused = true)]
async fn an_interrupted_or_failed_run_delivers_nothing() {
    let world = World::new(300);
    let settings = sink(&world, "audit");
    world.crawl_until_killed(&settings, Duration::from_millis(900)).await;
    assert!(rows(&world.path("state.db"), "staged") > 0);
    assert_eq!(owed(&world, "audit"), [], "nothing before it settles");
    world.crawl_with(&settings).await;
    let events = owed(&world, "audit");
    assert_eq!(events.len(), 302, "all of it, once");
    assert_eq!(kind(events.last().expect("one")), "run_completed");
    let denied = FaultRule::new(Effect::Deny).operation(Operation::ListTables);
    world.simulator.add_fault(denied);
    assert_eq!(world.crawl_to_nothing(&settings).await.outcome, RunOutcome::Failed);
    assert_eq!(owed(&world, "audit").len(), 302);
    assert_eq!(rows(&world.path("state.db"), "staged_ends"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_new_sink_begins_with_the_next_run_and_a_removed_one_ends() {
    let world = World::new(3);
    world.crawl().await;
    assert_eq!(rows(&world.path("state.db"), "outbox"), 0, "there is no sink");
    world.crawl_with(&sink(&world, "first")).await;
    assert_eq!(owed(&world, "first").len(), 2, "nothing changed");
    world.remove(0..1);
    world.crawl_with(&(sink(&world, "first") + &sink(&world, "second"))).await;
    assert_eq!((owed(&world, "first").len(), owed(&world, "second").len()), (5, 3));
    let removed = &owed(&world, "second")[0];
    let was = removed.table.as_ref().map(|record| serde_json::to_value(record).expect("JSON")["table"]["name"].clone());
    assert_eq!((kind(removed), was), ("table_removed", Some(table(0).into())));
    // What only the first sink has not accepted is deleted with it.
    world.crawl_with(&sink(&world, "second")).await;
    assert_eq!(rows(&world.path("state.db"), "outbox"), 5);
    world.crawl().await;
    assert_eq!((rows(&world.path("state.db"), "outbox"), rows(&world.path("state.db"), "sinks")), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_catalog_is_owed_the_newest_change_of_each_table() {
    let world = World::new(3);
    let settings = sink(&world, "audit") + "[sink.hub.datahub]\nurl = \"http://localhost:8080\"\n";
    world.crawl_with(&settings).await;
    let stored = rusqlite::Connection::open(world.path("state.db")).expect("a state");
    let number = |sql: &str| stored.query_row(sql, [], |row| row.get::<_, i64>(0)).expect("a number");
    // An event of another target replaces none: a catalog may get only some targets.
    stored
        .execute("UPDATE outbox SET target = 'other' WHERE about LIKE ?", [format!("%/{}", table(2))])
        .expect("written");
    let first = number("SELECT MIN(at) FROM outbox");
    world.remove(1..2);
    for protected in [false, true] {
        for changed in [0, 2] {
            world.edit(&table(changed), |table| table["DeletionProtectionEnabled"] = protected.into());
        }
        world.crawl_with(&settings).await;
    }
    let changes = |sink: &str| {
        let named = |event: &OutboxEvent| {
            let record = serde_json::to_value(event.record.as_ref().expect("a record")).expect("JSON");
            let name = record["table_name"].as_str()?.to_owned();
            Some(format!("{} {name}", kind(event)))
        };
        owed(&world, sink).iter().filter_map(named).collect::<Vec<_>>()
    };
    let of = |kind: &str, number: u64| format!("{kind} {}", table(number));
    let changed = [0, 2].map(|number| of("table_changed", number));
    let newest = [&[of("table_added", 2), of("table_removed", 1)], &changed[..]].concat();
    assert_eq!(changes("hub"), newest);
    let all = [0, 1, 2].map(|number| of("table_added", number));
    assert_eq!(changes("audit"), [&all[..], &changed, &[of("table_removed", 1)], &changed].concat());
    let lines = Reader::open(Path::new(&world.path("state.db"))).and_then(|reader| reader.sink_lines()).expect("read");
    let counts: Vec<_> = lines.iter().map(|line| (&*line.name, line.owed)).collect();
    let expected = ["audit", "hub"].map(|name| (name, owed(&world, name).len() as u64));
    assert_eq!(counts, expected, "what a newer event of its table replaces is not counted");
    assert!(expected[1].1 < expected[0].1);
    // Once the other sink has taken an event, the state keeps it no longer than until the next one of its table.
    let last = owed(&world, "audit").last().expect("an event").cursor;
    State::open(Path::new(&world.path("state.db")))
        .and_then(|mut state| state.delivered("audit", last, Timestamp::now(), 0))
        .expect("written");
    world.edit(&table(0), |table| table["DeletionProtectionEnabled"] = false.into());
    world.crawl_with(&settings).await;
    let about = format!("FROM outbox WHERE about LIKE '%/{}'", table(0));
    assert_eq!(number(&format!("SELECT count(*) {about}")), 1);
    assert_eq!(
        number(&format!("SELECT waiting_since {about}")),
        first,
        "that a newer change came does not hide how long"
    );
    let last = [of("table_added", 2), of("table_removed", 1), of("table_changed", 2), of("table_changed", 0)];
    assert_eq!((changes("hub"), changes("audit")), (last.to_vec(), vec![of("table_changed", 0)]));
}

/// Runs that change nothing are no sign that a catalog is there.
#[tokio::test(start_paused = true)]
async fn a_catalog_that_is_away_has_no_success() {
    let world = World::new(3);
    let settings = "[sink.hub.datahub]\nurl = \"http://127.0.0.1:1\"\n";
    world.crawl_with(settings).await;
    let stored = rusqlite::Connection::open(world.path("state.db")).expect("a state");
    stored.execute_batch("UPDATE sinks SET is_synced = 1; DELETE FROM outbox").expect("written");
    world.crawl_with(settings).await;
    assert_eq!(owed(&world, "hub").len(), 2);
    let config = world.config(settings);
    let state = State::open(Path::new(&world.path("state.db"))).expect("a state");
    stored.execute("UPDATE sinks SET statistics_at = ?", [Timestamp::now().as_millis()]).expect("written");
    let state = std::sync::Arc::new(Mutex::new(state));
    assert_eq!(dynacrawl_engine::deliver_in_time(&config.run, &SinkChoice::All, &state).await.expect("read"), []);
    let line = state.lock().expect("no panic").reader().and_then(|reader| reader.sink_lines()).expect("read").remove(0);
    assert_eq!((line.owed, line.delivered_at), (0, None));
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_does_not_accept_events_in_time_is_behind() {
    let world = World::new(3);
    world.crawl_with(&sink(&world, "audit")).await;
    let path = world.path("state.db");
    let state = rusqlite::Connection::open(&path).expect("a state");
    // An event that looks old because the clock was behind, after a new one.
    let behind = "UPDATE outbox SET at = 0 WHERE seq = (SELECT MAX(seq) FROM outbox)";
    state.execute(behind, []).expect("written");
    world.crawl_with(&sink(&world, "audit")).await;
    assert_eq!(owed(&world, "audit").len(), 7, "nothing is lost");
    state.execute("DELETE FROM outbox WHERE seq > 5", []).expect("written");
    state.execute("UPDATE outbox SET at = at - 31 * 24 * 3600000", []).expect("written");
    // A clock that is ahead once makes no event old.
    state.execute("UPDATE runs SET started_at = started_at - 40 * 24 * 3600000", []).expect("written");
    world.crawl_with(&sink(&world, "audit")).await;
    assert_eq!(owed(&world, "audit").len(), 7);
    state.execute("DELETE FROM outbox WHERE seq > 5", []).expect("written");
    world.crawl_with(&sink(&world, "audit")).await;
    assert_eq!(owed(&world, "audit").len(), 2, "those of the last run");
    let lost = "SELECT lost, is_synced FROM sinks";
    let lost: (i64, bool) = state.query_row(lost, [], |row| Ok((row.get(0)?, row.get(1)?))).expect("a row");
    assert_eq!(lost, (5, false));
}

#[tokio::test(start_paused = true)]
async fn without_a_state_tables_and_ends_are_delivered_when_written() {
    let world = World::new(30);
    let directory = world.directory.path();
    let mut config = world.config("[changes]\nemit = \"snapshot\"\n");
    config.run.state = None;
    let sink = SinkSettings {
        name: "audit".to_owned(),
        kind: file(directory),
        batch: 7,
        backoff: Backoff::default(),
        dead_letters: None,
        start: Start::Now,
    };
    config.run.sinks = vec![ConfiguredSink { sink, filter: EventFilter::default() }];
    let crawl = world.crawl_plan(plan_of(&world.simulator, config.clone())).await;
    let wanted = ["table", "scope_completed", "run_completed"];
    let wanted: Vec<_> =
        crawl.records.iter().filter(|record| wanted.contains(&record["type"].as_str().expect("text"))).collect();
    let got = received(directory);
    assert_eq!(got.iter().map(|(_, record)| record).collect::<Vec<_>>(), wanted);

    // A broken destination fails the run.
    config.run.crawl.deliver_within = Duration::from_secs(60);
    let SinkKind::File(settings) = &mut config.run.sinks[0].sink.kind else { panic!("a file") };
    settings.path = directory.join("missing/events.jsonl");
    let plan = plan_of(&world.simulator, config);
    let start = dynacrawl_engine::PreparedRun::new(&plan, false).expect("a start");
    let (stop, progress) = Default::default();
    let (_, written) = dynacrawl_engine::crawl_to_output(&plan, start, &stop, &progress).await;
    let error = written.expect_err("nothing was delivered");
    let cause = std::error::Error::source(&error).expect("a cause").to_string();
    assert!(cause.contains("the sink 'audit' has not taken everything") && cause.contains("missing"), "{cause}");
}

#[tokio::test(start_paused = true)]
async fn without_a_state_a_slow_sink_slows_the_crawl() {
    let world = World::new(3_000);
    let directory = world.path("later");
    let mut config = world.config("rate = 0\ndeliver_within = \"1h\"\n[changes]\nemit = \"snapshot\"\n");
    config.run.state = None;
    let path = Path::new(&directory).join("events.jsonl");
    let sink = SinkSettings {
        name: "audit".to_owned(),
        kind: SinkKind::File(FileSettings { path, max_bytes: 1 << 30, daily: false }),
        batch: 100,
        backoff: Backoff::default(),
        dead_letters: None,
        start: Start::Now,
    };
    config.run.sinks = vec![ConfiguredSink { sink, filter: EventFilter::default() }];
    let plan = plan_of(&world.simulator, config);
    let start = dynacrawl_engine::PreparedRun::new(&plan, false).expect("a start");
    let (stop, progress) = Default::default();
    let mut crawl = std::pin::pin!(dynacrawl_engine::crawl_to_output(&plan, start, &stop, &progress));
    let mut held_up = Vec::new();
    for minutes in [1, 20] {
        let ended = tokio::time::timeout(Duration::from_secs(minutes * 60), &mut crawl).await;
        assert!(ended.is_err(), "the sink takes nothing");
        held_up.push((progress.now().described, world.simulator.counts().requests(Operation::DescribeTable)));
    }
    let [(described, requests), later] = held_up[..] else { panic!("two") };
    assert_eq!(later, (described, requests), "the crawl waits");
    assert!(described >= 100 && requests < 2_000, "{described} {requests}");
    std::fs::create_dir(&directory).expect("created");
    let (report, written) = crawl.await;
    written.expect("written");
    assert_eq!((report.outcome, report.counts.described), (RunOutcome::Complete, 3_000));
    assert_eq!(received(Path::new(&directory)).len(), 3_000 + 2);
}

#[tokio::test(start_paused = true)]
async fn statistics_are_kept_apart_and_written_only_if_they_differ() {
    let world = World::new(5);
    let path = world.path("state.db");
    world.crawl().await;
    assert_eq!(rows(&path, "table_stats"), 5);
    let state = rusqlite::Connection::open(&path).expect("a state");
    let mark = "CREATE TABLE written (n); CREATE TRIGGER w AFTER INSERT ON table_stats BEGIN INSERT INTO written VALUES (1); END";
    state.execute_batch(mark).expect("written");
    assert_eq!((world.crawl().await.changes(), rows(&path, "written")), (0, 0));
    world.edit(&table(2), |table| table["ItemCount"] = 12_345.into());
    assert_eq!((world.crawl().await.changes(), rows(&path, "written")), (0, 1), "no change, and one row");
    let count = "SELECT item_count FROM table_stats WHERE name = ?";
    let count: i64 = state.query_row(count, [table(2)], |row| row.get(0)).expect("a number");
    assert_eq!((count, rows(&path, "changes")), (12_345, 5));
    // An index that was seen while it was created does not stay so.
    let index = |status: &str, items: u64| {
        let (status, name) = (status.to_owned(), table(4));
        world.edit(&name, move |table| {
            let key = table["KeySchema"].clone();
            let projection = serde_json::json!({ "ProjectionType": "ALL" });
            table["GlobalSecondaryIndexes"] = serde_json::json!([{
                "IndexName": "again", "IndexStatus": status, "ItemCount": items, "KeySchema": key, "Projection": projection,
            }]);
        });
    };
    index("CREATING", 0);
    assert_eq!(world.crawl().await.changes(), 1);
    index("ACTIVE", 7);
    assert_eq!((world.crawl().await.changes(), rows(&path, "written")), (0, 3));
    let scope =
        Scope { partition: "aws".into(), account_id: HUB.parse().ok(), region: REGION.parse().expect("a Region") };
    let reader = State::open(Path::new(&path)).and_then(|state| state.reader()).expect("a state");
    let now = reader.table_now(&ScopeKey::of(&scope).expect("an account"), &table(4)).expect("read").expect("there").1;
    let record = now.read().expect("a record");
    let found = &record.table.indexes.as_ref().expect("indexes")[0];
    assert_eq!((found.status.as_deref(), found.item_count), (Some("ACTIVE"), Some(7)));
    assert_eq!((world.crawl().await.changes(), rows(&path, "written")), (0, 3));
}

#[tokio::test(start_paused = true)]
async fn a_crawl_delivers_pending_events_within_its_time() {
    let world = World::new(5);
    let settings = sink(&world, "audit");
    world.crawl_with(&settings).await;
    let config = world.config(&settings);
    let state = State::open(Path::new(&world.path("state.db"))).expect("a state");
    let state = std::sync::Arc::new(Mutex::new(state));
    let owed = dynacrawl_engine::deliver_in_time(&config.run, &SinkChoice::All, &state).await.expect("read");
    assert_eq!(owed, []);
    let text = std::fs::read_to_string(world.path("audit")).expect("events");
    assert_eq!(text.lines().count(), 7);
    drop(state);
    // A destination that is unavailable is owed everything.
    std::fs::remove_file(world.path("audit")).and_then(|()| std::fs::create_dir(world.path("audit"))).expect("away");
    world.crawl_with(&settings).await;
    let state = State::open(Path::new(&world.path("state.db"))).expect("a state");
    let state = std::sync::Arc::new(Mutex::new(state));
    let owed = dynacrawl_engine::deliver_in_time(&config.run, &SinkChoice::All, &state).await.expect("read");
    assert_eq!(owed, [("audit".to_owned(), Owed::Events(2))]);
}

#[tokio::test(start_paused = true)]
async fn an_event_that_cannot_be_read_does_not_hold_up_others() {
    let world = World::new(5);
    let settings = sink(&world, "audit");
    world.crawl_with(&settings).await;
    let broken = "UPDATE outbox SET record = '[]' WHERE seq <= 2";
    let path = world.path("state.db");
    rusqlite::Connection::open(&path).and_then(|state| state.execute(broken, [])).expect("written");
    let config = world.config(&settings);
    let state = State::open(Path::new(&path)).expect("a state");
    let state = std::sync::Arc::new(Mutex::new(state));
    assert_eq!(dynacrawl_engine::deliver_in_time(&config.run, &SinkChoice::All, &state).await.expect("read"), []);
    let text = std::fs::read_to_string(world.path("audit")).expect("events");
    assert_eq!(text.lines().count(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_cannot_begin_leaves_the_sinks_as_they_are() {
    let world = World::new(5);
    world.crawl_with(&sink(&world, "audit")).await;
    let mut config = world.config("");
    let elsewhere = "/nonexistent/out.jsonl";
    config.run.crawl.output = dynacrawl_engine::settings::Destination::parse(elsewhere).expect("a file");
    let plan = plan_of(&world.simulator, config);
    dynacrawl_engine::PreparedRun::new(&plan, false).expect_err("the output cannot be opened");
    assert_eq!(owed(&world, "audit").len(), 7);
}
