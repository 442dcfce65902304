//! The commands that only print.

use std::io::{self, Write};

use clap::CommandFactory;

use super::failure::Failure;
use crate::cli::{Cli, ConfigArgs, ConfigCommand};
use crate::config::{Config, REFERENCE};
use crate::exit::Exit;

/// Writes to standard output. A reader that stops early, as `head` does, is not a failure.
pub(super) fn to_stdout(text: &[u8]) -> Result<Exit, Failure> {
    let mut stdout = io::stdout().lock();
    ended(stdout.write_all(text).and_then(|()| stdout.flush()))
}

/// The result of a command that has written to standard output.
pub(super) fn ended(written: io::Result<()>) -> Result<Exit, Failure> {
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(Exit::SinkFailed, anyhow::Error::new(error).context("cannot write to standard output")))
        }
        _ => Ok(Exit::Complete),
    }
}

/// JSON for people to read, with a line end.
pub(super) fn json_to_stdout(value: &impl serde::Serialize) -> Result<Exit, Failure> {
    let mut text = serde_json::to_vec_pretty(value).map_err(|error| Failure::new(Exit::SinkFailed, error))?;
    text.push(b'\n');
    to_stdout(&text)
}

pub(super) fn schema() -> Result<Exit, Failure> {
    json_to_stdout(&dynacrawl_model::json_schema())
}

pub(super) fn config(args: &ConfigArgs) -> Result<Exit, Failure> {
    match &args.command {
        None => to_stdout(REFERENCE.as_bytes()),
        Some(ConfigCommand::Check { file }) => {
            let config = Config::check_file(file)?;
            config.refuse_losses(true)?;
            let targets = match (config.run.targets.len(), config.run.groups.len()) {
                (0, 0) => "no target, so the command line describes it".to_owned(),
                (1, 0) => "1 target".to_owned(),
                (many, 0) => format!("{many} targets"),
                (0, 1) => "1 organization".to_owned(),
                (listed, organizations) => format!("{listed} targets, organizations: {organizations}"),
            };
            to_stdout(format!("{}: valid, {targets}\n", file.display()).as_bytes())
        }
    }
}

pub(super) fn completions(shell: clap_complete::Shell) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "dynacrawl", &mut script);
    to_stdout(&script)
}
