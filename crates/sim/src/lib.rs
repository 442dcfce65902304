//! A simulator of the control planes of Amazon DynamoDB and AWS STS on a loopback port.
//!
//! It speaks the wire protocols that the AWS SDKs speak (`ListTables` and `DescribeTable` as AWS JSON 1.0,
//! `AssumeRole` and `GetCallerIdentity` as AWS Query), checks signatures, session tokens, role trust and IAM denials,
//! meters requests against a quota per account and Region, and lets a test set faults and count requests while it runs.
//!
//! ```no_run
//! use dynacrawl_sim::{Effect, Estate, FaultRule, Operation, Options, Simulator};
//!
//! let sim = Simulator::start(Estate::demo(), &Options::default())?;
//! sim.add_fault(FaultRule::new(Effect::Throttle).operation(Operation::DescribeTable).table("orders-*").first(3));
//! println!("send requests to {}", sim.url());
//! println!("{} requests so far", sim.counts().total.requests);
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! The pieces: an [`Estate`] says what exists, [`Options`] how the service behaves, [`FaultRule`] and [`Denial`] what
//! goes wrong, and [`Counts`] what was asked. The crate shares no code with what it tests.

// One fixture is a single JSON literal of a hundred fields.
#![recursion_limit = "256"]

mod answer;
mod auth;
mod cli;
mod counts;
mod denials;
mod dynamodb;
mod errors;
mod estate;
mod faults;
pub mod fixtures;
mod operation;
mod options;
mod quota;
mod server;
mod sessions;
pub mod sigv4;
mod simulator;
mod state;
mod sts;
mod tables;
#[cfg(test)]
mod tests;
mod wire;

pub use cli::{Args, run};
pub use counts::{Counts, OperationCounts, ScopeCounts};
pub use denials::Denial;
pub use estate::{Account, DemoAccess, DemoAccount, Estate, Index, Role, Shape, TableBuilder, Tables};
pub use faults::{Effect, FaultId, FaultRule, When};
pub use operation::Operation;
pub use options::Options;
pub use quota::Quota;
pub use simulator::{Simulator, StopWhen, serve_blocking};
pub use state::UnknownScope;
