//! The tables of one scope in a running simulator: listed, described, created and removed.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::iter::Peekable;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use serde_json::Value;

use crate::changes::ChangeKind;
use crate::estate::{Shape, StoredTable, Tables};
use crate::place::Place;

/// A page of names, and the name after which the list continues.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) names: Vec<String>,
    pub(crate) last: Option<String>,
}

#[derive(Debug)]
struct Live {
    /// DescribeTable's answer, or `None` if the table is listed but cannot be described.
    body: Option<Bytes>,
    /// How many more calls of DescribeTable do not find the table.
    unknown_for: AtomicU32,
}

/// Tables whose names and descriptions are derived from their numbers.
#[derive(Debug)]
struct Generated {
    count: u64,
    digits: usize,
    shape: Shape,
    place: Arc<Place>,
}

impl Generated {
    const PREFIX: &'static str = "table-";

    fn name(&self, index: u64) -> String {
        format!("{}{index:0width$}", Self::PREFIX, width = self.digits)
    }

    fn index(&self, name: &str) -> Option<u64> {
        let digits = name.strip_prefix(Self::PREFIX)?;
        if digits.len() != self.digits || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        digits.parse().ok().filter(|&index| index < self.count)
    }

    /// The first number whose name comes after `start`.
    fn after(&self, start: Option<&str>) -> u64 {
        let Some(start) = start else { return 0 };
        if let Some(index) = self.index(start) {
            return index + 1;
        }
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.name(middle).as_str() > start {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        low
    }
}

/// The tables of one scope.
#[derive(Debug)]
pub(crate) struct LiveTables {
    stored: BTreeMap<String, Live>,
    generated: Option<Generated>,
    /// Generated tables that were removed.
    removed: BTreeSet<String>,
}

impl LiveTables {
    pub(crate) fn new(tables: Tables, place: Arc<Place>) -> Self {
        let stored = tables
            .stored
            .into_iter()
            .map(|(name, table)| {
                let live = match table {
                    StoredTable::Present(body) => Live { body: Some(body), unknown_for: AtomicU32::new(0) },
                    StoredTable::Vanishing => Live { body: None, unknown_for: AtomicU32::new(0) },
                    StoredTable::Late { body, unknown_for } => {
                        Live { body: Some(body), unknown_for: AtomicU32::new(unknown_for) }
                    }
                };
                (name, live)
            })
            .collect();
        let generated = tables.generated.map(|(count, shape)| Generated {
            count,
            digits: 6.max(count.saturating_sub(1).checked_ilog10().unwrap_or(0) as usize + 1),
            shape,
            place,
        });
        Self { stored, generated, removed: BTreeSet::new() }
    }

    /// Names after `start` in ASCII order.
    fn names_after<'a>(&'a self, start: Option<&'a str>) -> impl Iterator<Item = Cow<'a, str>> {
        let from = start.map_or(Bound::Unbounded, Bound::Excluded);
        let stored =
            self.stored.range::<str, _>((from, Bound::Unbounded)).map(|(name, _)| Cow::Borrowed(name.as_str()));
        let generated = self
            .generated
            .iter()
            .flat_map(move |generated| (generated.after(start)..generated.count).map(|index| generated.name(index)))
            .filter(|name| !self.removed.contains(name) && !self.stored.contains_key(name))
            .map(Cow::Owned);
        Merged { left: stored.peekable(), right: generated.peekable() }
    }

    pub(crate) fn page(&self, start: Option<&str>, limit: usize) -> Page {
        let mut rest = self.names_after(start);
        let names: Vec<String> = rest.by_ref().take(limit).map(Cow::into_owned).collect();
        let last = rest.next().and_then(|_| names.last().cloned());
        Page { names, last }
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.names_after(None).map(Cow::into_owned).collect()
    }

    /// DescribeTable's answer. For a table that appears late, each call counts.
    pub(crate) fn describe(&self, name: &str) -> Option<Bytes> {
        let Some(live) = self.stored.get(name) else { return self.generate(name) };
        let late =
            live.unknown_for.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok();
        if late { None } else { live.body.clone() }
    }

    /// Whether DescribeTable would find a table now. This does not count as a call.
    pub(crate) fn is_known(&self, name: &str) -> bool {
        match self.stored.get(name) {
            Some(live) => live.body.is_some() && live.unknown_for.load(Ordering::Relaxed) == 0,
            None => {
                let generated = self.generated.as_ref().and_then(|generated| generated.index(name));
                generated.is_some() && !self.removed.contains(name)
            }
        }
    }

    fn generate(&self, name: &str) -> Option<Bytes> {
        let generated = self.generated.as_ref()?;
        let index = generated.index(name)?;
        (!self.removed.contains(name)).then(|| generated.shape.render(&generated.place, name, index))
    }

    /// The description, also of a table that appears late.
    pub(crate) fn describe_json(&self, name: &str) -> Option<Value> {
        table_of(&self.body(name)?)
    }

    fn body(&self, name: &str) -> Option<Bytes> {
        match self.stored.get(name) {
            Some(live) => live.body.clone(),
            None => self.generate(name),
        }
    }

    /// Puts a table, and returns the change.
    pub(crate) fn put(&mut self, name: &str, description: &Value) -> Option<ChangeKind> {
        let body = StoredTable::body(description);
        let change = match self.body(name) {
            None => Some(ChangeKind::Created),
            // Compared as text, because numbers that are parsed may differ in their last digit.
            Some(before) if before == body => None,
            Some(before) => table_of(&before).and_then(|before| ChangeKind::between(&before, description)),
        };
        self.stored.insert(name.to_owned(), Live { body: Some(body), unknown_for: AtomicU32::new(0) });
        change
    }

    /// Edits a description. Returns whether there is one, and the change. A table that appears late
    /// does not appear sooner.
    pub(crate) fn edit(&mut self, name: &str, edit: impl FnOnce(&mut Value)) -> (bool, Option<ChangeKind>) {
        let Some(mut description) = self.describe_json(name) else { return (false, None) };
        edit(&mut description);
        let unknown_for = self.stored.get(name).map_or(0, |live| live.unknown_for.load(Ordering::Relaxed));
        let change = self.put(name, &description);
        if let Some(live) = self.stored.get(name) {
            live.unknown_for.store(unknown_for, Ordering::Relaxed);
        }
        (true, change)
    }

    /// Removes a table. Returns whether it was listed, and the change.
    pub(crate) fn remove(&mut self, name: &str) -> (bool, Option<ChangeKind>) {
        let change = self.body(name).map(|_| ChangeKind::Removed);
        let stored = self.stored.remove(name).is_some();
        let generated = self.generated.as_ref().is_some_and(|generated| generated.index(name).is_some());
        (stored | (generated && self.removed.insert(name.to_owned())), change)
    }
}

/// The description in an answer to DescribeTable.
fn table_of(body: &[u8]) -> Option<Value> {
    serde_json::from_slice::<Value>(body).ok()?.get_mut("Table").map(Value::take)
}

/// Merges two sorted sequences without common elements.
struct Merged<L: Iterator, R: Iterator> {
    left: Peekable<L>,
    right: Peekable<R>,
}

impl<T: Ord, L: Iterator<Item = T>, R: Iterator<Item = T>> Iterator for Merged<L, R> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        match (self.left.peek(), self.right.peek()) {
            (Some(left), Some(right)) if right < left => self.right.next(),
            (Some(_), _) => self.left.next(),
            (None, _) => self.right.next(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn live_with(tables: Tables) -> LiveTables {
        let [partition, account_id, region] = ["aws", "111122223333", "eu-west-1"].map(str::to_owned);
        LiveTables::new(tables, Arc::new(Place { partition, account_id, region }))
    }

    fn live(count: u64) -> LiveTables {
        live_with(Tables::new().generated(count))
    }

    #[test]
    fn stored_and_generated_tables_are_one_sorted_list() {
        let mut tables = live(5);
        tables.put("aardvark", &json!({"TableName": "aardvark"}));
        tables.put("table-000002x", &json!({}));
        tables.put("table-000003", &json!({"TableName": "override"}));
        assert_eq!(tables.remove("table-000001"), (true, Some(ChangeKind::Removed)));
        assert_eq!(tables.remove("table-000001"), (false, None));
        assert_eq!(
            tables.names(),
            ["aardvark", "table-000000", "table-000002", "table-000002x", "table-000003", "table-000004"]
        );
        assert_eq!(tables.describe_json("table-000003").unwrap()["TableName"], "override");
        assert_eq!(tables.describe("table-000001"), None);
        assert_eq!(
            tables.page(Some("table-000001"), 2),
            Page { names: vec!["table-000002".into(), "table-000002x".into()], last: Some("table-000002x".into()) }
        );
        assert_eq!(tables.page(Some("table-000003"), 2), Page { names: vec!["table-000004".into()], last: None });
        assert_eq!(tables.page(Some("zzz"), 2), Page { names: vec![], last: None });
    }

    #[test]
    fn million_generated_tables_stay_sorted() {
        let tables = live(1_000_001);
        assert_eq!(tables.page(Some("table-0999998"), 10).names, ["table-0999999", "table-1000000"]);
        assert_eq!(tables.page(Some("table-09999985"), 1).names, ["table-0999999"]);
    }

    #[test]
    fn generated_description_names_its_table() {
        let table = live(10).describe_json("table-000007").unwrap();
        assert_eq!(table["TableName"], "table-000007");
        assert_eq!(table["TableArn"], "arn:aws:dynamodb:eu-west-1:111122223333:table/table-000007");
        assert_eq!(table["GlobalSecondaryIndexes"].as_array().unwrap().len(), 2);
        assert_eq!(table["LocalSecondaryIndexes"].as_array().unwrap().len(), 1);
        let size = live(10).describe("table-000007").unwrap().len();
        assert!((2_500..3_500).contains(&size), "{size}");
    }

    #[test]
    fn late_table_appears_after_its_misses() {
        let tables = live_with(Tables::new().late("new", 2, &json!({"TableName": "new"})).vanishing("gone"));
        assert_eq!(tables.names(), ["gone", "new"]);
        assert!(!tables.is_known("new"));
        assert_eq!([(); 4].map(|()| tables.describe("new").is_some()), [false, false, true, true]);
        assert!(tables.is_known("new") && !tables.is_known("gone"));
        assert_eq!(tables.describe("gone"), None);
    }

    #[test]
    fn an_edit_does_not_make_a_late_table_appear_sooner() {
        let mut tables = live_with(Tables::new().late("new", 2, &json!({"TableName": "new"})).vanishing("gone"));
        let edit = |table: &mut Value| table["DeletionProtectionEnabled"] = json!(true);
        assert_eq!(tables.edit("new", edit), (true, Some(ChangeKind::Updated)));
        assert_eq!([(); 3].map(|()| tables.describe("new").is_some()), [false, false, true]);
        assert_eq!([tables.edit("gone", edit), tables.edit("nope", edit)], [(false, None); 2]);
    }

    #[test]
    fn table_without_a_description_does_not_exist_for_the_log() {
        let mut tables = live_with(Tables::new().vanishing("gone").vanishing("back"));
        assert_eq!(tables.remove("gone"), (true, None));
        assert_eq!(tables.put("back", &json!({})), Some(ChangeKind::Created));
    }
}
