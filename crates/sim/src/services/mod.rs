//! The simulated services. The file of a service says how its requests are recognized, signed and answered.
//!
//! A new call needs a variant of [`Operation`](crate::Operation) and a function of the type
//! [`Answer`](service::Answer) in the file of its service, whose list of operations names it. A new
//! service needs a new file and a line in the list of all services.

mod account;
mod dynamodb;
mod ec2;
mod organizations;
mod registry;
mod service;
mod sts;
mod table_request;

pub(crate) use service::{Call, Request};
pub(crate) use table_request::TableRequest;
