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

/// The work order for one step of one scope.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScopeJob {
    /// What identifies the job.
    pub key: Arc<JobKey>,
    /// The digest of the settings that the worker has to have.
    pub settings: String,
    /// The account, if an earlier process or step has learned it.
    pub account_id: Option<AccountId>,
    /// What is to be done.
    pub work: Work,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    /// List and describe, from the checkpoint on if there is one.
    Crawl(Option<Box<Checkpoint>>),
    /// List all names once more: an earlier process listed the first pages, and what it saw has gone with it.
    ListAgain,
    /// Find out whether tables are gone.
    Confirm(Candidates),
}

/// Tables of earlier runs that may be gone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidates {
    /// They were not listed.
    pub tables: Vec<TableName>,
    /// Whether other tables vanished before they were described, so that it matters whose credentials these still are.
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
    /// The requests that were sent since the event before.
    pub requests: Requests,
    /// What happened.
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// The account that the scope is in, or why that is not sure.
    AccountIdentified(Identified),
    /// A page of ListTables came.
    PageListed(PageListed),
    /// A table was described.
    TableDescribed(TableDescribed),
    /// The table failed for good.
    TableFailed(FailedTable),
    /// The table is requested once more at the end of the step.
    TableDeferred(FailedTable),
    /// Something that the reader of the output should know.
    ProblemNoted(Problem),
    /// Before tables are taken for gone: `None` if the credentials are still those of the scope's account, or why not.
    OwnershipChecked(Option<String>),
    /// The last event of a job.
    Finished(Finished),
}

/// Whose tables a scope has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identified {
    /// The account, as far as anything names it.
    pub account_id: Option<AccountId>,
    /// `None`: GetCallerIdentity or the ARN of a table names the account. Otherwise why nothing does.
    pub doubt: Option<String>,
}

/// A page of ListTables.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PageListed {
    /// The names that the filters let through.
    pub selected: Vec<TableName>,
    /// The names that the filters leave out.
    pub unselected: Vec<TableName>,
    /// AWS's `LastEvaluatedTableName`; `None` on the last page.
    pub next: Option<TableName>,
    /// How fast the scope was crawled up to here.
    pub pace: Pace,
}

/// A table that was described.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TableDescribed {
    /// The name that was requested.
    pub name: TableName,
    /// What DescribeTable answered.
    pub record: Box<TableRecord>,
    /// The fields that had another type than expected.
    pub unexpected: Vec<String>,
    /// The values of the probes.
    #[serde(default, skip_serializing_if = "ProbeValues::is_empty")]
    pub probes: ProbeValues,
    /// Whether the listing left the table out.
    pub unlisted: bool,
}

/// How a job ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finished {
    /// Why it ended early.
    pub stopped: Option<StopReason>,
    /// Whether the credentials or the tables belong to another account or Region, so that nothing of this job is the scope's.
    pub foreign: bool,
    /// Whether ARNs of single tables named another account or Region.
    pub foreign_arns: bool,
    /// How fast the scope was crawled.
    pub pace: Pace,
}
