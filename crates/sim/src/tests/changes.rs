//! The log of what happened to tables, and edits of existing tables.

use std::thread;

use serde_json::{Value, json};

use super::{HOME, IRELAND, OTHER, start};
use crate::fixtures::small_table;
use crate::{Change, ChangeKind, Simulator};

const TABLE: &str = "table-000007";

fn change(account_id: &str, region: &str, table: &str, kind: ChangeKind) -> Change {
    Change { account_id: account_id.to_owned(), region: region.to_owned(), table: table.to_owned(), kind }
}

/// What happened to tables of the home account in Ireland.
fn taken(sim: &Simulator) -> Vec<(String, ChangeKind)> {
    sim.take_log().into_iter().map(|change| (change.table, change.kind)).collect()
}

fn described(sim: &Simulator) -> Value {
    sim.describe_json(HOME, IRELAND, TABLE).unwrap()
}

#[test]
fn log_has_changes_and_their_scopes_in_order() {
    let (sim, _) = start();
    assert_eq!(sim.log(), []);
    let orders = |status: &str| {
        let mut table = small_table("orders", OTHER, IRELAND);
        table["TableStatus"] = status.into();
        table
    };
    sim.put_table(OTHER, IRELAND, "orders", &orders("UPDATING")).unwrap();
    sim.put_table(HOME, "us-east-1", "new", &small_table("new", HOME, "us-east-1")).unwrap();
    sim.remove_table(OTHER, IRELAND, "orders").unwrap();
    sim.put_table(OTHER, IRELAND, "orders", &orders("ACTIVE")).unwrap();
    let expected = [
        change(OTHER, IRELAND, "orders", ChangeKind::Updated),
        change(HOME, "us-east-1", "new", ChangeKind::Created),
        change(OTHER, IRELAND, "orders", ChangeKind::Removed),
        change(OTHER, IRELAND, "orders", ChangeKind::Created),
    ];
    assert_eq!((sim.log(), sim.take_log()), (expected.to_vec(), expected.to_vec()));
    assert_eq!(sim.log(), []);
    sim.put_table(HOME, "mars-1", "new", &json!({})).unwrap_err();
    assert_eq!(sim.remove_table(HOME, IRELAND, "nope"), Ok(false));
    assert_eq!(sim.log(), []);
}

#[test]
fn generated_tables_are_logged_like_others() {
    let (sim, _) = start();
    let mut table = described(&sim);
    sim.put_table(HOME, IRELAND, TABLE, &table).unwrap();
    assert_eq!(taken(&sim), []);
    table["TableSizeBytes"] = json!(1);
    table["GlobalSecondaryIndexes"][0]["ItemCount"] = json!(2);
    table["LocalSecondaryIndexes"][0]["IndexSizeBytes"] = json!(3);
    sim.put_table(HOME, IRELAND, TABLE, &table).unwrap();
    assert_eq!((taken(&sim), described(&sim)), (vec![], table.clone()));
    table["ProvisionedThroughput"]["ReadCapacityUnits"] = json!(41);
    sim.put_table(HOME, IRELAND, TABLE, &table).unwrap();
    assert_eq!((taken(&sim), described(&sim)), (vec![], table.clone()));
    table["DeletionProtectionEnabled"] = json!(false);
    sim.put_table(HOME, IRELAND, TABLE, &table).unwrap();
    table["TableId"] = json!("another");
    sim.put_table(HOME, IRELAND, TABLE, &table).unwrap();
    assert_eq!([(); 2].map(|()| sim.remove_table(HOME, IRELAND, TABLE)), [Ok(true), Ok(false)]);
    assert_eq!(sim.remove_table(HOME, IRELAND, "table-000008"), Ok(true));
    sim.put_table(HOME, IRELAND, TABLE, &table).unwrap();
    let [updated, recreated, removed, created] =
        [ChangeKind::Updated, ChangeKind::Recreated, ChangeKind::Removed, ChangeKind::Created]
            .map(|kind| (TABLE.to_owned(), kind));
    let other = ("table-000008".to_owned(), ChangeKind::Removed);
    assert_eq!(taken(&sim), [updated, recreated, removed, other, created]);
}

#[test]
fn edits_appear_in_the_description() {
    let (sim, client) = start();
    let edit = |table: &mut Value| table["DeletionProtectionEnabled"] = json!(false);
    assert_eq!([(); 2].map(|()| sim.update_table(HOME, IRELAND, TABLE, edit)), [Ok(true), Ok(true)]);
    // The second edit changed nothing.
    assert_eq!(taken(&sim), [(TABLE.to_owned(), ChangeKind::Updated)]);
    assert_eq!(client.describe(TABLE).json()["Table"]["DeletionProtectionEnabled"], false);
    assert_eq!(sim.update_table(HOME, IRELAND, "nope", edit), Ok(false));
    assert!(sim.update_table(HOME, "mars-1", TABLE, edit).is_err());
    assert_eq!(taken(&sim), []);
}

#[test]
fn recreated_table_differs_in_id_and_creation_time() {
    let (sim, client) = start();
    let mut ids = vec![described(&sim)["TableId"].clone()];
    for hours in 1..=3 {
        let before = described(&sim);
        assert_eq!(sim.recreate_table(HOME, IRELAND, TABLE), Ok(true));
        let mut after = client.describe(TABLE).json()["Table"].clone();
        assert!(!ids.contains(&after["TableId"]));
        ids.push(after["TableId"].clone());
        assert_eq!(after["CreationDateTime"], 1_735_689_600.123 + 3_600.0 * f64::from(hours));
        for member in ["TableId", "CreationDateTime"] {
            after[member] = before[member].clone();
        }
        assert_eq!(after, before);
    }
    assert_eq!(taken(&sim), [(); 3].map(|()| (TABLE.to_owned(), ChangeKind::Recreated)));
    assert_eq!(sim.recreate_table(HOME, IRELAND, "nope"), Ok(false));
}

#[test]
fn item_counts_change_without_a_log_entry() {
    let (sim, client) = start();
    let before = described(&sim);
    let size = |table: &Value| table["TableSizeBytes"].as_u64().unwrap();
    let weight = size(&before) / before["ItemCount"].as_u64().unwrap();
    assert_eq!(sim.set_items(HOME, IRELAND, TABLE, 12), Ok(true));
    let mut after = client.describe(TABLE).json()["Table"].clone();
    assert_eq!((&after["ItemCount"], size(&after)), (&json!(12), 12 * weight));
    for member in ["ItemCount", "TableSizeBytes"] {
        after[member] = before[member].clone();
    }
    assert_eq!(after, before);
    assert_eq!([0, 5].map(|count| sim.set_items(HOME, IRELAND, TABLE, count)), [Ok(true), Ok(true)]);
    assert_eq!(size(&described(&sim)), 500);
    assert_eq!(sim.set_items(HOME, IRELAND, "nope", 1), Ok(false));
    assert_eq!(sim.log(), []);
}

#[test]
fn no_edit_of_two_threads_is_lost() {
    let (sim, _) = start();
    let add = |control: crate::Control| {
        move || {
            for _ in 0..100 {
                let edit =
                    |table: &mut Value| table["Edits"] = (table["Edits"].as_u64().unwrap_or_default() + 1).into();
                control.update_table(HOME, IRELAND, TABLE, edit).unwrap();
            }
        }
    };
    let threads = [(); 2].map(|()| thread::spawn(add((*sim).clone())));
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!((&described(&sim)["Edits"], sim.log().len()), (&json!(200), 200));
}
