//! What exists: accounts, their roles, Regions and tables, and what goes wrong from the start.

mod access;
mod account;
mod builder;
mod definition;
mod demo;
mod demo_tables;
mod organization;
mod shape;
mod stored_table;
mod tables;
mod uniform;

pub use access::{DemoAccess, DemoAccount};
pub use account::{Account, Role};
pub use builder::{Index, TableBuilder};
pub use definition::Estate;
pub use organization::{Member, MemberState, Organization, OrganizationalUnit};
pub use shape::Shape;
pub(crate) use stored_table::StoredTable;
pub use tables::Tables;
