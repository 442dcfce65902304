//! A simulator of the control planes of Amazon DynamoDB, AWS STS, AWS Organizations, AWS Account Management and Amazon
//! EC2 on a loopback port.
//!
//! It speaks the wire protocols that the AWS SDKs speak (`ListTables` and `DescribeTable` as AWS JSON 1.0,
//! `AssumeRole` and `GetCallerIdentity` as AWS Query, the lists of Organizations as AWS JSON 1.1, `ListRegions` as
//! REST JSON, `DescribeRegions` as EC2 Query), checks signatures, session tokens, role trust and IAM denials, meters
//! requests against a quota per account and Region, and lets a test set faults and count requests while it runs.
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
//! An [`Estate`] defines what exists, [`Options`] how the service behaves, [`FaultRule`] and
//! [`Denial`] what goes wrong, and [`Counts`] has the requests so far. While the service runs,
//! [`Control`] changes what exists, directly or with an [`Evolution`], and logs what happened to
//! the tables as [`Change`]s. [`InProcess`] is the same service without sockets, for tests on
//! paused time. The crate shares no code with what it tests.

// One fixture is a JSON literal of a hundred fields.
#![recursion_limit = "256"]

mod account_state;
mod answer;
mod auth;
mod bodies;
mod caller;
mod changes;
mod cli;
mod control;
mod counts;
mod denials;
mod derived;
mod directory;
mod effect;
mod errors;
mod estate;
mod evolution;
mod faults;
pub mod fixtures;
mod headers;
mod inprocess;
mod locks;
mod operation;
mod options;
mod pages;
mod pattern;
mod place;
mod query;
mod quota;
mod regions;
mod scope;
mod server;
mod services;
mod sessions;
pub mod sigv4;
mod simulator;
mod socket;
mod state;
mod tables;
#[cfg(test)]
mod tests;
mod unknown;
mod usage;
mod wire;
mod xml;

pub use changes::{Change, ChangeKind};
pub use cli::{Args, run};
pub use control::{Control, MoveKeyError};
pub use counts::{Counts, OperationCounts, ScopeCounts};
pub use denials::Denial;
pub use effect::{Effect, Listing, TableEdit};
pub use estate::{
    Account, DemoAccess, DemoAccount, Estate, Index, Member, MemberState, Organization, OrganizationalUnit, Role,
    Shape, TableBuilder, Tables,
};
pub use evolution::Evolution;
pub use faults::{FaultId, FaultRule, When};
pub use inprocess::InProcess;
pub use operation::Operation;
pub use options::Options;
pub use quota::Quota;
pub use simulator::{Simulator, StopWhen, serve_blocking};
pub use unknown::{UnknownAccount, UnknownKey, UnknownScope};
pub use wire::AnswerBody;
