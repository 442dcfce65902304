//! What a request says about tables.

use std::borrow::Cow;

use serde::Deserialize;

/// What the simulator reads of a request about tables. Requests of other kinds have nothing of it.
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
    /// The table's name, also if it was asked for by ARN.
    pub(crate) fn table(&self) -> Option<&str> {
        let name = self.table_name.as_deref()?;
        Some(if name.starts_with("arn:") { name.rsplit('/').next().unwrap_or(name) } else { name })
    }

    /// After which name a list continues.
    pub(crate) fn start(&self) -> Option<&str> {
        self.exclusive_start_table_name.as_deref()
    }
}
