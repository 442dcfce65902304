//! Who signed a request.

use std::sync::Arc;

use crate::account_state::AccountState;
use crate::scope::Scope;
use crate::sessions::Session;

/// Who signed a request.
#[derive(Debug)]
pub(crate) struct Caller<'a> {
    pub(crate) account: &'a AccountState,
    pub(crate) region: &'a str,
    /// None for a service that answers in a Region without the account being opted in.
    pub(crate) scope: Option<&'a Scope>,
    /// None for the account's user.
    pub(crate) session: Option<Arc<Session>>,
}

impl Caller<'_> {
    /// The ARN as messages and GetCallerIdentity give it.
    pub(crate) fn arn(&self) -> String {
        let AccountState { partition, id, .. } = self.account;
        match &self.session {
            None => format!("arn:{partition}:iam::{id}:user/crawler"),
            Some(session) => format!("arn:{partition}:sts::{id}:assumed-role/{}/{}", session.role, session.name),
        }
    }
}
