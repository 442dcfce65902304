//! Sinks that assume a role in AWS.

use dynacrawl_sim::{Account, Estate, Operation, Role, Tables};

use crate::brokers;
use crate::command::Dynacrawl;
use crate::daemon::Place;
use crate::servers;
use crate::support::{HOME, IRELAND, simulate};

#[test]
fn a_role_is_assumed_with_its_external_id() {
    let writer = Role::new("Writer").trusts(HOME).external_id("acme-7");
    let account = Account::new(HOME).role(writer).region(IRELAND, Tables::new().generated(2));
    let (home, role) = (account.access("home"), account.role_arn("Writer"));
    let sim = simulate(Estate::new([account]));
    let server = servers::moto();
    brokers::make_buses(&server, &["bus"]);
    servers::bucket(&server, "lake", true, None);
    let assumed = format!("region = \"{IRELAND}\"\nendpoint = \"{}\"\nrole_arn = \"{role}\"\n", server.url);
    let bus = format!("[sink.one.eventbridge]\nbus = \"bus\"\n{assumed}");
    let lake = format!("[sink.one.object_store]\nurl = \"s3://lake/estates\"\n[sink.one.object_store.s3]\n{assumed}");
    for section in [bus, lake] {
        let place = Place::new();
        let run = |id: &str| {
            let state = place.state();
            let config = format!(
                "[crawl]\ndeliver_within = \"3s\"\n[state]\npath = {state:?}\n[sink.one]\nbackoff = \"20ms\"\n\
                 {section}external_id = \"{id}\"\n"
            );
            let crawl = Dynacrawl::crawl_of(&sim, &home, IRELAND).config(&config).args(["--output", "tables.jsonl"]);
            crawl.env("AWS_ENDPOINT_URL_STS", sim.url()).run()
        };
        let refused = run("another-id");
        assert_eq!(refused.code(), 5, "{}", refused.stderr);
        assert!(refused.stderr.contains("AccessDenied") && refused.stderr.contains("Writer"), "{}", refused.stderr);
        let before = sim.counts().requests(Operation::AssumeRole);
        run("acme-7").succeeded();
        assert_eq!(place.rows("outbox"), 0);
        assert_eq!(sim.counts().requests(Operation::AssumeRole) - before, 1);
    }
    assert_eq!(brokers::events(&server, "bus").len(), 2 + 2 * 2);
    let objects = servers::bucket(&server, "lake", false, None);
    assert!(objects.as_object().expect("objects").keys().any(|key| key.ends_with("_manifest.json")), "{objects}");
}
