//! The sinks, and what each of them gets.

use dynacrawl_model::RecordKind;
use dynacrawl_sinks::{Event, SinkSettings, table_of};
use dynacrawl_walker::{InvalidPattern, TableFilter};

use super::group::is_part_of;

/// A sink, and which events it gets.
#[derive(Clone, Debug, PartialEq)]
pub struct ConfiguredSink {
    /// The destination.
    pub sink: SinkSettings,
    /// Which events it gets.
    pub filter: EventFilter,
}

/// Which events a sink gets. Those that it does not get count as delivered.
#[derive(Clone, Debug, Default)]
pub struct EventFilter {
    /// Only events of these targets; empty: all. An organization includes its accounts.
    pub targets: Vec<String>,
    /// Only records of these types; empty: all.
    pub records: Vec<RecordKind>,
    include: Vec<String>,
    exclude: Vec<String>,
    tables: TableFilter,
}

impl PartialEq for EventFilter {
    fn eq(&self, other: &Self) -> bool {
        // `tables` is made from `include` and `exclude`.
        let of = |filter: &Self| {
            (filter.targets.clone(), filter.records.clone(), filter.include.clone(), filter.exclude.clone())
        };
        of(self) == of(other)
    }
}

impl EventFilter {
    /// A filter.
    ///
    /// # Errors
    /// The first expression that cannot be used.
    pub fn new(
        targets: Vec<String>,
        records: Vec<RecordKind>,
        include: Vec<String>,
        exclude: Vec<String>,
    ) -> Result<Self, InvalidPattern> {
        let tables = TableFilter::new(&include, &exclude)?;
        Ok(Self { targets, records, include, exclude, tables })
    }

    /// Whether the sink gets an event. Expressions on tables do not concern events about a scope, a
    /// target or a run, nor targets those about a run.
    pub fn passes(&self, event: &Event) -> bool {
        let name = table_of(&event.record, event.table.as_ref()).and_then(|table| table.name.as_ref());
        self.has_kind(event.record.kind())
            && event.target.as_deref().is_none_or(|target| self.has_target(target))
            && name.is_none_or(|name| self.has_table(name.as_str()))
    }

    /// Whether the sink gets records of a type.
    pub fn has_kind(&self, kind: RecordKind) -> bool {
        self.records.is_empty() || self.records.contains(&kind)
    }

    /// What the filter selects, as text that is the same for equal filters.
    pub(crate) fn words(&self) -> String {
        format!("{:?} {:?} {:?}", self.targets, self.include, self.exclude)
    }

    /// Whether the sink gets what belongs to a target.
    pub fn has_target(&self, target: &str) -> bool {
        self.targets.is_empty() || self.targets.iter().any(|name| is_part_of(target, name))
    }

    /// Whether the sink gets a table with this name.
    pub fn has_table(&self, name: &str) -> bool {
        self.tables.selects(name)
    }
}

/// The sinks that a run delivers to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SinkChoice {
    /// All.
    #[default]
    All,
    /// These. The state keeps what the others are owed.
    Only(Vec<String>),
}

impl SinkChoice {
    /// The chosen ones of all sinks.
    pub fn of<'s>(&self, sinks: &'s [ConfiguredSink]) -> Vec<&'s ConfiguredSink> {
        let is_chosen = |name: &String| match self {
            Self::All => true,
            Self::Only(names) => names.contains(name),
        };
        sinks.iter().filter(|one| is_chosen(&one.sink.name)).collect()
    }
}

#[cfg(test)]
mod tests {
    use dynacrawl_model::{Record, RecordKind, RunId, Scope};
    use dynacrawl_sinks::{Event, Part};
    use serde_json::json;

    use super::EventFilter;

    fn event(kind: &str, target: Option<&str>, table: Option<&str>) -> Event {
        let scope = Scope {
            partition: "aws".into(),
            account_id: "111122223333".parse().ok(),
            region: "eu-west-1".parse().expect("a Region"),
        };
        let mut line = json!({
            "schema": "dynacrawl/1", "run_id": RunId::generate(), "scope": scope, "account_name": null,
            "observed_at": "2026-01-31T00:00:00.000Z", "table_id": null, "table_arn": null, "reason": null, "target": "home", "table_count": 0,
        });
        line["type"] = kind.into();
        line["table_name"] = table.unwrap_or_default().into();
        let table = table.map(|name| {
            let line = json!({
                "type": "table", "schema": "dynacrawl/1", "run_id": RunId::generate(), "scope": scope, "account_name": null,
                "observed_at": "2026-01-31T00:00:00.000Z", "fingerprint": "3:0", "problems": [],
                "table": {"name": name, "attributes": [], "replicas": [], "global_table_witnesses": [], "defaulted": [], "extra": "{}"},
            });
            serde_json::from_value::<Record>(line).expect("a record")
        });
        let record: Record = match &table {
            Some(table) if kind == "table" => table.clone(),
            _ => serde_json::from_value(line).expect("a record"),
        };
        Event { id: "1".to_owned(), record, table, target: target.map(str::to_owned), part: Part::Whole }
    }

    #[test]
    fn a_filter_selects_by_target_table_and_type() {
        let filter = |targets: &[&str], records: &[RecordKind], include: &[&str]| {
            let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
            EventFilter::new(owned(targets), records.to_vec(), owned(include), Vec::new()).expect("valid")
        };
        let of_table = event("table", Some("org/111122223333"), Some("orders"));
        let retired = event("scope_retired", Some("home"), None);
        for (filter, table, scope) in [
            (filter(&[], &[], &[]), true, true),
            (filter(&["org"], &[], &[]), true, false),
            (filter(&["or"], &[], &[]), false, false),
            (filter(&["home"], &[], &[]), false, true),
            (filter(&[], &[RecordKind::Table], &[]), true, false),
            (filter(&[], &[], &["carts"]), false, true),
            (filter(&[], &[], &["ord.*"]), true, true),
        ] {
            assert_eq!((filter.passes(&of_table), filter.passes(&retired)), (table, scope), "{filter:?}");
        }
    }
}
