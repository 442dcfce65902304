//! Runs the processes, one after the other, while the simulator runs.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Stdio};

use anyhow::{Context, Result, ensure};
use dynacrawl::config::ConcurrencySetting;
use dynacrawl_sim::Estate;
use serde_json::Value;

use crate::args::EstateArgs;
use crate::crawler::{configuration, crawl, finish, this_program};
use crate::report::{PROFILE, Report, per, rounded};
use crate::{peers, state};

/// More requests would not make the cost of one more precise.
const FLOOR_REQUESTS: u64 = 200_000;
/// The connections of the floor, unless the crawl's concurrency is set.
const FLOOR_CONNECTIONS: usize = 64;

pub(crate) fn run(args: &EstateArgs) -> Result<()> {
    if PROFILE != "dist" {
        eprintln!("built with the profile '{PROFILE}'; build with --profile dist to measure what is shipped");
    }
    let installed = peers::installed(&args.peers)?;
    let mut simulator = Simulator::start(args)?;
    let directory = tempfile::tempdir()?;
    let config = directory.path().join("bench.toml");
    std::fs::write(&config, toml::to_string(&configuration(args, &simulator.url))?)?;

    let crawled = crawl(&config)?;
    let counts = simulator.counts()?;
    let state = args.state.as_ref().map(|place| state::compare(args, place, &simulator.url)).transpose()?;

    let first = Estate::uniform(1, 1, 1).access.accounts.remove(0);
    // The quota concerns only the crawl. The floor measures the cost of requests, with a simulator
    // without a quota.
    let unlimited = match args.quota {
        None => None,
        Some(_) => Some(Simulator::start(&EstateArgs { quota: None, accounts: 1, regions: 1, ..args.clone() })?),
    };
    let mut floor = this_program()?;
    let described = counts.describe_requests;
    let url = &unlimited.as_ref().unwrap_or(&simulator).url;
    floor.args(["floor", "--url", url, "--region", &first.regions[0]]);
    let connections = match args.concurrency {
        Some(ConcurrencySetting::AtMost(most)) => most,
        _ => FLOOR_CONNECTIONS,
    };
    floor.args(["--access-key-id", &first.access_key_id, "--connections", &connections.to_string()]);
    floor.args(["--requests", &described.min(FLOOR_REQUESTS).to_string()]);
    let floored = finish(floor)?;

    let cpu_us_per_table = per(crawled.cpu_seconds * 1e6, crawled.done);
    let peers = peers::run(&installed, args, &simulator.url, cpu_us_per_table)?;
    simulator.end()?;

    let scopes = args.accounts as u64 * args.regions as u64;
    let expected = scopes * args.tables;
    let exact = crawled.done == expected
        && crawled.scopes_complete == scopes
        && crawled.output_lines == expected + scopes + 2
        && described == expected;
    let floor_cpu_us_per_request = per(floored.cpu_seconds * 1e6, floored.done);
    let report = Report {
        profile: PROFILE,
        tables: crawled.done,
        output_lines: crawled.output_lines,
        output_bytes: crawled.output_bytes,
        describe_requests: described,
        seconds: rounded(crawled.seconds),
        tables_per_second: rounded(crawled.done as f64 / crawled.seconds),
        cpu_us_per_table: rounded(cpu_us_per_table),
        peak_rss_mb: rounded(crawled.peak_rss_mb),
        scopes,
        scopes_complete: crawled.scopes_complete,
        exact,
        assume_role_requests: counts.assume_role_requests,
        peak_connections: counts.peak_connections,
        peak_requests_per_second: counts.peak_requests_per_second,
        floor_requests: floored.done,
        floor_seconds: rounded(floored.seconds),
        floor_requests_per_second: rounded(floored.done as f64 / floored.seconds),
        floor_cpu_us_per_request: rounded(floor_cpu_us_per_request),
        floor_peak_rss_mb: rounded(floored.peak_rss_mb),
        cpu_ratio_to_floor: rounded(cpu_us_per_table / floor_cpu_us_per_request),
        state,
        peers,
    };
    println!("{}", serde_json::to_string(&report)?);
    Ok(())
}

struct Simulator {
    child: Child,
    url: String,
}

struct Counts {
    describe_requests: u64,
    assume_role_requests: u64,
    peak_connections: u64,
    peak_requests_per_second: u64,
}

impl Simulator {
    fn start(args: &EstateArgs) -> Result<Self> {
        let mut command = this_program()?;
        command.args(["simulator", "--no-verify", "--until-stdin-closes"]);
        command.args(["--accounts", &args.accounts.to_string(), "--regions", &args.regions.to_string()]);
        command.args(["--tables", &args.tables.to_string(), "--latency-ms", &args.latency_ms.to_string()]);
        if let Some(quota) = args.quota {
            command.args(["--quota", &quota.to_string()]);
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().context("no output")?).read_line(&mut line)?;
        let url = line.trim().strip_prefix("listening on ").context("the simulator did not start")?.to_owned();
        Ok(Self { child, url })
    }

    fn counts(&self) -> Result<Counts> {
        let address = self.url.strip_prefix("http://").unwrap_or(&self.url);
        let mut stream = TcpStream::connect(address)?;
        write!(stream, "GET /_sim/counts HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (_, body) = answer.split_once("\r\n\r\n").context("no counts")?;
        let counts: Value = serde_json::from_str(body)?;
        let scopes = counts["scopes"].as_array().context("no scopes")?;
        let requests = |operation: &str| -> u64 {
            scopes.iter().filter_map(|scope| scope["operations"][operation]["requests"].as_u64()).sum()
        };
        Ok(Counts {
            describe_requests: requests("DescribeTable"),
            assume_role_requests: requests("AssumeRole"),
            peak_connections: counts["peak_connections"].as_u64().context("no peak")?,
            peak_requests_per_second: counts["total"]["peak_per_second"].as_u64().context("no peak")?,
        })
    }

    fn end(&mut self) -> Result<()> {
        drop(self.child.stdin.take());
        ensure!(self.child.wait()?.success(), "the simulator failed");
        Ok(())
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        // The process ends with its standard input. Waiting for it leaves no zombie.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}
