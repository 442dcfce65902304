//! Starts the crawl in its own process.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use dynacrawl::config::ConcurrencySetting;
use dynacrawl_sim::{Account, Estate};
use serde_json::{Value, json};

use crate::args::EstateArgs;
use crate::report::Measured;

/// Crawls in a separate process.
pub(crate) fn crawl(config: &Path) -> Result<Measured> {
    let hub = Account::new(Estate::HUB).access("hub");
    let mut crawl = this_program()?;
    crawl.arg("crawl").arg(config).env("BENCH_KEY_ID", &hub.access_key_id).env("BENCH_KEY", &hub.secret_access_key);
    finish(crawl)
}

/// All accounts have a role of the same name, which one user may assume.
pub(crate) fn configuration(args: &EstateArgs, url: &str) -> Value {
    let estate = Estate::uniform(args.accounts, args.regions, 1);
    let accounts: Vec<_> = estate.access.accounts.iter().map(|account| &account.account_id).collect();
    let target = json!({
        "name": "bench",
        "regions": estate.access.accounts[0].regions,
        "accounts": accounts,
        "credentials": { "access_key_id": { "env": "BENCH_KEY_ID" }, "secret_access_key": { "env": "BENCH_KEY" } },
        "assume_role": [{ "arn": "arn:aws:iam::{account}:role/Reader" }],
    });
    let mut crawl = json!({ "rate": args.rate.or(args.quota).unwrap_or(0), "output": args.output });
    match args.concurrency {
        Some(ConcurrencySetting::Auto) => crawl["concurrency"] = json!("auto"),
        Some(ConcurrencySetting::AtMost(most)) => crawl["concurrency"] = json!(most),
        None => {}
    }
    json!({
        "crawl": crawl,
        "aws": { "endpoint_url": url },
        "sts": { "endpoint_url": url },
        "target": [target],
    })
}

pub(crate) fn this_program() -> Result<Command> {
    Ok(Command::new(std::env::current_exe()?))
}

/// Waits for a process, and reads its measurements.
pub(crate) fn finish(mut command: Command) -> Result<Measured> {
    let done = command.stderr(Stdio::inherit()).output()?;
    ensure!(done.status.success(), "a part of the benchmark failed: {}", done.status);
    serde_json::from_slice(&done.stdout).context("a part of the benchmark did not report")
}
