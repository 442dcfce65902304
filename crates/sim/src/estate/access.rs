//! How clients reach the accounts of an estate.

use serde::Serialize;

/// How a client reaches the accounts of an estate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DemoAccess {
    /// One entry for each account worth crawling.
    pub accounts: Vec<DemoAccount>,
}

/// How a client reaches one account. The keys belong to the account or, with a role, to the account
/// that assumes it. They exist only in the simulator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DemoAccount {
    /// A short name for the account.
    pub name: String,
    /// The account's id.
    pub account_id: String,
    /// The access key to sign with.
    pub access_key_id: String,
    /// Its secret.
    pub secret_access_key: String,
    /// The role to assume first, if any.
    pub role_arn: Option<String>,
    /// The external id that the role requires, if any.
    pub external_id: Option<String>,
    /// The Regions with tables.
    pub regions: Vec<String>,
}
