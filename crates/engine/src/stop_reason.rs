//! Why a scope stopped before its last table.

use dynacrawl_auth::AuthError;
use dynacrawl_client::{AwsError, CallError, ErrorClass};
use dynacrawl_model::{Outcome, Problem};
use serde::{Deserialize, Serialize};

/// Why a scope cannot continue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopReason {
    /// The outcome if no page came.
    pub outcome: Outcome,
    /// The problem that `scope_completed` names.
    pub problem: Problem,
    /// Whether what was wrong may have passed in a while.
    pub may_pass: bool,
}

impl StopReason {
    /// By something that does not pass by itself.
    pub fn for_good(outcome: Outcome, problem: Problem) -> Self {
        Self { outcome, problem, may_pass: false }
    }

    /// By a call that failed for good.
    pub fn by_call(failed: &CallError) -> Self {
        let mut reason = Self { may_pass: failed.may_pass, ..Self::by_error(&failed.error) };
        reason.problem.operation = Some(failed.operation);
        reason
    }

    /// By an error of AWS's.
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

/// Why nothing can be done with a target: there are no credentials for it.
pub(crate) fn no_credentials(failed: &AuthError) -> StopReason {
    let mut stopped = StopReason::by_error(&failed.error);
    if stopped.outcome != Outcome::Unreachable {
        stopped.outcome = Outcome::AuthFailed;
    }
    stopped.problem.message = failed.to_string();
    stopped
}
