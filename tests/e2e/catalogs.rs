//! The sinks of catalogs: tables appear, change and disappear as in AWS.

use dynacrawl_sim::{Account, Estate, Tables, fixtures};
use serde_json::{Value, json};

use crate::catalog_scene::{Scene, all_there};
use crate::catalog_servers::{CatalogServer, TOKEN};
use crate::command::Dynacrawl;
use crate::daemon::{keyed, target};
use crate::receiver::Reaction;
use crate::support::{HOME, IRELAND, VIRGINIA, ireland, simulate};

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
fn the_removal_of_a_table_that_a_catalog_never_had_creates_nothing() {
    for scene in Scene::all() {
        let (sim, home) = ireland(4);
        let exclude = ["--exclude", "table-000003"];
        let config = format!("[state]\npath = \"{}\"\n", scene.place.state().display());
        let without = || Dynacrawl::crawl_of(&sim, &home, IRELAND).config(&config).args(["--output", "tables.jsonl"]);
        without().run().succeeded();
        without().args(exclude).run().succeeded();
        let with = || scene.crawl(&sim, &home, IRELAND).args(exclude).run();
        assert_eq!(with().code(), 0);
        assert_eq!(scene.tables(), all_there(3), "{}", scene.kind);
        sim.remove_table(HOME, IRELAND, "table-000003").expect("a scope");
        assert_eq!(with().code(), 0);
        let changes = Dynacrawl::new("changes").arg("--state").arg(scene.place.state()).run().succeeded();
        assert!(changes.lines().any(|line| line.contains("table-000003") && line.contains("removed")), "{changes}");
        assert_eq!(scene.place.rows("outbox"), 0);
        let entities = scene.server.entities();
        assert!(entities.keys().all(|name| !name.contains("table-000003")), "{}: {:?}", scene.kind, entities.keys());
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
