//! The sinks of catalogs: tables appear, change and disappear as in AWS, and never because of a failure.

use std::collections::BTreeMap;
use std::time::Duration;

use dynacrawl_sim::{Account, DemoAccount, Denial, Effect, Estate, FaultRule, Operation, Simulator, Tables, fixtures};
use serde_json::{Value, json};

use crate::catalog_servers::{CatalogServer, TOKEN};
use crate::command::{Dynacrawl, Ended};
use crate::daemon::{Place, keyed, target};
use crate::fronts::Front;
use crate::receiver::Reaction;
use crate::support::{HOME, IRELAND, VIRGINIA, ireland, simulate};

/// A catalog, and a place with a state.
struct Scene {
    server: CatalogServer,
    kind: &'static str,
    place: Place,
    /// Lines of the sink's section, and of its kind's.
    sink: String,
    more: String,
    /// The connections of Atlan.
    connections: String,
}

impl Scene {
    fn of(kind: &'static str, server: CatalogServer) -> Self {
        Self { server, kind, place: Place::new(), sink: String::new(), more: String::new(), connections: String::new() }
    }

    /// Atlan, with connections for these Regions.
    fn atlan(regions: &[&str]) -> Self {
        let connections = regions
            .iter()
            .zip(1..)
            .map(|(region, number)| format!("connections.\"{HOME}/{region}\" = \"default/dynamodb/{number}\"\n"));
        Self { connections: connections.collect(), ..Self::of("atlan", CatalogServer::atlan()) }
    }

    /// One for each API.
    fn all() -> [Self; 4] {
        [
            Self::of("datahub", CatalogServer::datahub("v1.7.0")),
            Self::of("datahub", CatalogServer::datahub("v0.15.0")),
            Self::of("openmetadata", CatalogServer::openmetadata(true)),
            Self::atlan(&[IRELAND]),
        ]
    }

    fn section(&self) -> String {
        format!(
            "[sink.hub]\nbackoff = \"10ms\"\nmax_backoff = \"50ms\"\n{}[sink.hub.{}]\nurl = \"{}\"\n\
             token = {{ env = \"CATALOG_TOKEN\" }}\n{}{}",
            self.sink,
            self.kind,
            self.server.receiver.base(),
            self.connections,
            self.more
        )
    }

    fn crawl(&self, sim: &Simulator, home: &DemoAccount, regions: &str) -> Dynacrawl {
        self.crawl_within(sim, home, regions, "20s")
    }

    fn crawl_within(&self, sim: &Simulator, home: &DemoAccount, regions: &str, within: &str) -> Dynacrawl {
        let config = format!(
            "[crawl]\nrate = 0\ndeliver_within = \"{within}\"\n[changes]\nfail_safe_from = 1000\n[state]\npath = \"{}\"\n{}",
            self.place.state().display(),
            self.section()
        );
        Dynacrawl::crawl_of(sim, home, regions)
            .config(&config)
            .args(["--output", "tables.jsonl"])
            .secret_env("CATALOG_TOKEN", TOKEN)
    }

    fn run(&self, sim: &Simulator, home: &DemoAccount, code: i32) -> Ended {
        let ended = self.crawl(sim, home, IRELAND).run();
        assert_eq!(ended.code(), code, "{}: {}", self.kind, ended.stderr);
        ended
    }

    /// Crawls three tables of one Region and the table `other` of a second one.
    fn two_regions(&self) -> (Simulator, DemoAccount) {
        let account = Account::new(HOME)
            .region(IRELAND, Tables::new().generated(3))
            .region(VIRGINIA, Tables::new().table("other", &fixtures::small_table("other", HOME, VIRGINIA)));
        let home = account.access("home");
        let sim = simulate(Estate::new([account]));
        let both = self.crawl(&sim, &home, &format!("{IRELAND},{VIRGINIA}")).run();
        assert_eq!(both.code(), 0, "{}", both.stderr);
        (sim, home)
    }

    /// Crawls without the second Region, which removes its table.
    fn retires_one(&self, sim: &Simulator, home: &DemoAccount) {
        let one = self.crawl(sim, home, IRELAND).args(["--accept-retirements", &format!("{HOME}/{VIRGINIA}")]).run();
        assert_eq!(one.code(), 0, "{}", one.stderr);
        let mut expected = all_there(3);
        expected.insert("other".to_owned(), false);
        assert_eq!(self.tables(), expected, "{}", self.kind);
    }

    /// The tables in the catalog by their last name, and whether each is there or removed.
    fn tables(&self) -> BTreeMap<String, bool> {
        let entities = self.server.entities();
        let table = |(name, entity): (&String, &serde_json::Map<String, Value>)| match self.kind {
            "datahub" => {
                let of = name.strip_prefix("urn:li:dataset:(urn:li:dataPlatform:dynamodb,")?.strip_suffix(",PROD)")?;
                let (_, table) = of
                    .split_once(&format!("{HOME}.{IRELAND}."))
                    .or_else(|| of.split_once(&format!("{HOME}.{VIRGINIA}.")))?;
                Some((table.to_owned(), entity["status"]["removed"] == false))
            }
            "atlan" => {
                let is_table = entity["typeName"] == "DynamoDBTable";
                is_table.then(|| (name.rsplit('/').next().unwrap_or_default().to_owned(), entity["status"] == "ACTIVE"))
            }
            _ => {
                entity.get("databaseSchema")?;
                Some((entity["name"].as_str()?.to_owned(), entity["deleted"] == false))
            }
        };
        entities.iter().filter_map(table).collect()
    }

    /// The entity of a table.
    fn entity(&self, table: &str) -> Value {
        let entities = self.server.entities();
        let name = match self.kind {
            "datahub" => format!("urn:li:dataset:(urn:li:dataPlatform:dynamodb,{HOME}.{IRELAND}.{table},PROD)"),
            "atlan" => format!("default/dynamodb/1/{table}"),
            _ => format!("dynamodb.{HOME}.{IRELAND}.{table}"),
        };
        Value::Object(entities.get(&name).unwrap_or_else(|| panic!("no {name}")).clone())
    }

    /// How many requests have changed something since the last call.
    fn writes(&self) -> usize {
        let writes = self.server.writes().len();
        self.server.receiver.forget();
        writes
    }
}

fn all_there(count: usize) -> BTreeMap<String, bool> {
    (0..count).map(|number| (format!("table-{number:06}"), true)).collect()
}

#[test]
fn tables_appear_change_disappear_and_return_and_what_people_wrote_stays() {
    for scene in Scene::all() {
        let (sim, home) = ireland(5);
        scene.run(&sim, &home, 0);
        assert_eq!(scene.tables(), all_there(5));
        assert!(scene.writes() > 0);
        assert_eq!(scene.place.rows("outbox"), 0);
        scene.run(&sim, &home, 0);
        assert_eq!(scene.writes(), 0, "{}: nothing has changed, and no statistics are due", scene.kind);

        // What people and other tools write.
        {
            let mut entities = scene.server.entities();
            for (name, entity) in entities.iter_mut().filter(|(name, _)| name.contains("table-000003")) {
                match scene.kind {
                    "datahub" => {
                        entity["datasetProperties"]["customProperties"]["team"] = "payments".into();
                        entity["datasetProperties"]["customProperties"]["index.gone"] =
                            "global; gone (S, partition); ALL".into();
                        entity["datasetProperties"]["customProperties"]["index.policy"] = "of another tool".into();
                        entity.insert("ownership".to_owned(), json!({ "owners": ["a"] }));
                    }
                    "atlan" => entity["attributes"]["userDescription"] = "payments".into(),
                    _ => {
                        entity.insert("displayName".to_owned(), "Orders".into());
                        entity.insert("retentionPeriod".to_owned(), "P30D".into());
                        entity.insert("owners".to_owned(), json!(["a"]));
                        assert!(name.ends_with("table-000003"));
                    }
                }
            }
        }
        let mut is_protected = false;
        let toggled = |table: &mut Value| {
            is_protected = table["DeletionProtectionEnabled"] != true;
            table["DeletionProtectionEnabled"] = is_protected.into();
        };
        sim.update_table(HOME, IRELAND, "table-000003", toggled).expect("there");
        scene.run(&sim, &home, 0);
        assert!(scene.writes() > 0);
        let words = if is_protected { "enabled" } else { "disabled" };
        match scene.kind {
            "datahub" => {
                let entity = scene.entity("table-000003");
                let custom = &entity["datasetProperties"]["customProperties"];
                assert_eq!((&custom["team"], &custom["table.deletionProtection"]), (&"payments".into(), &words.into()));
                assert!(custom.get("index.gone").is_none() && custom.get("index.policy").is_some(), "{custom}");
                assert_eq!(entity["ownership"], json!({ "owners": ["a"] }));
            }
            "atlan" => {
                let attributes = &scene.entity("table-000003")["attributes"];
                assert_eq!(attributes["userDescription"], "payments");
                let description = attributes["description"].as_str().expect("text");
                assert!(description.contains(&format!("Deletion protection: {words}")), "{description}");
            }
            _ => {
                let entity = scene.entity("table-000003");
                assert_eq!((&entity["displayName"], &entity["retentionPeriod"]), (&"Orders".into(), &"P30D".into()));
                assert_eq!(entity["owners"], json!(["a"]));
                let description = entity["description"].as_str().expect("text");
                assert!(description.contains(&format!("Deletion protection: {words}")), "{description}");
            }
        }

        sim.remove_table(HOME, IRELAND, "table-000003").expect("a scope");
        scene.run(&sim, &home, 0);
        let mut expected = all_there(5);
        expected.insert("table-000003".to_owned(), false);
        assert_eq!(scene.tables(), expected, "{}", scene.kind);
        assert_eq!(scene.writes(), 1, "{}: only the removal", scene.kind);
        let again = fixtures::small_table("table-000003", HOME, IRELAND);
        sim.put_table(HOME, IRELAND, "table-000003", &again).expect("a scope");
        scene.run(&sim, &home, 0);
        assert_eq!(scene.tables(), all_there(5), "{}", scene.kind);
        let text = scene.entity("table-000003").to_string();
        assert!(text.contains(if scene.kind == "openmetadata" { "Orders" } else { "payments" }), "{text}");
    }
}

#[test]
fn no_failure_and_no_filter_removes_a_table() {
    for scene in Scene::all() {
        let account = Account::new(HOME).region(IRELAND, Tables::new().generated(120));
        let home = account.access("home");
        let sim = simulate(Estate::new([account]));
        scene.run(&sim, &home, 0);
        assert_eq!(scene.tables(), all_there(120));
        // A page of the listing is denied, and a table.
        sim.deny(Denial::new(HOME, Operation::DescribeTable).table("table-000007"));
        sim.add_fault(FaultRule::new(Effect::Deny).operation(Operation::ListTables).nth(2));
        scene.run(&sim, &home, 3);
        assert_eq!(scene.tables(), all_there(120), "{}", scene.kind);
        sim.clear_denials();
        // The filter is narrowed.
        let narrowed = scene.crawl(&sim, &home, IRELAND).args(["--include", "table-00000[0-4]"]).run();
        assert_eq!(narrowed.code(), 0, "{}", narrowed.stderr);
        assert_eq!(scene.tables(), all_there(120), "{}", scene.kind);
        // The account is gone: no target has it any more.
        let elsewhere =
            scene.crawl(&sim, &home, VIRGINIA).args(["--accept-retirements", &format!("{HOME}/{IRELAND}")]).run();
        assert!([0, 4].contains(&elsewhere.code()), "{}", elsewhere.stderr);
        assert_eq!(scene.tables(), all_there(120), "{}", scene.kind);
        // The keys are refused.
        sim.add_fault(FaultRule::new(Effect::Deny));
        assert_eq!(scene.crawl(&sim, &home, IRELAND).run().code(), 4);
        assert_eq!(scene.tables(), all_there(120), "{}", scene.kind);
    }
}

#[test]
fn a_table_that_the_filters_exclude_is_removed_once_it_is_deleted() {
    for scene in Scene::all() {
        let (sim, home) = ireland(4);
        scene.run(&sim, &home, 0);
        let narrowed = || {
            let ended = scene.crawl(&sim, &home, IRELAND).args(["--exclude", "table-00000[23]"]).run();
            assert_eq!(ended.code(), 0, "{}: {}", scene.kind, ended.stderr);
        };
        narrowed();
        assert_eq!(scene.tables(), all_there(4), "{}", scene.kind);
        sim.remove_table(HOME, IRELAND, "table-000003").expect("a scope");
        narrowed();
        let mut expected = all_there(4);
        expected.insert("table-000003".to_owned(), false);
        assert_eq!(scene.tables(), expected, "{}", scene.kind);
    }
}

#[test]
fn tables_of_a_retired_scope_are_removed_only_if_the_user_wants_it() {
    let [new, old, openmetadata, _] = Scene::all();
    for mut scene in [new, old, openmetadata, Scene::atlan(&[IRELAND, VIRGINIA])] {
        scene.more = "on_retired = \"remove\"\n".to_owned();
        let (sim, home) = scene.two_regions();
        scene.retires_one(&sim, &home);
    }
}

#[test]
fn a_replay_in_progress_does_not_keep_the_tables_of_a_retired_scope() {
    let mut scene = Scene::of("datahub", CatalogServer::datahub("v1.7.0"));
    scene.more = "on_retired = \"remove\"\n".to_owned();
    let (sim, home) = scene.two_regions();
    scene.server.receiver.reacts([], Reaction::Answer(503, "retry-after: 0\r\n", String::new()));
    let config = format!(
        "[crawl]\ndeliver_within = \"1s\"\n[state]\npath = \"{}\"\n{}",
        scene.place.state().display(),
        scene.section()
    );
    let replay = Dynacrawl::new("replay").config(&config).args(["--sink", "hub", "--since", "1h"]);
    let ended = replay.secret_env("CATALOG_TOKEN", TOKEN).run();
    assert!(ended.code() == 5 && ended.stderr.contains("is owed some tables"), "{}", ended.stderr);
    scene.server.receiver.reacts([], Reaction::Take);
    scene.retires_one(&sim, &home);
}

#[test]
fn statistics_are_sent_when_they_are_due_and_nothing_else() {
    for mut scene in Scene::all() {
        let (sim, home) = ireland(4);
        let index = |table: &mut Value, status: &str, items: u64| {
            let (key, projection) = (table["KeySchema"].clone(), json!({ "ProjectionType": "ALL" }));
            let index = json!({
                "IndexName": "again", "IndexStatus": status, "ItemCount": items, "KeySchema": key, "Projection": projection,
            });
            table["GlobalSecondaryIndexes"] = json!([index]);
        };
        sim.update_table(HOME, IRELAND, "table-000001", |table| index(table, "CREATING", 0)).expect("there");
        scene.run(&sim, &home, 0);
        let busy = |table: &mut Value| {
            table["ItemCount"] = 4_242.into();
            table["TableStatus"] = "UPDATING".into();
            index(table, "ACTIVE", 77);
        };
        sim.update_table(HOME, IRELAND, "table-000001", busy).expect("there");
        scene.writes();
        scene.run(&sim, &home, 0);
        assert_eq!(scene.writes(), 0, "{}: they are not due", scene.kind);
        scene.more = "stats_every = \"1ms\"\n".to_owned();
        scene.run(&sim, &home, 0);
        let writes = scene.server.writes();
        // DataHub has some of them as custom properties, too, OpenMetadata in the description, and Atlan in the
        // entity of the index.
        assert_eq!(writes.len(), 2, "{}: {writes:?}", scene.kind);
        assert!(writes.iter().all(|write| !write.body.contains("schemaMetadata")), "{writes:?}");
        assert!(writes.iter().any(|write| write.body.contains("4242")), "{writes:?}");
        let entity = scene.entity("table-000001");
        let rows = match scene.kind {
            "datahub" => &entity["datasetProfile"],
            "atlan" => &entity["attributes"],
            _ => &entity["profile"],
        };
        assert_eq!(rows["rowCount"], 4_242);
        let status = match scene.kind {
            "datahub" => &entity["datasetProperties"]["customProperties"]["table.status"],
            "atlan" => &entity["attributes"]["dynamoDBStatus"],
            _ => &entity["description"],
        };
        assert!(status.as_str().is_some_and(|status| status.contains("UPDATING")), "{}: {status}", scene.kind);
        let of_index = match scene.kind {
            "datahub" => entity["datasetProperties"]["customProperties"]["index.again"].to_string(),
            "atlan" => {
                assert!(entity["attributes"]["description"].as_str().is_some_and(|text| text.contains("UPDATING")));
                let index = scene.entity("table-000001/again");
                assert_eq!(index["attributes"]["rowCount"], 77);
                index["attributes"]["dynamoDBStatus"].to_string()
            }
            _ => entity["description"].to_string(),
        };
        assert!(of_index.contains("ACTIVE") && !of_index.contains("CREATING"), "{}: {of_index}", scene.kind);
    }
}

#[test]
fn a_table_that_the_catalog_refuses_holds_up_no_other() {
    for scene in Scene::all() {
        let account = Account::new(HOME).region(IRELAND, {
            let refused = fixtures::small_table("refused-one", HOME, IRELAND);
            Tables::new().generated(9).table("refused-one", &refused)
        });
        let home = account.access("home");
        let sim = simulate(Estate::new([account]));
        scene.run(&sim, &home, 0);
        assert_eq!(scene.tables(), all_there(9), "{}", scene.kind);
        let path = scene.place.path("state.db.hub.refused.jsonl");
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.contains("refused-one") && text.contains("invalid"), "{text}");
        assert_eq!(scene.place.rows("outbox"), 0);
    }
}

#[test]
fn a_catalog_that_is_down_or_cuts_connections_has_everything_in_the_end() {
    for scene in Scene::all() {
        let (sim, home) = ireland(30);
        scene.server.receiver.reacts([], Reaction::Answer(503, "retry-after: 0\r\n", String::new()));
        let down = scene.crawl_within(&sim, &home, IRELAND, "1s").run();
        assert_eq!(down.code(), 5, "{}: {}", scene.kind, down.stderr);
        for seed in 0..10_u64 {
            let reactions = (0..12).map(|number| match (seed * 7 + number * 5) % 4 {
                0 => Reaction::Cut,
                1 => Reaction::TakeAndCut,
                2 => Reaction::Answer(500, "", "{}".to_owned()),
                _ => Reaction::Take,
            });
            scene.server.receiver.reacts(reactions, Reaction::Take);
            let table = format!("table-{:06}", seed);
            let changed = match seed % 3 {
                0 => sim.remove_table(HOME, IRELAND, &table).expect("a scope"),
                _ => sim
                    .update_table(HOME, IRELAND, &table, |table| table["DeletionProtectionEnabled"] = true.into())
                    .expect("there"),
            };
            assert!(changed);
            scene.run(&sim, &home, 0);
            let mut expected = all_there(30);
            expected
                .retain(|name, _| (0..=seed).all(|before| before % 3 != 0 || *name != format!("table-{before:06}")));
            let mut found = scene.tables();
            found.retain(|_, is_there| *is_there);
            assert_eq!(found, expected, "{} seed {seed}", scene.kind);
        }
        assert!(!scene.place.path("state.db.hub.refused.jsonl").exists(), "a failure is no refusal");
    }
}

#[test]
fn a_kill_in_the_first_delivery_is_continued() {
    for scene in Scene::all() {
        // Atlan takes few requests a second.
        let count = if scene.kind == "atlan" { 60 } else { 300 };
        let (sim, home) = ireland(count);
        for seed in 0..8 {
            // From time to time it begins anew.
            if seed % 4 == 3 && scene.place.has_at_least(1, "sinks") {
                scene.place.write("UPDATE sinks SET is_synced = 0, progress = NULL");
            }
            let mut running = scene.crawl(&sim, &home, IRELAND).start();
            std::thread::sleep(Duration::from_millis(100 + seed * 60));
            running.kill();
        }
        scene.run(&sim, &home, 0);
        assert_eq!(scene.tables(), all_there(usize::try_from(count).expect("small")), "{}", scene.kind);
    }
}

#[test]
fn without_a_state_the_tables_of_the_run_appear() {
    for scene in Scene::all() {
        let (sim, home) = ireland(5);
        let config = format!("[crawl]\nrate = 0\n{}", scene.section());
        let crawl = || {
            let crawl = Dynacrawl::crawl_of(&sim, &home, IRELAND).config(&config).secret_env("CATALOG_TOKEN", TOKEN);
            crawl.args(["--output", "tables.jsonl"]).run()
        };
        assert_eq!(crawl().code(), 0);
        assert_eq!(scene.tables(), all_there(5));
        sim.remove_table(HOME, IRELAND, "table-000001").expect("a scope");
        assert_eq!(crawl().code(), 0);
        assert_eq!(scene.tables(), all_there(5), "nothing proves that it is gone");
    }
}

#[test]
fn a_check_finds_what_would_fail() {
    let (sim, home) = ireland(1);
    let check = |scene: &Scene, token: &str| {
        let check = Dynacrawl::new("check").sim(&sim).keys(&home).args(["--region", IRELAND]);
        check.config(&scene.section()).secret_env("CATALOG_TOKEN", token).run()
    };
    for scene in Scene::all() {
        let ended = check(&scene, TOKEN);
        assert_eq!(ended.code(), 0, "{}: {}{}", scene.kind, ended.stdout, ended.stderr);
        assert!(scene.server.entities().is_empty(), "a check writes no entity");
        let wrong = check(&scene, "wrong-token-5");
        assert_eq!(wrong.code(), 5, "{}", wrong.stdout);
        assert!(wrong.stdout.contains("401"), "{}", wrong.stdout);
    }
    let other = Scene::of("openmetadata", CatalogServer::openmetadata(false));
    let ended = check(&other, TOKEN);
    assert!(ended.code() == 5 && ended.stdout.contains("not a bot's"), "{}", ended.stdout);
    let old = Scene::of("openmetadata", CatalogServer::old_openmetadata());
    let ended = check(&old, TOKEN);
    let problem = "the server has version 1.2.5 of OpenMetadata; dynacrawl needs 1.3 or newer";
    assert!(ended.code() == 5 && ended.stdout.contains(problem), "{}", ended.stdout);
    assert_eq!(old.crawl(&sim, &home, IRELAND).run().code(), 5);
    assert!(old.server.writes().is_empty(), "nothing is written to a server that may lose a part of it");
    let crossed = Scene::of("datahub", CatalogServer::openmetadata(true));
    assert_eq!(check(&crossed, TOKEN).code(), 5);
}

#[test]
fn a_scope_without_a_connection_of_atlan_is_named_and_what_is_gone_from_a_table_is_archived() {
    let account = Account::new(HOME)
        .region(IRELAND, Tables::new().table("full", &fixtures::full_table("full", HOME, IRELAND)))
        .region(VIRGINIA, Tables::new().generated(2));
    let home = account.access("home");
    let sim = simulate(Estate::new([account]));
    let scene = Scene::atlan(&[IRELAND]);
    for _ in 0..2 {
        let ended = scene.crawl(&sim, &home, &format!("{IRELAND},{VIRGINIA}")).run();
        assert_eq!(ended.code(), 3, "{}", ended.stderr);
        let named = format!("sink.hub has no connection for {HOME}/{VIRGINIA}");
        assert!(
            ended.stderr.contains(&named) && !ended.stderr.contains(&format!("connection for {HOME}/{IRELAND}")),
            "{}",
            ended.stderr
        );
    }
    let active = || {
        let entities = scene.server.entities();
        let active = entities.iter().filter(|(_, entity)| entity["status"] == "ACTIVE");
        active.map(|(name, _)| name.clone()).collect::<Vec<_>>()
    };
    let before = active();
    let index = before.iter().find(|name| scene.server.entities()[*name]["typeName"] == "DynamoDBGlobalSecondaryIndex");
    let index = index.expect("an index").clone();
    sim.update_table(HOME, IRELAND, "full", |table| {
        table["GlobalSecondaryIndexes"] = json!([]);
        table["ProvisionedThroughput"] = Value::Null;
    })
    .expect("there");
    scene.run(&sim, &home, 3);
    assert!(before.contains(&index) && !active().contains(&index), "{:?}", active());
    let table = scene.entity("full");
    assert!(table["attributes"]["dynamoDBReadCapacityUnits"].is_null(), "{table}");
    sim.remove_table(HOME, IRELAND, "full").expect("a scope");
    scene.run(&sim, &home, 3);
    assert_eq!(active(), Vec::<String>::new());
    assert!(scene.tables().values().all(|is_there| !is_there));
}

#[test]
fn a_connection_that_does_not_exist_is_an_error_and_nothing_is_written() {
    let (sim, home) = ireland(1);
    let mut scene = Scene::atlan(&[IRELAND]);
    scene.connections = scene.connections.replace("dynamodb/1", "dynamodb/3");
    let ended = scene.crawl_within(&sim, &home, IRELAND, "1s").run();
    assert_eq!(ended.code(), 5, "{}", ended.stderr);
    assert!(ended.stderr.contains("no connection default/dynamodb/3"), "{}", ended.stderr);
    assert!(scene.server.entities().is_empty());
}

#[test]
fn another_place_or_a_wider_filter_gets_everything() {
    for mut scene in Scene::all() {
        let (sim, home) = ireland(4);
        scene.sink = "include = [\"table-00000[01]\"]\n".to_owned();
        scene.run(&sim, &home, 0);
        assert_eq!(scene.tables(), all_there(2), "{}", scene.kind);
        scene.sink.clear();
        scene.run(&sim, &home, 0);
        assert_eq!(scene.tables(), all_there(4), "{}", scene.kind);
        // A filter of the sink that is narrowed removes nothing either.
        scene.sink = "exclude = [\"table-000003\"]\n".to_owned();
        scene.run(&sim, &home, 0);
        assert_eq!(scene.tables(), all_there(4), "{}", scene.kind);
    }
}

#[test]
fn an_authority_of_ones_own_is_trusted_if_it_is_named() {
    let (sim, home) = ireland(2);
    let mut scene = Scene::of("datahub", CatalogServer::datahub("v1.7.0"));
    let authority = scene.place.path("authority.pem");
    let front = Front::tls(scene.server.receiver.address(), &authority);
    let check = |scene: &Scene| {
        let section = scene.section().replace(&scene.server.receiver.base(), &front.https());
        let check = Dynacrawl::new("check").sim(&sim).keys(&home).args(["--region", IRELAND]).config(&section);
        check.secret_env("CATALOG_TOKEN", TOKEN).run()
    };
    let untrusted = check(&scene);
    assert!(untrusted.code() == 5 && untrusted.stdout.contains("certificate"), "{}", untrusted.stdout);
    scene.more = format!("ca_bundle = {authority:?}\n");
    let trusted = check(&scene);
    assert_eq!(trusted.code(), 0, "{}", trusted.stdout);
}

#[test]
fn a_description_that_a_person_wrote_in_openmetadata_stays() {
    let (sim, home) = ireland(2);
    let scene = Scene::of("openmetadata", CatalogServer::openmetadata(true));
    scene.run(&sim, &home, 0);
    let of = |table: &str| scene.entity(table)["description"].as_str().expect("text").to_owned();
    let own = of("table-000001");
    let written = "Orders that customers have placed.";
    let name = |name: &String| name.ends_with("table-000000");
    scene.server.entities().iter_mut().filter(|(of, _)| name(of)).for_each(|(_, entity)| {
        entity.insert("description".to_owned(), written.into());
    });
    let toggled =
        |table: &mut Value| table["DeletionProtectionEnabled"] = (table["DeletionProtectionEnabled"] != true).into();
    for table in ["table-000000", "table-000001"] {
        sim.update_table(HOME, IRELAND, table, toggled).expect("there");
    }
    scene.run(&sim, &home, 0);
    assert_eq!(of("table-000000"), written);
    assert_ne!(of("table-000001"), own, "dynacrawl's own is up to date");
}

#[test]
fn a_removal_that_the_catalog_missed_while_it_was_behind_is_made_up_for() {
    for scene in Scene::all() {
        let (sim, home) = ireland(4);
        scene.run(&sim, &home, 0);
        sim.remove_table(HOME, IRELAND, "table-000001").expect("a scope");
        scene.server.receiver.reacts([], Reaction::Answer(503, "", String::new()));
        assert_eq!(scene.crawl_within(&sim, &home, IRELAND, "1s").run().code(), 5);
        scene.server.receiver.reacts([], Reaction::Take);
        // The events became too old.
        scene.place.write("DELETE FROM outbox; UPDATE sinks SET is_synced = 0, progress = NULL");
        scene.run(&sim, &home, 0);
        let mut expected = all_there(4);
        expected.insert("table-000001".to_owned(), false);
        assert_eq!(scene.tables(), expected, "{}", scene.kind);
    }
}

#[test]
fn accounts_that_would_share_names_are_refused() {
    let accounts = [HOME, "999988887777"].map(|id| Account::new(id).region(IRELAND, Tables::new().generated(2)));
    let (home, away) = (accounts[0].access("home"), accounts[1].access("away"));
    let sim = simulate(Estate::new(accounts));
    let server = CatalogServer::datahub("v1.7.0");
    let second = target("second", &[IRELAND]).replace("\"K\"", "\"K2\"").replace("\"S\"", "\"S2\"");
    let config = format!(
        "[crawl]\nrate = 0\ndeliver_within = \"1s\"\n[sink.hub.datahub]\nurl = \"{}\"\nplatform_instance = \"prod\"\n{}{second}",
        server.receiver.base(),
        target("first", &[IRELAND]),
    );
    let crawl = Dynacrawl::crawl().config(&config).args(["--output", "tables.jsonl"]);
    let crawl = keyed(crawl, &sim, &home).env("K2", &away.access_key_id).secret_env("S2", &away.secret_access_key);
    let ended = crawl.run();
    assert_eq!(ended.code(), 5, "{}", ended.stderr);
    assert!(
        ended.stderr.contains("would both be in prod") && ended.stderr.contains("datahub.platform_instance"),
        "{}",
        ended.stderr
    );
    assert!(server.entities().keys().filter(|name| name.contains("table-")).count() <= 2);
}

#[test]
fn an_answer_that_is_not_of_the_api_delivers_nothing() {
    for scene in Scene::all() {
        let (sim, home) = ireland(1);
        let page = "<html>Sign in</html>".to_owned();
        scene.server.receiver.reacts([], Reaction::Answer(200, "", page));
        let ended = scene.crawl_within(&sim, &home, IRELAND, "1s").run();
        assert_eq!(ended.code(), 5, "{}: {}", scene.kind, ended.stderr);
        assert!(ended.stderr.contains("not JSON"), "{}", ended.stderr);
        scene.server.receiver.reacts([], Reaction::Take);
        scene.run(&sim, &home, 0);
        assert_eq!(scene.tables(), all_there(1));
    }
}
