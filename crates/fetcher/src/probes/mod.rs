//! Probes: optional extra calls for each table that was described. Each is a file of this folder and a line in [`ALL`], from
//! which the fetcher, the configuration, `policy`, `check` and `run_started` know it.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use dynacrawl_client::{CallError, ErrorClass, ScopeClient};
use dynacrawl_model::{Operation, ProbeStatus, TableName, Timestamp};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::Value;

/// The answers of probes, by the probe's name.
pub type ProbeValues = BTreeMap<String, dynacrawl_model::Probe>;

/// What the call of a probe answers: `None` if the table has nothing of the kind.
pub type ProbeAnswer = Result<Option<Value>, CallError>;

/// An optional extra call for each table.
#[derive(Clone, Copy)]
pub struct Probe {
    /// Its name in the configuration and in records.
    pub name: &'static str,
    /// What it calls. The operation knows its IAM action and its quota.
    pub operation: Operation,
    /// For how long an answer is as good as a new one.
    pub refresh: Duration,
    /// The call.
    pub call: for<'a> fn(&'a ScopeClient, &'a TableName) -> BoxFuture<'a, ProbeAnswer>,
}

/// Every probe.
pub const ALL: &[Probe] = &[];

impl Probe {
    /// The probe of a name.
    pub fn named(name: &str) -> Option<&'static Self> {
        ALL.iter().find(|probe| probe.name == name)
    }

    /// Calls it for a table. A panic on the way is a failed probe of this table, and nothing else.
    pub(crate) async fn value(&self, client: &ScopeClient, table: &TableName) -> dynacrawl_model::Probe {
        let answered = AssertUnwindSafe((self.call)(client, table)).catch_unwind().await;
        let (status, value, code) = match answered {
            Ok(Ok(Some(value))) => (ProbeStatus::Ok, Some(value), None),
            Ok(Ok(None)) => (ProbeStatus::Absent, None, None),
            Ok(Err(failed)) => (status(&failed), None, Some(failed.error.code)),
            Err(_) => (ProbeStatus::Failed, None, Some("panic".to_owned())),
        };
        dynacrawl_model::Probe { status, value, code, observed_at: Timestamp::now() }
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
