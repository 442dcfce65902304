//! The settings of runs: small, validated values, independent of the configuration that they come
//! from.

mod changes;
mod crawl;
mod digest;
mod error;
mod group;
mod output;
mod request;
mod run;
mod secret;
mod sink;
mod state;
mod target;

pub use changes::{ChangeSettings, Emit, FailSafe};
pub use crawl::{Budgets, CrawlSettings};
pub use dynacrawl_sinks::SecretRef;
pub use error::SettingError;
pub use group::Group;
pub(crate) use group::is_part_of;
pub use output::{Destination, OutputPath, Placeholder, collision, in_file_name};
pub use request::{Accepted, RunRequest, scopes};
pub use run::{Chosen, Settings, UnknownTarget, known};
pub use secret::read_secret;
pub use sink::{ConfiguredSink, EventFilter, SinkChoice};
pub use state::StateSettings;
pub use target::{RoleTemplate, Target, TargetBase, UnselectedTarget, template_partition};
