//! Organizations of other projects' servers, crawled completely and compared with what boto3 reads.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::command::{Crawled, Dynacrawl};
use crate::organization::{discovered, everything_at, organization, target};
use crate::servers::{self, Creds, Server};
use crate::support::{IRELAND, VIRGINIA};

const MEMBERS: usize = 3;

/// Tables by account and Region, sorted.
type Estate = BTreeMap<String, BTreeMap<String, Vec<String>>>;

fn crawl(server: &Server, config: &str) -> Dynacrawl {
    let keys = Creds::test();
    everything_at(Dynacrawl::crawl(), &server.url)
        .aws_keys(&keys.access_key_id, &keys.secret_access_key, None)
        .config(config)
}

/// Creates an organization with accounts, roles and tables (`tests/servers/organization.py`), and
/// returns what it created.
#[track_caller]
fn seed(server: &Server) -> Value {
    let mut command = servers::in_servers("venv/bin/python");
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/servers/organization.py"));
    command.args(["--endpoint", &server.url, "--accounts", &MEMBERS.to_string(), IRELAND, VIRGINIA]);
    command.envs(Creds::test().env().into_iter().filter_map(|(name, value)| Some((name, value?))));
    let output = command.output().expect("Python is there");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}\n{}", server.log_tail());
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {stderr}"))
}

/// The tables that a crawl found, without Regions that have none.
fn found(crawled: &Crawled) -> Estate {
    let mut estate = Estate::new();
    for record in crawled.of_type("table") {
        let text = |pointer: &str| record.pointer(pointer).and_then(Value::as_str).expect("a text").to_owned();
        let regions = estate.entry(text("/scope/account_id")).or_default();
        regions.entry(text("/scope/region")).or_default().push(text("/table/name"));
    }
    estate.values_mut().flat_map(BTreeMap::values_mut).for_each(|names| names.sort());
    estate
}

/// Fills a server, and crawls it with every way to select accounts and Regions.
#[track_caller]
fn whole(server: &Server, regions_by: &str) {
    let seeded = seed(server);
    let estate: Estate = serde_json::from_value(seeded["tables"].clone()).expect("tables");
    assert_eq!(estate.len(), MEMBERS + 1);
    let text = |name: &str| seeded[name].as_str().expect("an id");
    let only = |accounts: &[&str]| -> Estate {
        accounts.iter().map(|&account| (account.to_owned(), estate[account].clone())).collect()
    };

    let crawled = crawl(server, &target("")).records();
    assert_eq!(crawled.code, 0, "{}\n{}", crawled.stderr, server.log_tail());
    assert_eq!(found(&crawled), estate);
    let list = discovered(&crawled);
    assert_eq!((&list["listed"], &list["inactive"], &list["filtered"]), (&json!(MEMBERS + 2), &json!(1), &json!(0)));
    assert!(!list["accounts"].to_string().contains(text("closed")), "{list}");

    let first = seeded["members"][0].as_str().expect("an id");
    let unit = crawl(server, &target(&format!("include_ous = [\"{}\"]\n", text("outer")))).records();
    assert_eq!((unit.code, found(&unit)), (0, only(&[first])), "a unit includes everything below it");
    let others =
        target(&format!("exclude_ous = [\"{}\"]\nexclude_accounts = [\"{}\"]", text("unit"), text("management")));
    let others = crawl(server, &others).records();
    let members: Vec<_> =
        seeded["members"].as_array().expect("members")[1..].iter().filter_map(Value::as_str).collect();
    assert_eq!((others.code, found(&others)), (0, only(&members)));

    // All Regions of the server are enabled, and two have tables.
    let all = crawl(server, &organization(&format!("regions = \"all\"\ninclude_accounts = [\"{first}\"]\n"))).records();
    assert_eq!((all.code, found(&all)), (0, only(&[first])), "{}", all.stderr);
    let found_regions = all.of_type("regions_discovered").next().expect("a record");
    assert_eq!(found_regions["source"], regions_by, "{found_regions}");
    assert!(found_regions["regions"].as_array().is_some_and(|regions| regions.len() > 15), "{found_regions}");

    let listed = target("").replace("organizations = true", &format!("accounts = {}", json!(members)));
    let listed = crawl(server, &listed).records();
    assert_eq!((listed.code, found(&listed)), (0, only(&members)));
}

#[test]
fn motos_organization_is_crawled_completely() {
    // It does not have account:ListRegions: HTML with status 404.
    whole(&servers::moto(), "ec2:DescribeRegions");
}

#[test]
fn ministacks_organization_is_crawled_completely() {
    // Its accounts have no State, only the older Status.
    whole(&servers::ministack(false), "account:ListRegions");
}
