//! The place of tables.

/// The account and the Region of tables.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) partition: String,
    pub(crate) account_id: String,
    pub(crate) region: String,
}
