//! Why a scope stopped before its last table.

use dynacrawl_auth::AuthError;
use dynacrawl_client::{AwsError, CallError, ErrorClass};
use dynacrawl_model::{Outcome, Problem};
use serde::{Deserialize, Serialize};

/// Why a scope cannot continue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopReason {
    /// The outcome if ListTables returned no page.
    pub outcome: Outcome,
    /// The problem that `scope_completed` names.
    pub problem: Problem,
    /// Whether the problem may have passed in a while.
    pub may_pass: bool,
}

impl StopReason {
    /// A problem that does not pass by itself.
    pub fn for_good(outcome: Outcome, problem: Problem) -> Self {
        Self { outcome, problem, may_pass: false }
    }

    /// A call that failed after its last attempt.
    pub fn by_call(failed: &CallError) -> Self {
        let mut reason = Self { may_pass: failed.may_pass, ..Self::by_error(&failed.error) };
        reason.problem.operation = Some(failed.operation);
        reason
    }

    /// An error that AWS returned.
    pub fn by_error(error: &AwsError) -> Self {
        let outcome = match error.class {
            ErrorClass::Denied => Outcome::Denied,
            ErrorClass::Throttled => Outcome::Throttled,
            ErrorClass::Unreachable => Outcome::Unreachable,
            ErrorClass::NotOptedIn => Outcome::NotOptedIn,
            class if class.is_about_credentials() => Outcome::AuthFailed,
            _ => Outcome::Failed,
        };
        Self { outcome, problem: Problem::new(&*error.code, &*error.message), may_pass: error.class.may_pass() }
    }
}

/// The reason when there are no credentials for a target.
pub(crate) fn no_credentials(failed: &AuthError) -> StopReason {
    let mut stopped = StopReason::by_error(&failed.error);
    if stopped.outcome != Outcome::Unreachable {
        stopped.outcome = Outcome::AuthFailed;
    }
    stopped.problem.message = failed.to_string();
    stopped
}
