//! The commands.

mod check;
mod crawl;
mod policy;
mod print;
mod reads;
mod serve;

use std::fmt;

use crate::cli::{Cli, Command, DemoArgs, GlobalArgs};
use crate::config::{Config, ConfigError, Flags};
use crate::demo::Demo;
use crate::exit::Exit;
use crate::run::RunPlan;
use crate::terminal::Terminal;

pub use crawl::crawl_to_output;

/// Why a command ended early, and how the process ends then.
#[derive(Debug)]
pub struct Failure {
    /// How the process ends.
    pub exit: Exit,
    /// What is said about it.
    pub error: anyhow::Error,
}

impl Failure {
    fn new(exit: Exit, error: impl Into<anyhow::Error>) -> Self {
        Self { exit, error: error.into() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // With its causes, and without control characters, whatever they quote.
        write!(f, "{}", dynacrawl_model::Escaped(&format!("{:#}", self.error)))
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::new(Exit::Usage, error)
    }
}

/// Runs the command.
///
/// # Errors
/// When it cannot begin, or its output fails.
pub async fn run(cli: Cli) -> Result<Exit, Failure> {
    let terminal = Terminal::new();
    match cli.command {
        Command::Crawl(args) => Box::pin(crawl::crawl(&cli.global, &args, &terminal)).await,
        Command::Serve(args) => Box::pin(serve::serve(&cli.global, &args, &terminal)).await,
        Command::Status(args) => reads::status(&cli.global, &args),
        Command::Runs(args) => reads::runs(&cli.global, &args),
        Command::Tables(args) => reads::tables(&cli.global, &args),
        Command::Changes(args) => reads::changes(&cli.global, &args),
        Command::Check(args) => Box::pin(check::check(&cli.global, &args, &terminal)).await,
        Command::Policy(args) => policy::policy(&cli.global, &args).await,
        Command::Schema => print::schema(),
        Command::Config(args) => print::config(&args),
        Command::Completions { shell } => print::completions(shell),
        Command::Man => print::man(),
    }
}

/// The plan of a command, against AWS or the embedded simulator; that one runs until it is dropped.
async fn plan(
    global: &GlobalArgs,
    flags: &Flags<'_>,
    demo: DemoArgs,
    adjust: impl FnOnce(&mut Config),
) -> Result<(RunPlan, Option<Demo>), Failure> {
    if !demo.demo && !demo.demo_faults {
        let mut config = Config::load(global, flags)?;
        adjust(&mut config);
        config.prepare().await?;
        return Ok((RunPlan::new(config)?, None));
    }
    let demo = Demo::start(demo.demo_faults)
        .map_err(|error| Failure::new(Exit::Usage, anyhow::Error::new(error).context("cannot start the simulator")))?;
    let mut config = Config::load_demo(global, flags, &demo)?;
    adjust(&mut config);
    Ok((demo.plan(config)?, Some(demo)))
}
