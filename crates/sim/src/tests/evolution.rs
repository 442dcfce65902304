//! Estates that change at random.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{HOME, IRELAND, OTHER, estate};
use crate::{Account, Change, ChangeKind, Estate, Evolution, InProcess, Options, Tables};

const SCOPES: [(&str, &str); 3] = [(HOME, IRELAND), (HOME, "us-east-1"), (OTHER, IRELAND)];

fn service() -> InProcess {
    InProcess::new(estate(), &Options::default())
}

/// All descriptions, by account, Region and name.
fn everything(sim: &InProcess) -> BTreeMap<(&str, &str, String), Value> {
    let scopes = SCOPES.iter().flat_map(|&(account, region)| {
        sim.table_names(account, region).into_iter().map(move |name| (account, region, name))
    });
    scopes
        .map(|(account, region, name)| {
            let table = sim.describe_json(account, region, &name).unwrap();
            ((account, region, name), table)
        })
        .collect()
}

fn counted(log: &[Change], kind: ChangeKind) -> usize {
    log.iter().filter(|change| change.kind == kind).count()
}

#[test]
fn same_seed_makes_the_same_changes() {
    let evolved = |seed: u64| {
        let sim = service();
        let mut evolution = Evolution::new(seed);
        for _ in 0..5 {
            evolution.step(&sim, &SCOPES, 40).unwrap();
        }
        (sim.log(), everything(&sim).into_values().collect::<Vec<_>>())
    };
    assert_eq!(evolved(1), evolved(1));
    assert_ne!(evolved(1).0, evolved(2).0);
}

#[test]
fn log_matches_the_differences_after_each_step() {
    let sim = service();
    let mut evolution = Evolution::new(3);
    for _ in 0..30 {
        let before = everything(&sim);
        evolution.step(&sim, &SCOPES, 25).unwrap();
        let after = everything(&sim);
        let names: BTreeSet<_> = before.keys().chain(after.keys()).collect();
        let mut seen: Vec<Change> = Vec::new();
        let mut drifted = 0;
        for at in names {
            let (account, region, name) = at;
            let kind = match (before.get(at), after.get(at)) {
                (Some(before), Some(after)) if before == after => continue,
                (None, _) => ChangeKind::Created,
                (_, None) => ChangeKind::Removed,
                (Some(before), Some(after)) => match ChangeKind::between(before, after) {
                    Some(kind) => kind,
                    None => {
                        drifted += 1;
                        continue;
                    }
                },
            };
            let (account_id, region) = ((*account).to_owned(), (*region).to_owned());
            seen.push(Change { account_id, region, table: name.clone(), kind });
        }
        let mut log = sim.take_log();
        assert_eq!(log.len() + drifted, 25);
        log.sort();
        seen.sort();
        assert_eq!(log, seen);
    }
}

#[test]
fn every_kind_of_change_is_made() {
    let sim = service();
    let mut evolution = Evolution::new(4);
    for _ in 0..20 {
        evolution.step(&sim, &SCOPES, 30).unwrap();
    }
    let log = sim.log();
    for kind in [ChangeKind::Created, ChangeKind::Updated, ChangeKind::Removed, ChangeKind::Recreated] {
        assert!(counted(&log, kind) > 20, "{kind:?}: {}", counted(&log, kind));
    }
    // Another table was created with the name of a removed one.
    let removed: BTreeSet<&str> =
        log.iter().filter(|change| change.kind == ChangeKind::Removed).map(|change| &*change.table).collect();
    assert!(log.iter().any(|change| change.kind == ChangeKind::Created && removed.contains(&*change.table)));
    let after = everything(&sim);
    for ((_, _, name), table) in &after {
        assert_eq!(table["TableName"], **name);
    }
    let with = |test: fn(&Value) -> bool| after.values().filter(|table| test(table)).count();
    assert!(with(|table| table["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST") > 10);
    assert!(with(|table| table["LatestStreamLabel"].as_str().is_some_and(|label| label.starts_with("2026-"))) > 5);
    assert!(with(|table| table["GlobalSecondaryIndexes"].to_string().contains("by_evolved_")) > 5);
    let ids: BTreeSet<&str> = after.values().filter_map(|table| table["TableId"].as_str()).collect();
    let arns: BTreeSet<&str> = after.values().filter_map(|table| table["TableArn"].as_str()).collect();
    assert_eq!((ids.len(), arns.len()), (after.len(), after.len()));
}

#[test]
fn no_step_removes_more_than_the_set_share_of_a_scope() {
    for (share, most, some) in
        [(None, 0.2, 0.1), (Some(0.0), 0.0, 0.0), (Some(0.05), 0.05, 0.04), (Some(1.0), 1.0, 0.2)]
    {
        let sim = service();
        let evolution = Evolution::new(5);
        let mut evolution = share.map_or(evolution.clone(), |share| evolution.removing_at_most(share));
        let mut largest: f64 = 0.0;
        for _ in 0..6 {
            let sizes = SCOPES.map(|(account, region)| sim.table_names(account, region).len());
            evolution.step(&sim, &SCOPES, 400).unwrap();
            let log = sim.take_log();
            for ((account, region), size) in SCOPES.into_iter().zip(sizes) {
                let here = |change: &&Change| change.account_id == account && change.region == region;
                let removed = log.iter().filter(here).filter(|change| change.kind == ChangeKind::Removed).count();
                assert!(removed as f64 <= most * size as f64, "{removed} of {size}");
                largest = largest.max(removed as f64 / size.max(1) as f64);
            }
        }
        assert!(largest >= some, "{largest} of {most}");
    }
}

#[test]
fn tables_of_an_empty_scope_are_created_in_its_partition() {
    let account = Account::new(HOME).partition("aws-cn").region("cn-north-1", Tables::new().vanishing("gone"));
    let sim = InProcess::new(Estate::new([account]), &Options::default());
    let mut evolution = Evolution::new(6);
    evolution.step(&sim, &[(HOME.to_owned(), "cn-north-1".to_owned())], 10).unwrap();
    let log = sim.take_log();
    assert_eq!(counted(&log, ChangeKind::Created), 10);
    let arn = sim.describe_json(HOME, "cn-north-1", &log[0].table).unwrap()["TableArn"].clone();
    assert_eq!(arn, format!("arn:aws-cn:dynamodb:cn-north-1:{HOME}:table/{}", log[0].table));
    // For another evolution with the same seed, the names are taken.
    Evolution::new(6).step(&sim, &[(HOME, "cn-north-1")], 3).unwrap();
    assert_eq!(counted(&sim.log(), ChangeKind::Recreated), 0);
    assert!(evolution.step(&sim, &[(HOME, "mars-1")], 1).is_err());
    assert_eq!(evolution.step::<&str>(&sim, &[], 5), Ok(()));
}
