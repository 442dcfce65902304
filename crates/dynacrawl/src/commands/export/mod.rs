//! `dynacrawl export`: converts tables to the form of a data catalog, or to CSV.

mod destination;
mod form;
mod gather;
mod input;
mod scopes;
mod summary;

use std::io;
use std::path::{Path, PathBuf};

use dynacrawl_sinks::Replacement;
use dynacrawl_state::{Reader, has_file, is_same_file};

use self::gather::Export;
use self::summary::shown;
use super::failure::Failure;
use super::reads::reader;
use crate::cli::{ExportArgs, GlobalArgs};
use crate::config::{Config, ConfigError, Flags};
use crate::exit::Exit;

pub(super) fn export(global: &GlobalArgs, args: &ExportArgs) -> Result<Exit, Failure> {
    let config = Config::load(global, &Flags { export: Some(&args.catalog), ..Flags::default() })?;
    let of_state = state_path(args, &config);
    spare_other_files(args, of_state.as_deref())?;
    let state = state(args, of_state.as_deref())?;
    let (destination, form) = form::open(args.to, &config.export, &args.output)?;
    let mut export = Export::new(form);
    let read = match (&args.input, &state) {
        (Some(input), _) => export.read_file(input).and_then(|()| export.fill(state.as_ref())),
        (None, Some(state)) => export.read_state(state),
        (None, None) => unreachable!("one of them is required"),
    };
    let summary = match read.and_then(|()| export.end()) {
        Ok(summary) => summary,
        Err(failure) => {
            destination.discard();
            // A reader that stops early, as `head` does, is not a failure.
            return if is_closed(&failure) && args.output == Path::new("-") {
                Ok(Exit::Complete)
            } else {
                Err(failure)
            };
        }
    };
    if let Some(refusal) = summary.refusal(args) {
        destination.discard();
        eprint!("{}", summary.missing_in_words());
        return Err(Failure::new(Exit::Partial, anyhow::anyhow!(refusal)));
    }
    destination.put().map_err(|error| Failure::new(Exit::SinkFailed, error))?;
    eprint!("{}", summary.in_words(&args.output));
    Ok(if summary.missing.is_empty() && summary.skipped.is_empty() { Exit::Complete } else { Exit::Partial })
}

fn is_closed(failure: &Failure) -> bool {
    failure
        .error
        .chain()
        .any(|cause| cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe))
}

fn state_path(args: &ExportArgs, config: &Config) -> Option<PathBuf> {
    args.state.as_ref().map(PathBuf::from).or(config.run.state.as_ref().map(|state| state.path.clone()))
}

/// The state, if the export needs it.
fn state(args: &ExportArgs, path: Option<&Path>) -> Result<Option<Reader>, Failure> {
    match (&args.input, path) {
        (Some(_), _) if !args.allow_incomplete => Ok(None),
        (_, Some(path)) => reader(path).map(Some),
        (Some(_), None) => Err(ConfigError::value(
            "--allow-incomplete",
            "needs a state, which knows the tables that the input lacks; name one with --state",
        )
        .into()),
        (None, None) => {
            Err(ConfigError::value("--input", "is missing; name the output of a crawl, or a state with --state").into())
        }
    }
}

/// Refuses an output that would destroy the input or the state.
fn spare_other_files(args: &ExportArgs, state: Option<&Path>) -> Result<(), Failure> {
    if args.output == Path::new("-") {
        return Ok(());
    }
    let mut new = args.output.as_os_str().to_owned();
    new.push(Replacement::SUFFIX);
    for path in [args.output.clone(), PathBuf::from(new)] {
        let refused =
            |what: &str| ConfigError::value("--output", format!("{} is {what}; choose another name", shown(&path)));
        if args.input.as_ref().is_some_and(|input| is_same_file(input, &path)) {
            return Err(refused("the input").into());
        }
        if state.is_some_and(|state| has_file(state, &path)) {
            return Err(refused("a file of the state").into());
        }
    }
    Ok(())
}
