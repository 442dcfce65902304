//! Pure mappings from records to the entities of data catalogs: no I/O and no clock. Each catalog is
//! one module. Nothing here removes an entity: only a `table_removed` record could.

pub mod atlan;
pub mod datahub;
mod described;
pub mod openmetadata;
mod owners;
#[cfg(feature = "parquet")]
pub mod parquet;
pub mod rows;
mod template;

pub use described::{Described, Unnamed};
pub use owners::{Owners, TwoOwners};
pub use template::{Template, TemplateError};

/// An entity that several tables share, such as the container of a Region. The caller writes it once.
#[derive(Clone, Debug, PartialEq)]
pub struct Shared<T> {
    /// What identifies it among all shared entities of an export.
    pub id: String,
    /// The entity, in the catalog's own form.
    pub entity: T,
}
