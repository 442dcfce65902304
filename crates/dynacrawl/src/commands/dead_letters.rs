//! `dynacrawl dead-letters`: shows the events that destinations refused, or delivers them again.

use std::io::{self, BufWriter, Write};
use std::path::Path;

use dynacrawl_engine::settings::ConfiguredSink;
use dynacrawl_sinks::{DeadLetter, DeadLetterError, Destination, read_dead_letters, retry_dead_letters, table_of};

use super::failure::Failure;
use super::grid::{Column, Grid, GridRow};
use super::print::ended;
use crate::cli::{DeadLettersArgs, Format, GlobalArgs, SinkArgs};
use crate::config::{Config, ConfigError, Flags};
use crate::exit::Exit;

pub(super) async fn dead_letters(global: &GlobalArgs, args: &DeadLettersArgs) -> Result<Exit, Failure> {
    let chosen = SinkArgs { sinks: args.sinks.clone(), no_sinks: false };
    let config = Config::load(global, &Flags { sinks: Some(&chosen), ..Flags::default() })?;
    let sinks = config.request.sinks.of(&config.run.sinks);
    if sinks.is_empty() {
        let problem = "the configuration has no sinks; name a configuration file with --config";
        return Err(ConfigError::value("sink", problem).into());
    }
    let fits = |one: &&ConfiguredSink| match args.retry {
        true => one.sink.kind.takes_events(),
        false => !one.sink.kind.takes_snapshots(),
    };
    if let Some(other) = sinks.iter().find(|one| !fits(one) && args.sinks.contains(&one.sink.name)) {
        let name = &other.sink.name;
        let problem = match other.sink.kind.takes_snapshots() {
            true => format!("'{name}' gets snapshots, and so no event that it could refuse"),
            false => format!(
                "'{name}' follows the state: it gets a table again when it changes, or all with `dynacrawl replay --sink {name}`"
            ),
        };
        return Err(ConfigError::value("--sink", problem).into());
    }
    let sinks: Vec<_> = sinks.into_iter().filter(fits).collect();
    if args.retry { retry(&sinks, &config).await } else { show(&sinks, args.format) }
}

fn failed(error: DeadLetterError) -> Failure {
    Failure::new(Exit::SinkFailed, error)
}

fn file(one: &ConfiguredSink) -> Result<&Path, Failure> {
    one.sink.dead_letters.as_deref().ok_or_else(|| {
        let problem = "is missing, and there is no state beside which the file would be";
        ConfigError::value(format!("sink.{}.dead_letters", one.sink.name), problem).into()
    })
}

fn show(sinks: &[&ConfiguredSink], format: Format) -> Result<Exit, Failure> {
    let columns = [Column::new("REFUSED (UTC)"), Column::new("SINK"), Column::new("TYPE"), Column::new("TABLE")];
    let mut out = BufWriter::new(io::stdout().lock());
    let mut written = Ok(());
    if format == Format::Json {
        for one in sinks {
            let each = |letter: DeadLetter| {
                written = serde_json::to_writer(&mut out, &letter)
                    .map_err(io::Error::from)
                    .and_then(|()| out.write_all(b"\n"));
                written.is_ok()
            };
            read_dead_letters(file(one)?, each).map_err(failed)?;
        }
        return ended(written.and_then(|()| out.flush()));
    }
    let mut grid = Grid::new(out, columns);
    for one in sinks {
        let each = |letter: DeadLetter| {
            let at = letter.at.to_string();
            let name = table_of(&letter.record, letter.table.as_ref()).and_then(|table| table.name.as_ref());
            let cells = [
                at.get(..16).unwrap_or(&at).replace('T', " "),
                letter.sink.clone(),
                letter.record.kind().as_str().to_owned(),
                name.map_or("-", |name| name.as_str()).to_owned(),
            ];
            written = grid.row(GridRow { cells, details: vec![letter.reason] });
            written.is_ok()
        };
        read_dead_letters(file(one)?, each).map_err(failed)?;
    }
    ended(written.and_then(|()| grid.end().map(drop)))
}

async fn retry(sinks: &[&ConfiguredSink], config: &Config) -> Result<Exit, Failure> {
    let mut refused = 0;
    for one in sinks {
        let path = file(one)?;
        let Destination::Events(mut sink) = one.sink.kind.destination() else { continue };
        let retried = retry_dead_letters(&mut *sink, &one.sink, path, config.run.crawl.deliver_within).await;
        let retried = retried.map_err(|error| {
            Failure::new(Exit::SinkFailed, anyhow::Error::new(error).context(format!("sink.{}", one.sink.name)))
        })?;
        eprintln!("{}: {} delivered, {} refused again", one.sink.name, retried.delivered, retried.refused);
        refused += retried.refused;
    }
    Ok(if refused == 0 { Exit::Complete } else { Exit::Partial })
}
