//! End-to-end tests: the real binary against the simulator and against servers that others wrote.

mod command;
mod contract;
mod facts;
mod schema;
mod servers;
mod support;

mod accounts;
mod auth;
mod check;
mod check_credentials;
mod demo;
mod describe_faults;
mod exits;
mod fault_matrix;
mod filters;
mod ministack_auth;
mod network;
mod organization;
mod organization_others;
mod others;
mod output;
mod policy;
mod precedence;
mod prints;
mod regions;
mod resume;
mod retries_through_proxy;
mod scopes;
mod sessions;
mod signals;
mod tables;
mod traps;
