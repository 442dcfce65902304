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
    /// None if the service answers in a Region that the account has not opted in to.
    pub(crate) scope: Option<&'a Scope>,
    /// None for the account's user.
    pub(crate) session: Option<Arc<Session>>,
}

impl Caller<'_> {
    /// The ARN that messages and GetCallerIdentity show.
    pub(crate) fn arn(&self) -> String {
        let AccountState { partition, id, .. } = self.account;
        match &self.session {
            None => format!("arn:{partition}:iam::{id}:user/crawler"),
            Some(session) => format!("arn:{partition}:sts::{id}:assumed-role/{}/{}", session.role, session.name),
        }
    }
}
