//! The estates that come with the simulator, and the fixtures.

use std::collections::BTreeSet;

use serde_json::Value;

use super::client::{Client, Keys};
use crate::fixtures::full_table;
use crate::{Account, DemoAccount, Estate, Options, Simulator};

/// Every path of the service's model of a table description, with `[]` for lists.
const MODEL: &str = include_str!("model_paths.txt");

fn client(sim: &Simulator, account: &DemoAccount, region: &str) -> Client {
    let keys = Keys { id: account.access_key_id.clone(), secret: account.secret_access_key.clone(), token: None };
    let client = Client::new(sim.addr(), keys, region);
    match &account.role_arn {
        Some(arn) => {
            let external_id = account.external_id.as_deref().map_or_else(String::new, |id| format!("&ExternalId={id}"));
            client.with_keys(client.assume(arn, &external_id).keys())
        }
        None => client,
    }
}

fn paths(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                paths(value, &if path.is_empty() { name.clone() } else { format!("{path}.{name}") }, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| paths(item, &format!("{path}[]"), found)),
        _ => {
            found.insert(path.to_owned());
        }
    }
}

fn model() -> BTreeSet<String> {
    MODEL.lines().map(str::to_owned).collect()
}

/// All descriptions of an estate by account, Region and name.
fn descriptions(sim: &Simulator) -> Vec<Value> {
    let mut all = Vec::new();
    for account in &sim.access().accounts {
        for region in &account.regions {
            let names = sim.table_names(&account.account_id, region);
            all.extend(names.iter().filter_map(|name| sim.describe_json(&account.account_id, region, name)));
        }
    }
    all
}

#[test]
fn full_table_has_every_field_with_a_distinct_value() {
    let table = full_table("full", "111122223333", "eu-west-1");
    let mut found = BTreeSet::new();
    paths(&table, "", &mut found);
    assert_eq!(found, model());
    let mut numbers = Vec::new();
    collect_numbers(&table, &mut numbers);
    let distinct: BTreeSet<&String> = numbers.iter().collect();
    assert_eq!(distinct.len(), numbers.len());
}

fn collect_numbers(value: &Value, numbers: &mut Vec<String>) {
    match value {
        Value::Object(fields) => fields.values().for_each(|value| collect_numbers(value, numbers)),
        Value::Array(items) => items.iter().for_each(|item| collect_numbers(item, numbers)),
        Value::Number(number) => numbers.push(number.to_string()),
        _ => {}
    }
}

#[test]
fn demo_shows_every_feature() {
    let sim = Simulator::start(Estate::demo(), &Options::default()).unwrap();
    let all = descriptions(&sim);
    assert!(all.len() > 180, "{}", all.len());
    let arns: BTreeSet<&str> = all.iter().filter_map(|table| table["TableArn"].as_str()).collect();
    assert_eq!(arns.len(), all.len());
    assert!(sim.table_names("111122223333", "eu-west-1").len() > 100);

    let mut found = BTreeSet::new();
    all.iter().for_each(|table| paths(table, "", &mut found));
    assert_eq!(found, model(), "every field is in some table");

    let text = serde_json::to_string(&all).unwrap();
    for value in [
        "KEYS_ONLY",
        "INCLUDE",
        "ALL",
        "PAY_PER_REQUEST",
        "NEW_IMAGE",
        "OLD_IMAGE",
        "NEW_AND_OLD_IMAGES",
        "STRONG",
        "EVENTUAL",
        "KMS",
        "STANDARD_INFREQUENT_ACCESS",
        "ARCHIVED",
        "INACCESSIBLE_ENCRYPTION_CREDENTIALS",
        "CREATING",
        "UPDATING",
        "DELETING",
        "COSINE",
        "EUCLIDEAN",
        "DOT_PRODUCT",
        "INLINE_FILTER",
    ] {
        assert!(text.contains(&format!("\"{value}\"")), "{value}");
    }
    for kind in ["S", "N", "B"] {
        assert!(text.contains(&format!("\"AttributeType\":\"{kind}\"")));
    }
    let multi = |table: &&Value| {
        let indexes = table["GlobalSecondaryIndexes"].as_array().into_iter().flatten();
        indexes.map(|index| index["KeySchema"].as_array().map_or(0, Vec::len)).any(|keys| keys == 4)
    };
    assert_eq!(all.iter().filter(multi).count(), 1);
    assert!(all.iter().any(|table| table.get("AttributeDefinitions").is_none()));
    assert!(all.iter().any(|table| table.get("BillingModeSummary").is_none()));
}

#[test]
fn index_keys_of_the_demo_are_defined() {
    let sim = Simulator::start(Estate::demo_with_faults(), &Options::default()).unwrap();
    for table in descriptions(&sim) {
        let Some(definitions) = table["AttributeDefinitions"].as_array() else { continue };
        let defined: BTreeSet<&str> = attribute_names(&table["AttributeDefinitions"]).collect();
        let mut used: BTreeSet<&str> = attribute_names(&table["KeySchema"]).collect();
        for kind in ["GlobalSecondaryIndexes", "LocalSecondaryIndexes"] {
            used.extend(
                table[kind].as_array().into_iter().flatten().flat_map(|index| attribute_names(&index["KeySchema"])),
            );
        }
        assert_eq!(used, defined, "{}", table["TableName"]);
        assert_eq!(defined.len(), definitions.len());
    }
}

fn attribute_names(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array().into_iter().flatten().filter_map(|entry| entry["AttributeName"].as_str())
}

#[test]
fn demo_accounts_are_reached_with_their_access() {
    let sim = Simulator::start(Estate::demo(), &Options::default()).unwrap();
    for account in &sim.access().accounts {
        for region in &account.regions {
            let client = client(&sim, account, region);
            let page = client.dynamodb("ListTables", "{}");
            assert_eq!(
                page.json().get("LastEvaluatedTableName").is_some(),
                sim.table_names(&account.account_id, region).len() > 100
            );
        }
    }
    let payments = client(&sim, &sim.access().accounts[0], "eu-west-1");
    assert!(sim.table_names("111122223333", "eu-west-1").contains(&"tmp-migration-0042".to_owned()));
    assert_eq!(payments.describe("tmp-migration-0042").code(), "ResourceNotFoundException");
}

#[test]
fn faulty_demo_denies_throttles_and_refuses_a_role() {
    let sim = Simulator::start(Estate::demo_with_faults(), &Options::default()).unwrap();
    let [payments, analytics, fraud] = sim.access().accounts.as_slice() else { panic!("three accounts") };
    assert_eq!(client(&sim, payments, "us-east-1").describe("ledger-2025").code(), "AccessDeniedException");
    assert_eq!(client(&sim, payments, "us-east-1").describe("ledger-2024").status, 200);
    let sydney = client(&sim, analytics, "ap-southeast-2");
    assert_eq!(sydney.dynamodb("ListTables", "{}").status, 200);
    assert_eq!(
        ["experiments", "page_views", "sessions"].map(|table| sydney.describe(table).code()),
        ["ThrottlingException"; 3]
    );
    let keys = Keys { id: fraud.access_key_id.clone(), secret: fraud.secret_access_key.clone(), token: None };
    let refused = Client::new(sim.addr(), keys, "eu-west-1")
        .assume(fraud.role_arn.as_deref().unwrap(), "&ExternalId=dynacrawl-demo-b81c");
    assert_eq!(refused.code(), "AccessDenied");
}

#[test]
fn demo_is_the_same_each_time() {
    let [first, second] =
        [(); 2].map(|()| descriptions(&Simulator::start(Estate::demo(), &Options::default()).unwrap()));
    assert_eq!(first, second);
}

#[test]
fn uniform_estate_is_reached_with_own_keys_and_from_the_hub() {
    let sim = Simulator::start(Estate::uniform(3, 2, 1_000), &Options::default()).unwrap();
    let id = Estate::uniform_account_id(2);
    let own = Client::new(sim.addr(), Keys::of(&Account::new(&id)), "us-east-2");
    assert_eq!(
        own.describe("table-000999").json()["Table"]["TableArn"],
        format!("arn:aws:dynamodb:us-east-2:{id}:table/table-000999")
    );
    let hub = own.with_keys(Keys::of(&Account::new(Estate::HUB)));
    let member = own.with_keys(hub.assume(&format!("arn:aws:iam::{id}:role/Reader"), "").keys());
    assert_eq!(member.describe("table-001000").code(), "ResourceNotFoundException");
    assert_eq!(member.describe("table-000000").status, 200);
    assert_eq!(sim.access().accounts.len(), 3);
}

#[test]
fn uniform_estate_is_discovered_through_its_organization() {
    let sim = Simulator::start(Estate::uniform(230, 19, 1), &Options::default()).unwrap();
    let hub = Client::new(sim.addr(), Keys::of(&Account::new(Estate::HUB)), "us-east-1");
    let units = hub.organizations("ListOrganizationalUnitsForParent", "{\"ParentId\":\"r-unif\"}").json();
    assert_eq!(units["OrganizationalUnits"].as_array().map(Vec::len), Some(3));
    let mut ids = BTreeSet::new();
    let mut request = "{}".to_owned();
    loop {
        let page = hub.organizations("ListAccounts", &request).json();
        for account in page["Accounts"].as_array().unwrap() {
            assert_eq!(account["State"], "ACTIVE");
            ids.insert(account["Id"].as_str().unwrap().to_owned());
        }
        let Some(next) = page["NextToken"].as_str() else { break };
        request = format!("{{\"NextToken\":\"{next}\"}}");
    }
    assert_eq!(ids.len(), 231);
    for id in [&*Estate::uniform_account_id(229), Estate::HUB] {
        let member = hub.with_keys(hub.assume(&format!("arn:aws:iam::{id}:role/Reader"), "").keys());
        let regions = member.list_regions("{\"RegionOptStatusContains\":[\"ENABLED\",\"ENABLED_BY_DEFAULT\"]}").json();
        let statuses: Vec<&str> = regions["Regions"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|region| region["RegionOptStatus"].as_str())
            .collect();
        assert_eq!((statuses.len(), statuses.iter().filter(|status| **status == "ENABLED").count()), (19, 2));
        assert!(ids.contains(id));
    }
}

#[test]
fn uniform_regions_are_numbered_after_those_of_aws() {
    let estate = Estate::uniform(1, 36, 1);
    let regions: Vec<&str> = estate.accounts[0].regions.keys().map(String::as_str).collect();
    assert_eq!(&regions[34..], ["xx-test-34", "xx-test-35"]);
}
