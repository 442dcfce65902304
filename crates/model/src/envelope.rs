//! The envelope, which all lines of the output share. Only this module writes and reads it.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::de::{DeserializeOwned, Error};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::record::{
    AccountsDiscovered, Index, KeySchema, RegionsDiscovered, RunCompleted, RunStarted, ScopeCompleted, Table,
    TableFailed, TableListed, TargetFailed,
};
use crate::{
    ChangeKind, RunId, Scope, ScopeRetired, TableAdded, TableChanged, TableRecreated, TableRemoved, TableUnselected,
};

/// The version of the output contract. Within a version, fields may be added, but none is removed
/// or changes its meaning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum SchemaVersion {
    /// `dynacrawl/1`
    #[default]
    #[serde(rename = "dynacrawl/1")]
    V1,
}

/// One line of the output.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// The run.
    pub run_id: RunId,
    /// The account and Region; `None` for records that are not about one.
    pub scope: Option<Arc<NamedScope>>,
    /// The members of the line after the envelope.
    pub body: Body,
}

/// A scope with the name of its account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedScope {
    /// The account and Region.
    pub scope: Scope,
    /// The name of the account, if known. It is not part of the scope, because the scope is a key
    /// and an account can be renamed.
    pub account_name: Option<Arc<str>>,
}

impl Deref for NamedScope {
    type Target = Scope;

    fn deref(&self) -> &Scope {
        &self.scope
    }
}

impl fmt::Display for NamedScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.scope.fmt(f)
    }
}

impl From<Scope> for NamedScope {
    fn from(scope: Scope) -> Self {
        Self { scope, account_name: None }
    }
}

impl From<Scope> for Arc<NamedScope> {
    fn from(scope: Scope) -> Self {
        Self::new(scope.into())
    }
}

/// Declares the kinds of records. This is the only list of them.
macro_rules! kinds {
    ($($(#[doc = $doc:literal])* $kind:ident($body:ty) = $name:literal,)*) => {
        /// The members of a line after the envelope.
        #[derive(Clone, Debug, PartialEq, JsonSchema)]
        #[serde(tag = "type", rename_all = "snake_case")]
        #[schemars(description = "One line of the output.")]
        pub enum Body {
            $($(#[doc = $doc])* $kind(Box<$body>),)*
        }

        /// The kinds of records.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum RecordKind {
            $($(#[doc = $doc])* #[serde(rename = $name)] $kind,)*
        }

        impl RecordKind {
            /// Every kind.
            pub const ALL: &[Self] = &[$(Self::$kind,)*];

            /// The `type` of the line.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$kind => $name,)* }
            }
        }

        impl Body {
            /// The kind of the record.
            pub fn kind(&self) -> RecordKind {
                match self { $(Self::$kind(_) => RecordKind::$kind,)* }
            }

            fn read(kind: RecordKind, members: Map<String, Value>) -> serde_json::Result<Self> {
                match kind { $(RecordKind::$kind => Ok(Self::$kind(read(members)?)),)* }
            }
        }

        $(impl From<$body> for Body {
            fn from(body: $body) -> Self {
                Self::$kind(Box::new(body))
            }
        })*

        impl Serialize for Record {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let (run_id, scope) = (&self.run_id, self.scope.as_deref());
                match &self.body {
                    $(Body::$kind(body) => Line::new(RecordKind::$kind, run_id, scope, &**body).serialize(serializer),)*
                }
            }
        }
    };
}

kinds! {
    /// The start of a run: the first line.
    RunStarted(RunStarted) = "run_started",
    /// The accounts of an organization.
    AccountsDiscovered(AccountsDiscovered) = "accounts_discovered",
    /// The Regions that the account of a target has enabled.
    RegionsDiscovered(RegionsDiscovered) = "regions_discovered",
    /// A table.
    Table(Table) = "table",
    /// The key of a table or an index, with `--layout entities`.
    KeySchema(KeySchema) = "key_schema",
    /// An index, with `--layout entities`.
    Index(Index) = "index",
    /// A table that could not be described.
    TableFailed(TableFailed) = "table_failed",
    /// A table name and whether the filters select it, with `--dry-run`.
    TableListed(TableListed) = "table_listed",
    /// With a state: a new table.
    TableAdded(TableAdded) = "table_added",
    /// With a state: a table whose structure changed.
    TableChanged(TableChanged) = "table_changed",
    /// With a state: another table under the same name.
    TableRecreated(TableRecreated) = "table_recreated",
    /// With a state: a table that no longer exists.
    TableRemoved(TableRemoved) = "table_removed",
    /// With a state: a table that the filters now exclude.
    TableUnselected(TableUnselected) = "table_unselected",
    /// With a state: an account and Region that the configuration no longer covers.
    ScopeRetired(ScopeRetired) = "scope_retired",
    /// The result of a scope: its last line.
    ScopeCompleted(ScopeCompleted) = "scope_completed",
    /// A target whose scopes could not be determined.
    TargetFailed(TargetFailed) = "target_failed",
    /// The result of a run: the last line.
    RunCompleted(RunCompleted) = "run_completed",
}

/// A line as it is written. The order of the fields is the order on the line.
#[derive(Serialize)]
struct Line<'a, B> {
    r#type: RecordKind,
    schema: SchemaVersion,
    run_id: &'a RunId,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<&'a Scope>,
    /// `None` if there is no scope.
    #[serde(skip_serializing_if = "Option::is_none")]
    account_name: Option<Option<&'a str>>,
    #[serde(flatten)]
    body: &'a B,
}

impl<'a, B> Line<'a, B> {
    fn new(kind: RecordKind, run_id: &'a RunId, scope: Option<&'a NamedScope>, body: &'a B) -> Self {
        let account_name = scope.map(|scope| scope.account_name.as_deref());
        let scope = scope.map(|scope| &scope.scope);
        Self { r#type: kind, schema: SchemaVersion::V1, run_id, scope, account_name, body }
    }
}

/// A line as it is read.
#[derive(Deserialize)]
struct AnyLine {
    r#type: RecordKind,
    #[expect(dead_code, reason = "a line of another version is an error")]
    schema: SchemaVersion,
    run_id: RunId,
    #[serde(default)]
    scope: Option<Scope>,
    #[serde(default)]
    account_name: Option<Arc<str>>,
    #[serde(flatten)]
    members: Map<String, Value>,
}

fn read<T: DeserializeOwned>(members: Map<String, Value>) -> serde_json::Result<T> {
    serde_json::from_value(Value::Object(members))
}

impl<'de> Deserialize<'de> for Record {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let AnyLine { r#type: kind, run_id, scope, account_name, members, .. } = AnyLine::deserialize(deserializer)?;
        if scope.is_some() != kind.is_about_a_scope() {
            let has = if scope.is_some() { "no" } else { "a" };
            return Err(D::Error::custom(format!("{} has {has} scope", kind.as_str())));
        }
        let scope = scope.map(|scope| Arc::new(NamedScope { scope, account_name }));
        Ok(Self { run_id, scope, body: Body::read(kind, members).map_err(D::Error::custom)? })
    }
}

/// A set of record types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordKinds(u32);

impl RecordKinds {
    /// Every type.
    pub const ALL: Self = Self(u32::MAX);

    /// Whether the set has the type.
    pub const fn contains(self, kind: RecordKind) -> bool {
        self.0 & (1 << kind as u32) != 0
    }
}

impl FromIterator<RecordKind> for RecordKinds {
    fn from_iter<I: IntoIterator<Item = RecordKind>>(kinds: I) -> Self {
        Self(kinds.into_iter().fold(0, |set, kind| set | (1 << kind as u32)))
    }
}

impl RecordKind {
    /// The kind with this `type`.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.as_str() == name)
    }

    /// Whether its records have a `scope`.
    pub const fn is_about_a_scope(self) -> bool {
        match self {
            Self::RunStarted
            | Self::AccountsDiscovered
            | Self::RegionsDiscovered
            | Self::TargetFailed
            | Self::RunCompleted => false,
            Self::Table
            | Self::KeySchema
            | Self::Index
            | Self::TableFailed
            | Self::TableListed
            | Self::TableAdded
            | Self::TableChanged
            | Self::TableRecreated
            | Self::TableRemoved
            | Self::TableUnselected
            | Self::ScopeRetired
            | Self::ScopeCompleted => true,
        }
    }
}

impl RecordKind {
    /// Whether its records report a change, which needs a state.
    pub const fn is_a_change(self) -> bool {
        match self {
            Self::TableAdded
            | Self::TableChanged
            | Self::TableRecreated
            | Self::TableRemoved
            | Self::TableUnselected
            | Self::ScopeRetired => true,
            Self::RunStarted
            | Self::AccountsDiscovered
            | Self::RegionsDiscovered
            | Self::Table
            | Self::KeySchema
            | Self::Index
            | Self::TableFailed
            | Self::TableListed
            | Self::ScopeCompleted
            | Self::TargetFailed
            | Self::RunCompleted => false,
        }
    }
}

impl Record {
    /// A record about a run or a target.
    pub fn of_run(run_id: RunId, body: impl Into<Body>) -> Self {
        let body = body.into();
        debug_assert!(!body.kind().is_about_a_scope(), "{:?} has a scope", body.kind());
        Self { run_id, scope: None, body }
    }

    /// A record about a scope.
    pub fn of_scope(run_id: RunId, scope: Arc<NamedScope>, body: impl Into<Body>) -> Self {
        let body = body.into();
        debug_assert!(body.kind().is_about_a_scope(), "{:?} has no scope", body.kind());
        Self { run_id, scope: Some(scope), body }
    }

    /// The kind of the record.
    pub fn kind(&self) -> RecordKind {
        self.body.kind()
    }
}

/// The line of a table that the caller does not own.
pub fn table_line(run_id: &RunId, scope: &NamedScope, table: &Table) -> serde_json::Result<String> {
    serde_json::to_string(&Line::new(RecordKind::Table, run_id, Some(scope), table))
}

impl ChangeKind {
    /// The kind of record that reports this kind of change.
    pub const fn record(self) -> RecordKind {
        match self {
            Self::Added => RecordKind::TableAdded,
            Self::Changed => RecordKind::TableChanged,
            Self::Recreated => RecordKind::TableRecreated,
            Self::Removed => RecordKind::TableRemoved,
            Self::Unselected => RecordKind::TableUnselected,
            Self::Retired => RecordKind::ScopeRetired,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Record, RecordKind};

    #[test]
    fn a_line_begins_with_its_envelope_and_is_read_back() {
        let run_id = crate::RunId::generate();
        let region = "eu-west-1".parse().expect("a Region");
        let scope = crate::Scope { partition: "aws".into(), account_id: None, region };
        let failed = crate::TableFailed {
            table_name: "orders".into(),
            reason: crate::FailureReason::Denied,
            code: "AccessDeniedException".to_owned(),
            message: "no".to_owned(),
            attempts: 1,
        };
        let record = Record::of_scope(run_id, scope.into(), failed);
        let line = serde_json::to_string(&record).expect("JSON");
        let envelope =
            format!(r#"{{"type":"table_failed","schema":"dynacrawl/1","run_id":"{}","scope":{{"#, run_id.as_str());
        assert!(line.starts_with(&envelope), "{line}");
        assert_eq!(serde_json::from_str::<Record>(&line).expect("a record"), record);
        let named = line.replace(r#""account_name":null"#, r#""account_name":"payments""#);
        let named: Record = serde_json::from_str(&named).expect("a record");
        assert_eq!(named.scope.and_then(|scope| scope.account_name.clone()).as_deref(), Some("payments"));
        for other in [line.replace("dynacrawl/1", "dynacrawl/0"), line.replace("table_failed", "run_completed")] {
            assert!(serde_json::from_str::<Record>(&other).is_err(), "{other}");
        }
    }

    #[test]
    fn a_set_has_exactly_the_kinds_it_was_built_from() {
        let set: super::RecordKinds = [RecordKind::Table, RecordKind::RunCompleted].into_iter().collect();
        for kind in RecordKind::ALL {
            let is_in = matches!(kind, RecordKind::Table | RecordKind::RunCompleted);
            assert_eq!(set.contains(*kind), is_in, "{kind:?}");
            assert!(super::RecordKinds::ALL.contains(*kind));
            assert_eq!(RecordKind::named(kind.as_str()), Some(*kind));
        }
    }

    #[test]
    fn every_kind_has_a_unique_name() {
        let names: std::collections::BTreeSet<_> = RecordKind::ALL.iter().map(|kind| kind.as_str()).collect();
        assert_eq!(names.len(), RecordKind::ALL.len());
        for kind in RecordKind::ALL {
            assert_eq!(serde_json::to_value(kind).expect("JSON"), kind.as_str());
        }
    }
}
