//! Job in, events out: what a worker gets, and what it reports. Both are plain values without secrets, so a worker may be a
//! task of this process or a process on another machine.

use std::sync::Arc;

use dynacrawl_fetcher::{FailedTable, ProbeValues};
use dynacrawl_model::{AccountId, Pace, Problem, Region, Requests, RunId, TableName, TableRecord};
use serde::{Deserialize, Serialize};

use super::checkpoint::Checkpoint;
use super::step::Step;
use super::stop_reason::StopReason;

/// What identifies a job and its events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobKey {
    /// The run.
    pub run_id: RunId,
    /// The name of the target. Its credentials never travel with a job.
    pub target: String,
    /// The Region.
    pub region: Region,
    /// The step of the scope.
    pub step: Step,
}

/// A job: one step of one scope.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScopeJob {
    /// What identifies the job.
    pub key: Arc<JobKey>,
    /// The digest of the settings that the worker must have.
    pub settings: String,
    /// The account, if an earlier process or step has learned it.
    pub account_id: Option<AccountId>,
    /// The work to do.
    pub work: Work,
}

/// The work to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    /// List and describe tables, from the checkpoint on if there is one.
    Crawl(Option<Box<Checkpoint>>),
    /// List all names again: an earlier process listed the first pages, and the names were lost
    /// with it.
    ListAgain,
    /// Find out whether tables were deleted.
    Confirm(Candidates),
}

/// Tables of earlier runs that may have been deleted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidates {
    /// Tables that were not listed.
    pub tables: Vec<TableName>,
    /// Whether other tables vanished before they were described, so that the account of the
    /// credentials must be checked.
    pub others_vanished: bool,
    /// A table that was described in this run, with the scope's account and Region in its ARN.
    pub witness: Option<TableName>,
    /// Whether ARNs named another account or Region.
    pub foreign_arns: bool,
}

/// One thing that happened while a job ran.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScopeEvent {
    /// The job.
    pub key: Arc<JobKey>,
    /// The requests that were sent since the previous event.
    pub requests: Requests,
    /// What happened.
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// The account that the scope belongs to, or why that is uncertain.
    AccountIdentified(Identified),
    /// ListTables returned a page.
    PageListed(PageListed),
    /// A table was described.
    TableDescribed(TableDescribed),
    /// A table that was not listed exists, and the filters exclude it.
    TableExists(TableName),
    /// The table failed, and is not tried again.
    TableFailed(FailedTable),
    /// The table failed, and is described again at the end of the step.
    TableDeferred(FailedTable),
    /// Something that the reader of the output should know.
    ProblemNoted(Problem),
    /// Emitted before tables count as deleted: `None` if the credentials still belong to the
    /// scope's account, otherwise why that is uncertain.
    OwnershipChecked(Option<String>),
    /// The last event of a job.
    Finished(Finished),
}

/// Which account a scope's tables belong to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identified {
    /// The account, if anything names it.
    pub account_id: Option<AccountId>,
    /// `None` if GetCallerIdentity or the ARN of a table names the account; otherwise why neither
    /// does.
    pub doubt: Option<String>,
}

/// A page of ListTables.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PageListed {
    /// The names that the filters select.
    pub selected: Vec<TableName>,
    /// The names that the filters exclude.
    pub unselected: Vec<TableName>,
    /// AWS's `LastEvaluatedTableName`; `None` on the last page.
    pub next: Option<TableName>,
    /// How fast the scope was crawled so far.
    pub pace: Pace,
}

/// A table that was described.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TableDescribed {
    /// The name that was requested.
    pub name: TableName,
    /// What DescribeTable returned.
    pub record: Box<TableRecord>,
    /// The fields with an unexpected type.
    pub unexpected: Vec<String>,
    /// The values of the probes.
    #[serde(default, skip_serializing_if = "ProbeValues::is_empty")]
    pub probes: ProbeValues,
    /// Whether ListTables left the table out.
    pub unlisted: bool,
}

/// How a job ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finished {
    /// Why it ended early; `None` if it did not.
    pub stopped: Option<StopReason>,
    /// Whether the credentials or the tables belong to another account or Region, so that no result
    /// of this job is the scope's.
    pub foreign: bool,
    /// Whether ARNs of single tables named another account or Region.
    pub foreign_arns: bool,
    /// How fast the scope was crawled.
    pub pace: Pace,
}
