//! The sinks of catalogs under faults: nothing is removed because of one, and nothing is lost.

use std::time::Duration;

use dynacrawl_sim::{Account, Denial, Effect, Estate, FaultRule, Operation, Tables, fixtures};

use crate::catalog_scene::{Scene, all_there};
use crate::catalog_servers::{CatalogServer, TOKEN};
use crate::command::Dynacrawl;
use crate::fronts::Front;
use crate::receiver::Reaction;
use crate::support::{HOME, IRELAND, VIRGINIA, ireland, simulate};

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
fn an_answer_that_is_not_of_the_api_delivers_nothing() {
    for scene in Scene::all() {
        let (sim, home) = ireland(1);
        let page = "<html>Sign in</html>".to_owned();
        scene.server.receiver.reacts([], Reaction::Answer(200, "", page));
        let ended = scene.crawl_within(&sim, &home, IRELAND, "1s").run();
        assert_eq!(ended.code(), 5, "{}: {}", scene.kind, ended.stderr);
        assert!(ended.stderr.contains("not JSON"), "{}", ended.stderr);
        // Of Atlan, nothing is read but the connection.
        for json in ["[]", "\"text\"", "{\"aspect\":\"text\"}"].iter().filter(|_| scene.kind != "atlan") {
            // The first answer names the version.
            scene.server.receiver.reacts([Reaction::Take], Reaction::Answer(200, "", (*json).to_owned()));
            let ended = scene.crawl_within(&sim, &home, IRELAND, "1s").run();
            assert_eq!((ended.code(), scene.tables().len()), (5, 0), "{} {json}: {}", scene.kind, ended.stderr);
        }
        scene.server.receiver.reacts([], Reaction::Take);
        scene.run(&sim, &home, 0);
        assert_eq!(scene.tables(), all_there(1));
    }
}
