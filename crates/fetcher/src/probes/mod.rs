//! Probes: optional extra calls for each table that was described. Each is a file in this folder
//! and a line in [`ALL`], which the fetcher, the configuration, `policy` and `check` read. The
//! output gets a place for their values once there is a probe.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use dynacrawl_client::{CallError, ErrorClass, ScopeClient};
use dynacrawl_model::{Operation, TableName, Timestamp};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The values of probes, by the name of the probe.
pub type ProbeValues = BTreeMap<String, ProbeValue>;

/// The result of a probe for a table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProbeValue {
    /// How the call ended.
    pub status: ProbeStatus,
    /// The answer, with status `ok`.
    pub value: Option<Value>,
    /// AWS's error code, if there is one.
    pub code: Option<String>,
    /// When AWS responded.
    pub observed_at: Timestamp,
}

/// How a probe ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum ProbeStatus {
    Ok,
    Absent,
    Denied,
    Throttled,
    Failed,
    Skipped,
}

/// The result of a probe's call: `None` if the table has no such value.
pub type ProbeAnswer = Result<Option<Value>, CallError>;

/// An optional extra call for each table.
#[derive(Clone, Copy)]
pub struct Probe {
    /// Its name in the configuration and in records.
    pub name: &'static str,
    /// What it calls. The operation determines its IAM action and its quota.
    pub operation: Operation,
    /// How long a response can be used instead of a new one.
    pub refresh: Duration,
    /// The call.
    pub call: for<'a> fn(&'a ScopeClient, &'a TableName) -> BoxFuture<'a, ProbeAnswer>,
}

/// Every probe.
pub const ALL: &[Probe] = &[];

impl Probe {
    /// The probe with this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        ALL.iter().find(|probe| probe.name == name)
    }

    /// Calls it for a table. A panic makes only the probe of this table fail.
    pub(crate) async fn value(&self, client: &ScopeClient, table: &TableName) -> ProbeValue {
        let answered = AssertUnwindSafe((self.call)(client, table)).catch_unwind().await;
        let (status, value, code) = match answered {
            Ok(Ok(Some(value))) => (ProbeStatus::Ok, Some(value), None),
            Ok(Ok(None)) => (ProbeStatus::Absent, None, None),
            Ok(Err(failed)) => (status(&failed), None, Some(failed.error.code)),
            Err(_) => (ProbeStatus::Failed, None, Some("panic".to_owned())),
        };
        ProbeValue { status, value, code, observed_at: Timestamp::now() }
    }
}

impl fmt::Debug for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

fn status(failed: &CallError) -> ProbeStatus {
    match failed.error.class {
        ErrorClass::Denied => ProbeStatus::Denied,
        ErrorClass::Throttled => ProbeStatus::Throttled,
        _ => ProbeStatus::Failed,
    }
}
