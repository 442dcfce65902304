//! The errors of requests for something that does not exist.

use thiserror::Error;

/// The estate has no such account, or the account has not opted in to the Region.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the estate has no account {account_id} with Region {region}")]
pub struct UnknownScope {
    /// The requested account.
    pub account_id: String,
    /// The requested Region.
    pub region: String,
}

/// The estate has no such account, nor has its organization.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("neither the estate nor its organization has an account {account_id}")]
pub struct UnknownAccount {
    /// The requested account.
    pub account_id: String,
}

/// The service has no such access key.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("no user has the access key {access_key_id}")]
pub struct UnknownKey {
    /// The requested access key.
    pub access_key_id: String,
}
