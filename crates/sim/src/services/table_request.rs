//! The part of a request that is about tables.

use std::borrow::Cow;

use serde::Deserialize;

/// The part of a request about tables that the simulator reads. It is empty for other requests.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(crate) struct TableRequest<'a> {
    /// A name or an ARN.
    #[serde(borrow)]
    pub(super) table_name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    exclusive_start_table_name: Option<Cow<'a, str>>,
    pub(super) limit: Option<i64>,
}

impl TableRequest<'_> {
    /// The table's name, also if the request has its ARN.
    pub(crate) fn table(&self) -> Option<&str> {
        let name = self.table_name.as_deref()?;
        Some(if name.starts_with("arn:") { name.rsplit('/').next().unwrap_or(name) } else { name })
    }

    /// The name after which a list continues.
    pub(crate) fn start(&self) -> Option<&str> {
        self.exclusive_start_table_name.as_deref()
    }
}
