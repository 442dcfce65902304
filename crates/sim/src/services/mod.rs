//! The simulated services.

pub(crate) mod account;
pub(crate) mod dynamodb;
pub(crate) mod ec2;
mod organizations;
pub(crate) mod sts;
