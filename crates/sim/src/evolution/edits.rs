//! Changes of a table that do not recreate it.

use serde_json::{Value, json};

/// DynamoDB's limit for global secondary indexes of a table.
const MOST_INDEXES: usize = 20;

/// When an evolution makes a change: a minute after the one before.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    number: u64,
}

impl Moment {
    /// The beginning of 2026, after every table that an estate starts with.
    const START: u64 = 1_767_225_600;

    pub(super) fn after(changes: u64) -> Self {
        Self { number: changes }
    }

    fn milliseconds(self) -> u64 {
        (Self::START + 60 * self.number) * 1_000 + 125
    }

    /// In the form of DescribeTable's times.
    pub(super) fn seconds(self) -> f64 {
        self.milliseconds() as f64 / 1_000.0
    }

    /// In the form of stream labels.
    fn label(self) -> String {
        let milliseconds = i64::try_from(self.milliseconds()).unwrap_or(i64::MAX);
        let time = jiff::Timestamp::from_millisecond(milliseconds).unwrap_or(jiff::Timestamp::MAX);
        time.to_string().trim_end_matches('Z').to_owned()
    }
}

/// A change of one property. It makes a difference in every table that allows it. `Throughput` is
/// drift.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Edit {
    BillingMode,
    Throughput,
    AddIndex,
    RemoveIndex,
    Stream,
    Protection,
}

impl Edit {
    /// The edits that a table allows.
    pub(super) fn of(table: &Value) -> Vec<Self> {
        let indexes = table["GlobalSecondaryIndexes"].as_array().map_or(0, Vec::len);
        let mut edits = vec![Self::BillingMode, Self::Stream, Self::Protection];
        edits.extend((!is_on_demand(table)).then_some(Self::Throughput));
        edits.extend((indexes < MOST_INDEXES).then_some(Self::AddIndex));
        edits.extend((indexes > 0).then_some(Self::RemoveIndex));
        edits
    }

    pub(super) fn apply(self, table: &mut Value, moment: Moment, rng: &mut fastrand::Rng) {
        match self {
            Self::BillingMode if is_on_demand(table) => {
                table["BillingModeSummary"]["BillingMode"] = "PROVISIONED".into();
                remove(table, "OnDemandThroughput");
                indexes(table).for_each(|index| remove(index, "OnDemandThroughput"));
                set_throughput(table, rng.u64(1..=100), rng.u64(1..=100));
            }
            Self::BillingMode => {
                table["BillingModeSummary"] =
                    json!({"BillingMode": "PAY_PER_REQUEST", "LastUpdateToPayPerRequestDateTime": moment.seconds()});
                set_throughput(table, 0, 0);
            }
            Self::Throughput => {
                let mut other = |field: &str| match table["ProvisionedThroughput"][field].as_u64().unwrap_or_default() {
                    units @ 0..=200 => units + rng.u64(1..=50),
                    units => units / 2,
                };
                let (read, write) = (other("ReadCapacityUnits"), other("WriteCapacityUnits"));
                set_throughput(table, read, write);
            }
            Self::AddIndex => add_index(table, moment.number),
            Self::RemoveIndex => remove_index(table, rng),
            Self::Stream if table["StreamSpecification"]["StreamEnabled"] == true => {
                // The content of the stream can still be read, so its label and ARN stay.
                remove(table, "StreamSpecification");
            }
            Self::Stream => {
                let views = ["KEYS_ONLY", "NEW_IMAGE", "OLD_IMAGE", "NEW_AND_OLD_IMAGES"];
                let (view, label) = (rng.choice(views), moment.label());
                let arn = format!("{}/stream/{label}", table["TableArn"].as_str().unwrap_or_default());
                table["StreamSpecification"] = json!({"StreamEnabled": true, "StreamViewType": view});
                table["LatestStreamLabel"] = label.into();
                table["LatestStreamArn"] = arn.into();
            }
            Self::Protection => {
                let protected = table["DeletionProtectionEnabled"] == true;
                table["DeletionProtectionEnabled"] = (!protected).into();
            }
        }
    }
}

fn is_on_demand(table: &Value) -> bool {
    table["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
}

fn indexes(table: &mut Value) -> impl Iterator<Item = &mut Value> {
    list(table, "GlobalSecondaryIndexes").into_iter().flatten()
}

/// Sets it for the table and all its global secondary indexes, to keep it simple.
fn set_throughput(table: &mut Value, read: u64, write: u64) {
    let throughput = json!({"NumberOfDecreasesToday": 0, "ReadCapacityUnits": read, "WriteCapacityUnits": write});
    indexes(table).for_each(|index| index["ProvisionedThroughput"] = throughput.clone());
    table["ProvisionedThroughput"] = throughput;
}

fn add_index(table: &mut Value, number: u64) {
    let taken: Vec<Value> = indexes(table).map(|index| index["IndexName"].clone()).collect();
    let name = |number: &u64| format!("by_evolved_{number}");
    let number = (number..).find(|number| !taken.contains(&name(number).into())).unwrap_or(number);
    let (name, attribute) = (name(&number), format!("evolved_{number}"));
    let arn = format!("{}/index/{name}", table["TableArn"].as_str().unwrap_or_default());
    let throughput = table["ProvisionedThroughput"].clone();
    push(table, "AttributeDefinitions", json!({"AttributeName": attribute, "AttributeType": "S"}));
    push(
        table,
        "GlobalSecondaryIndexes",
        json!({
            "IndexName": name, "KeySchema": [{"AttributeName": attribute, "KeyType": "HASH"}], "Projection": {"ProjectionType": "ALL"},
            "IndexStatus": "ACTIVE", "ProvisionedThroughput": throughput, "IndexSizeBytes": 0, "ItemCount": 0, "IndexArn": arn,
        }),
    );
}

fn remove_index(table: &mut Value, rng: &mut fastrand::Rng) {
    if let Some(indexes) = list(table, "GlobalSecondaryIndexes").filter(|indexes| !indexes.is_empty()) {
        indexes.remove(rng.usize(..indexes.len()));
        if indexes.is_empty() {
            remove(table, "GlobalSecondaryIndexes");
        }
    }
    // DynamoDB defines no attribute that is not part of a key.
    let mut used = Vec::new();
    attributes(table, &mut used);
    if let Some(definitions) = list(table, "AttributeDefinitions") {
        definitions.retain(|definition| used.contains(&definition["AttributeName"]));
    }
}

/// The attributes that are named anywhere except in their definitions.
fn attributes(value: &Value, into: &mut Vec<Value>) {
    match value {
        Value::Object(members) => {
            into.extend(members.get("AttributeName").cloned());
            let members = members.iter().filter(|(name, _)| *name != "AttributeDefinitions");
            members.for_each(|(_, member)| attributes(member, into));
        }
        Value::Array(items) => items.iter().for_each(|item| attributes(item, into)),
        _ => {}
    }
}

fn list<'a>(table: &'a mut Value, name: &str) -> Option<&'a mut Vec<Value>> {
    table.get_mut(name).and_then(Value::as_array_mut)
}

fn push(table: &mut Value, name: &str, item: Value) {
    match list(table, name) {
        Some(items) => items.push(item),
        None => table[name] = json!([item]),
    }
}

fn remove(value: &mut Value, member: &str) {
    if let Some(members) = value.as_object_mut() {
        members.remove(member);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::changes::ChangeKind;
    use crate::estate::{Index, TableBuilder};
    use crate::fixtures::full_table;

    fn applied(edit: Edit, before: &Value) -> Value {
        let mut after = before.clone();
        edit.apply(&mut after, Moment::after(7), &mut fastrand::Rng::with_seed(1));
        after
    }

    #[test]
    fn every_edit_is_an_update_except_throughput_which_drifts() {
        let new = || TableBuilder::new("111122223333", "eu-west-1", "orders").hash("id", "S");
        let index = || Index::new("by_status").hash("status");
        let streamed = new().attribute("status", "S").gsi(index()).provisioned(5, 900).stream("KEYS_ONLY").protected();
        let full = full_table("orders", "111122223333", "eu-west-1");
        for table in [new().build(), new().provisioned(300, 1).build(), streamed.build(), full, json!({})] {
            for edit in Edit::of(&table) {
                let once = applied(edit, &table);
                assert_ne!(once, table, "{edit:?}");
                let expected = (edit != Edit::Throughput).then_some(ChangeKind::Updated);
                assert_eq!(ChangeKind::between(&table, &once), expected, "{edit:?} of {table}");
                if Edit::of(&once).contains(&edit) {
                    let twice = applied(edit, &once);
                    assert_eq!(ChangeKind::between(&once, &twice), expected, "{edit:?} of {once}");
                }
            }
        }
    }

    #[test]
    fn index_is_added_and_removed_with_its_attribute() {
        let table = TableBuilder::new("111122223333", "eu-west-1", "orders").hash("id", "S").build();
        let added = applied(Edit::AddIndex, &table);
        assert_eq!(added["AttributeDefinitions"][1]["AttributeName"], "evolved_7");
        assert_eq!(
            added["GlobalSecondaryIndexes"][0]["IndexArn"],
            "arn:aws:dynamodb:eu-west-1:111122223333:table/orders/index/by_evolved_7"
        );
        assert_eq!(applied(Edit::AddIndex, &added)["GlobalSecondaryIndexes"][1]["IndexName"], "by_evolved_8");
        assert_eq!(applied(Edit::RemoveIndex, &added), table);
        assert!(!Edit::of(&table).contains(&Edit::RemoveIndex));
        let most = (0..MOST_INDEXES).fold(table, |table, _| applied(Edit::AddIndex, &table));
        assert!(!Edit::of(&most).contains(&Edit::AddIndex));
    }

    #[test]
    fn only_provisioned_tables_have_provisioned_throughput() {
        let table = TableBuilder::new("111122223333", "eu-west-1", "orders").hash("id", "S").on_demand_maximum(40, 10);
        let on_demand = table.build();
        assert!(!Edit::of(&on_demand).contains(&Edit::Throughput));
        let provisioned = applied(Edit::BillingMode, &on_demand);
        assert!(provisioned["ProvisionedThroughput"]["ReadCapacityUnits"].as_u64() > Some(0));
        assert_eq!(provisioned.get("OnDemandThroughput"), None);
        assert!(Edit::of(&provisioned).contains(&Edit::Throughput));
        let back = applied(Edit::BillingMode, &provisioned);
        assert_eq!(back["ProvisionedThroughput"]["ReadCapacityUnits"], 0);
    }

    #[test]
    fn stream_label_is_the_time_of_the_change() {
        let table = TableBuilder::new("111122223333", "eu-west-1", "orders").hash("id", "S").build();
        let on = applied(Edit::Stream, &table);
        assert_eq!(on["LatestStreamLabel"], "2026-01-01T00:07:00.125");
        let off = applied(Edit::Stream, &on);
        assert_eq!((off.get("StreamSpecification"), &off["LatestStreamArn"]), (None, &on["LatestStreamArn"]));
    }
}
