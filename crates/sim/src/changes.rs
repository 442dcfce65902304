//! What happened to the tables while the service ran, for tests of clients that detect changes.

use serde_json::{Map, Value};

/// Members that change although nobody changes the table: what DynamoDB counts about every six
/// hours, and the capacity that auto scaling sets.
const DRIFTING: [&str; 5] =
    ["IndexSizeBytes", "ItemCount", "ProvisionedThroughput", "ProvisionedThroughputOverride", "TableSizeBytes"];

/// Something that happened to a table, as an entry of [`Control::log`](crate::Control::log).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Change {
    /// The table's account.
    pub account_id: String,
    /// The table's Region.
    pub region: String,
    /// The table's name.
    pub table: String,
    /// What happened.
    pub kind: ChangeKind,
}

/// What can happen to a table.
///
/// A table exists if it has a description. If it is listed without one
/// ([`Tables::vanishing`](crate::Tables)), putting it creates it, and removing it is not logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChangeKind {
    /// A table was put that did not exist.
    Created,
    /// A table got another description: both have the same `TableId`, or one of them has none. They
    /// differ in more than the members `ItemCount`, `TableSizeBytes`, `IndexSizeBytes`,
    /// `ProvisionedThroughput` and `ProvisionedThroughputOverride` of the table, its indexes and
    /// its replicas. All other differences count, including transient states, times, warm
    /// throughput and the order of lists. If only these members differ, nothing is logged.
    Updated,
    /// A table was removed.
    Removed,
    /// A table replaced another: their `TableId`s differ.
    Recreated,
}

impl ChangeKind {
    /// The change if a description replaces another, if it is one.
    pub(crate) fn between(before: &Value, after: &Value) -> Option<Self> {
        match (before["TableId"].as_str(), after["TableId"].as_str()) {
            (Some(before), Some(after)) if before != after => Some(Self::Recreated),
            _ => (!is_same(before, after)).then_some(Self::Updated),
        }
    }
}

fn is_same(before: &Value, after: &Value) -> bool {
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => {
            let lasting = |members: &Map<String, Value>| members.keys().filter(|name| !is_drifting(name)).count();
            let mut members = before.iter().filter(|(name, _)| !is_drifting(name));
            lasting(before) == lasting(after)
                && members.all(|(name, before)| after.get(name).is_some_and(|after| is_same(before, after)))
        }
        (Value::Array(before), Value::Array(after)) => {
            before.len() == after.len() && before.iter().zip(after).all(|(before, after)| is_same(before, after))
        }
        _ => before == after,
    }
}

fn is_drifting(name: &str) -> bool {
    DRIFTING.contains(&name)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fixtures::full_table;

    fn full() -> Value {
        full_table("orders", "111122223333", "eu-west-1")
    }

    /// Every value of a description, by its JSON Pointer.
    fn values(value: &Value, at: &str, into: &mut Vec<String>) {
        match value {
            Value::Object(members) => {
                members.iter().for_each(|(name, value)| values(value, &format!("{at}/{name}"), into));
            }
            Value::Array(items) => {
                items.iter().enumerate().for_each(|(index, value)| values(value, &format!("{at}/{index}"), into));
            }
            _ => into.push(at.to_owned()),
        }
    }

    #[test]
    fn everything_but_drift_is_an_update_at_every_depth() {
        let mut places = Vec::new();
        values(&full(), "", &mut places);
        let quiet = places.iter().filter(|place| {
            let mut after = full();
            *after.pointer_mut(place).unwrap() = json!("other");
            let expected = if *place == "/TableId" { ChangeKind::Recreated } else { ChangeKind::Updated };
            let kind = ChangeKind::between(&full(), &after);
            assert!(kind.is_none_or(|kind| kind == expected), "{place}: {kind:?}");
            kind.is_none()
        });
        let quiet: Vec<&String> = quiet.collect();
        assert!(quiet.iter().all(|place| place.split('/').any(is_drifting)), "{quiet:?}");
        // Two of the table, two of each of its three indexes, and the capacity: five members of the
        // table and of its global index, one of the replica and one of the replica's index.
        assert_eq!(quiet.len(), 20);
    }

    #[test]
    fn added_and_removed_members_are_updates_unless_they_are_counts() {
        for edit in [
            |table: &mut Value| table["NewField"] = json!(1),
            |table: &mut Value| drop(table.as_object_mut().unwrap().remove("SSEDescription")),
            |table: &mut Value| drop(table.as_object_mut().unwrap().remove("TableId")),
            |table: &mut Value| drop(table["KeySchema"].as_array_mut().unwrap().pop()),
            |table: &mut Value| table["AttributeDefinitions"].as_array_mut().unwrap().swap(0, 1),
        ] {
            let mut after = full();
            edit(&mut after);
            assert_eq!(ChangeKind::between(&full(), &after), Some(ChangeKind::Updated));
            assert_eq!(ChangeKind::between(&after, &full()), Some(ChangeKind::Updated));
        }
        let mut after = full();
        after.as_object_mut().unwrap().remove("ItemCount");
        assert_eq!(ChangeKind::between(&full(), &after), None);
        assert_eq!(ChangeKind::between(&after, &full()), None);
    }
}
