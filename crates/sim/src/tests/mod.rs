//! Tests over the wire, with a client that uses only sockets and signatures.

mod changes;
mod client;
mod credentials;
mod demo;
mod evolution;
mod faults;
mod inprocess;
mod lies;
mod lifecycle;
mod listing;
mod organizations;
mod regions;
mod transport;

use std::time::Duration;

use self::client::{Client, Keys};
use crate::fixtures::small_table;
use crate::{Account, Estate, Options, Role, Simulator, Tables};

const HOME: &str = "111122223333";
const OTHER: &str = "444455556666";
const IRELAND: &str = "eu-west-1";
const ROLE_ARN: &str = "arn:aws:iam::444455556666:role/Reader";

/// Two accounts: one with 250 tables and its own keys, and one that it reaches with a role and an
/// external id.
fn estate() -> Estate {
    let home = Account::new(HOME).region(IRELAND, Tables::new().generated(250)).region("us-east-1", Tables::new());
    let role = Role::new("Reader").trusts(HOME).external_id("ext-1").max_duration(Duration::from_secs(7_200));
    let open = Role::new("team/Open").trusts("*").max_duration(Duration::from_secs(43_200));
    let tables = Tables::new().table("orders", &small_table("orders", OTHER, IRELAND));
    Estate::new([home, Account::new(OTHER).role(role).role(open).region(IRELAND, tables)])
}

fn start() -> (Simulator, Client) {
    start_with(&Options::default())
}

fn start_with(options: &Options) -> (Simulator, Client) {
    let sim = Simulator::start(estate(), options).unwrap();
    let client = Client::new(sim.addr(), Keys::of(&Account::new(HOME)), IRELAND);
    (sim, client)
}
