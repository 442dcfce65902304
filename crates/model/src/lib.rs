//! The output contract of dynacrawl: every record that can appear on a line, the ids in it, and the
//! JSON Schema that describes it.
//!
//! This crate does not know AWS's wire format, networks or clocks. Fields are written in the order
//! of the struct's fields, so that order *is* part of the contract.

mod change;
mod change_kind;
mod envelope;
mod escape;
mod files;
mod ids;
mod json_text;
mod operation;
mod outcome;
mod record;
mod schema;
mod table;
mod time;

pub use change::{Change, ScopeRetired, TableAdded, TableChanged, TableRecreated, TableRemoved, TableUnselected};
pub use change_kind::ChangeKind;
pub use envelope::{Body, NamedScope, Record, RecordKind, RecordKinds, SchemaVersion, table_line};
pub use escape::Escaped;
pub use files::file_error_may_pass;
pub use ids::{
    AccountId, InvalidId, Partition, Region, RunId, Scope, TableArn, TableName, event_id, repeatable_event_id,
};
pub use json_text::{Extra, JsonText};
pub use operation::{Operation, QuotaName, RequestCounts, Requests};
pub use outcome::{
    ChangeCounts, Counts, FailureReason, Listing, MAX_NAMED_TABLES, Outcome, Pace, Problem, RegionsSource, RunOutcome,
    ScopeTotals,
};
pub use record::{
    Account, AccountsDiscovered, FilterRule, FilterRuleKind, HeldRetirements, Index as IndexRecord, KeySchema,
    RegionsDiscovered, RunCompleted, RunStarted, ScopeCompleted, Table as TableRecord, TableFailed, TableListed,
    TargetFailed, TargetSummary,
};
pub use schema::json_schema;
pub use table::{
    Archival, AttributeDefinition, BILLING_MODE_PROVISIONED, ENCRYPTION_AWS_OWNED_KEY, Encryption, Index, IndexKind,
    KeyElement, OnDemandThroughput, OnDemandThroughputOverride, Projection, ProvisionedThroughput,
    ProvisionedThroughputOverride, ROLE_PARTITION, ROLE_SORT, Replica, ReplicaIndex, Restore, SearchElement, Stream,
    TABLE_CLASS_STANDARD, Table, VectorSettings, WarmThroughput, Witness,
};
pub use time::Timestamp;
