//! `dynacrawl replay`: a sink gets again what the state knows.

use std::fs;

use serde_json::Value;

use crate::catalog_servers::{CatalogServer, TOKEN as CATALOG_TOKEN};
use crate::command::{Dynacrawl, Ended};
use crate::daemon::{Place, TOKEN};
use crate::support::{HOME, IRELAND, eventually, ireland};

/// The section of a catalog that keeps what it gets.
fn hub(server: &CatalogServer) -> String {
    let url = server.receiver.base();
    format!("[sink.hub.datahub]\nurl = \"{url}\"\ntoken = {{ env = \"CATALOG_TOKEN\" }}\n")
}

fn replay(config: &str, args: &[&str]) -> Ended {
    let replay = Dynacrawl::new("replay").config(config).args(args);
    replay.secret_env("CATALOG_TOKEN", CATALOG_TOKEN).secret_env("TOKEN", TOKEN).run()
}

#[test]
fn a_catalog_and_an_object_store_begin_anew() {
    let (sim, home) = ireland(60);
    let place = Place::new();
    let server = CatalogServer::datahub("v1.7.0");
    let lake = place.path("lake");
    let config = format!(
        "[crawl]\nrate = 0\n[state]\npath = \"{}\"\n{}[sink.lake.object_store]\nurl = \"file://{}\"\n",
        place.state().display(),
        hub(&server),
        lake.display()
    );
    let crawl = || {
        let crawl = Dynacrawl::crawl_of(&sim, &home, IRELAND).config(&config).args(["--output", "tables.jsonl"]);
        let ended = crawl.secret_env("CATALOG_TOKEN", CATALOG_TOKEN).run();
        assert_eq!(ended.code(), 0, "{}", ended.stderr);
    };
    crawl();
    let all = server.entities().len();
    // Someone has deleted everything for good.
    server.entities().clear();
    fs::remove_dir_all(&lake).expect("removed");
    crawl();
    assert_eq!(server.entities().len(), 0, "nothing has changed");
    let ended = replay(&config, &["--sink", "hub"]);
    assert_eq!((ended.code(), server.entities().len()), (0, all), "{}", ended.stderr);
    fs::remove_dir_all(&lake).expect("removed");
    let ended = replay(&config, &["--sink", "lake"]);
    assert_eq!(ended.code(), 0, "{}", ended.stderr);
    assert!(lake.join("_manifest.json").exists());
    // Without a server it fails, and the next run continues.
    server.entities().clear();
    let gone = config.replace(&server.receiver.base(), &crate::support::closed_port());
    let gone = gone.replace("rate = 0", "rate = 0\ndeliver_within = \"1s\"");
    let ended = replay(&gone, &["--sink", "hub"]);
    assert!(ended.code() == 5 && ended.stderr.contains("sink.hub"), "{}", ended.stderr);
    crawl();
    assert_eq!(server.entities().len(), all);
}

#[test]
fn a_sink_of_events_gets_tables_and_those_that_were_removed() {
    let (sim, home) = ireland(4);
    let place = Place::new();
    let file = place.path("events.jsonl");
    let config = format!(
        "[crawl]\nrate = 0\n[state]\npath = \"{}\"\n[sink.audit.file]\npath = \"{}\"\n",
        place.state().display(),
        file.display()
    );
    let crawl = || {
        let crawl = Dynacrawl::crawl_of(&sim, &home, IRELAND).config(&config).args(["--output", "tables.jsonl"]);
        assert_eq!(crawl.run().code(), 0);
    };
    crawl();
    place.write("UPDATE tables SET changed_at = 0");
    sim.remove_table(HOME, IRELAND, "table-000001").expect("a scope");
    let toggled =
        |table: &mut Value| table["DeletionProtectionEnabled"] = (table["DeletionProtectionEnabled"] != true).into();
    sim.update_table(HOME, IRELAND, "table-000002", toggled).expect("a scope");
    crawl();
    let kinds = |args: &[&str]| {
        fs::remove_file(&file).expect("removed");
        let ended = replay(&config, &[&["--sink", "audit"], args].concat());
        assert_eq!(ended.code(), 0, "{}", ended.stderr);
        let text = fs::read_to_string(&file).expect("events");
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        let of = |line: Value| {
            let name = line["table_name"].as_str().or(line["table"]["name"].as_str()).expect("a name");
            format!("{} {name}", line["type"].as_str().expect("a type"))
        };
        lines.map(of).collect::<Vec<_>>()
    };
    let all = ["table table-000000", "table table-000002", "table table-000003", "table_removed table-000001"];
    assert_eq!(kinds(&[]), all);
    assert_eq!(kinds(&["--since", "1h"]), ["table table-000002", "table_removed table-000001"]);
    // A sink that is away: the next run continues.
    fs::remove_file(&file).expect("removed");
    fs::create_dir(&file).expect("a directory");
    let short = config.replace("rate = 0", "rate = 0\ndeliver_within = \"1s\"");
    let ended = replay(&short, &["--sink", "audit", "--since", "1h"]);
    assert!(ended.code() == 5 && ended.stderr.contains("the next run or replay continues"), "{}", ended.stderr);
    fs::remove_dir(&file).expect("removed");
    crawl();
    let text = fs::read_to_string(&file).expect("events");
    let names = text.lines().filter_map(|line| {
        let line: Value = serde_json::from_str(line).expect("JSON");
        line["table_name"].as_str().or(line["table"]["name"].as_str()).map(str::to_owned)
    });
    assert_eq!(names.collect::<Vec<_>>(), ["table-000002", "table-000001"]);
    let wrong = replay(&config, &["--sink", "audit", "--since", "yesterday"]);
    assert!(wrong.code() == 2 && wrong.stderr.contains("--since: 'yesterday' is not a time"), "{}", wrong.stderr);
    let unknown = replay(&config, &["--sink", "other"]);
    assert!(unknown.code() == 2 && unknown.stderr.contains("there is no sink 'other'"), "{}", unknown.stderr);
}

#[test]
fn a_daemon_lets_sinks_begin_anew() {
    let (sim, home) = ireland(5);
    let mut place = Place::new();
    let server = CatalogServer::datahub("v1.7.0");
    let file = place.path("events.jsonl");
    place.rest += &(hub(&server) + &format!("[sink.audit.file]\npath = \"{}\"\n", file.display()));
    let serve = place.serve(&sim, &home).secret_env("CATALOG_TOKEN", CATALOG_TOKEN);
    let daemon = crate::daemon::Daemon::of(serve);
    daemon.crawl("{}");
    eventually("the tables arrive", || server.entities().len() == 5 + 2);
    server.entities().clear();
    let refused = daemon.ask("POST", "/api/v1/sinks/hub/replay", &[], "");
    assert_eq!(refused.status, 401);
    let bearer = format!("Bearer {TOKEN}");
    let unknown = daemon.ask("POST", "/api/v1/sinks/other/replay", &[("Authorization", &bearer)], "");
    assert!(unknown.status == 404 && unknown.body.contains("there are audit, hub"), "{}", unknown.body);
    let config = place.config().replace("127.0.0.1:0", &daemon.address().to_string());
    let ended = replay(&config, &["--sink", "hub"]);
    assert_eq!(ended.code(), 0, "{}", ended.stderr);
    assert!(ended.stderr.contains("the daemon sends everything again"), "{}", ended.stderr);
    eventually("the tables are back", || server.entities().len() == 5 + 2);
    let hub = || {
        let sinks = daemon.ask("GET", "/api/v1/sinks", &[("Authorization", &bearer)], "");
        serde_json::from_str::<Value>(&sinks.body).expect("JSON")["sinks"][1].clone()
    };
    assert_eq!((&hub()["name"], &hub()["failure"]), (&"hub".into(), &Value::Null));
    eventually("the state knows it", || hub()["is_behind"] == false);
    // A sink of events, too.
    fs::write(&file, "").expect("emptied");
    let again = |body: &str| daemon.ask("POST", "/api/v1/sinks/audit/replay", &[("Authorization", &bearer)], body);
    let wrong = again("{\"since\":\"yesterday\"}");
    assert!(wrong.status == 400 && wrong.body.contains("since: 'yesterday' is not a time"), "{}", wrong.body);
    place.write("UPDATE tables SET changed_at = 0 WHERE name <> 'table-000003'");
    let ended = replay(&config, &["--sink", "audit", "--since", "1h"]);
    assert!(ended.code() == 0 && ended.stderr.contains("the daemon sends what is newer than"), "{}", ended.stderr);
    eventually("one table is in the file", || {
        fs::read_to_string(&file).is_ok_and(|text| text.ends_with('\n') && text.lines().count() == 1)
    });
    assert!(fs::read_to_string(&file).is_ok_and(|text| text.contains("table-000003")));
    fs::write(&file, "").expect("emptied");
    assert_eq!(replay(&config, &["--sink", "audit"]).code(), 0);
    eventually("the tables are in the file", || fs::read_to_string(&file).is_ok_and(|text| text.lines().count() == 5));
    daemon.stop();
}
