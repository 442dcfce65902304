//! The command line, for the simulator's own binary and for programs that embed the simulator.

use std::io::{self, Write as _};
use std::time::Duration;

use crate::estate::Estate;
use crate::options::Options;
use crate::quota::Quota;
use crate::simulator::{StopWhen, serve_blocking};
use crate::usage::usage;

/// Simulates the control planes of DynamoDB, STS, Organizations, Account Management and EC2 on a loopback port.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Port to listen on; 0 lets the system choose
    #[arg(long, default_value_t = 0)]
    pub port: u16,
    /// Serve the demo estate (the default)
    #[arg(long, conflicts_with_all = ["demo_faults", "accounts", "regions", "tables"])]
    pub demo: bool,
    /// Serve the demo estate with denials, throttled tables and a role that cannot be assumed
    #[arg(long, conflicts_with_all = ["accounts", "regions", "tables"])]
    pub demo_faults: bool,
    /// Serve this many uniform accounts instead
    #[arg(long, value_name = "A")]
    pub accounts: Option<usize>,
    /// Regions of each uniform account
    #[arg(long, value_name = "R", requires = "accounts", default_value_t = 1)]
    pub regions: usize,
    /// Tables in each Region of each uniform account
    #[arg(long, value_name = "N", requires = "accounts", default_value_t = 100)]
    pub tables: u64,
    /// How long each request takes, in milliseconds
    #[arg(long, value_name = "L", default_value_t = 0)]
    pub latency_ms: u64,
    /// ListTables and DescribeTable requests a second in each account and Region; unlimited without it
    #[arg(long, value_name = "Q")]
    pub quota: Option<u32>,
    /// Do not check signatures
    #[arg(long)]
    pub no_verify: bool,
    /// Stop when standard input closes
    #[arg(long)]
    pub until_stdin_closes: bool,
}

impl Args {
    /// The estate that the arguments select.
    #[must_use]
    pub fn estate(&self) -> Estate {
        match self.accounts {
            Some(accounts) => Estate::uniform(accounts, self.regions, self.tables),
            None if self.demo_faults => Estate::demo_with_faults(),
            None => Estate::demo(),
        }
    }

    /// The behavior that the arguments select.
    #[must_use]
    pub fn options(&self) -> Options {
        Options {
            verify_signatures: !self.no_verify,
            latency: Duration::from_millis(self.latency_ms),
            quota: self.quota.map(Quota::per_second),
            port: self.port,
            ..Options::default()
        }
    }
}

/// Serves the estate of the arguments until SIGTERM, SIGINT or, with `--until-stdin-closes`, the
/// end of standard input. Prints one line with the address to standard output and, if
/// `for_a_person`, how to use it to standard error.
///
/// # Errors
/// If the port is taken.
pub fn run(args: &Args, for_a_person: bool) -> io::Result<()> {
    let stop = StopWhen { signals: true, stdin_closes: args.until_stdin_closes, ..StopWhen::default() };
    let estate = args.estate();
    let access = for_a_person.then(|| estate.access.clone());
    serve_blocking(estate, &args.options(), stop, |address| {
        let url = format!("http://{address}");
        let mut out = io::stdout().lock();
        // If the output is closed, nobody needs the address.
        let _ = writeln!(out, "listening on {url}").and_then(|()| out.flush());
        if let Some(access) = access {
            let _ = write!(io::stderr().lock(), "\n{}", usage(&access, &url));
        }
    })
}
