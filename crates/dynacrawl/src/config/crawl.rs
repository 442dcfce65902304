//! `[crawl]`

use std::time::Duration;

use dynacrawl_client::RetryPolicy;
use dynacrawl_engine::settings::{CrawlSettings, Destination, Settings};
use dynacrawl_fetcher::{PROBES, Probe};
use dynacrawl_model::{Escaped, RecordKind, RecordKinds};
use dynacrawl_sinks::{Layout, Lines};
use dynacrawl_walker::TableFilter;

use super::error::ConfigError;
use super::limits::rate;
use super::raw;
use super::values::{duration, in_range, one_of, required};

impl raw::Crawl {
    pub(super) fn validate(self) -> Result<CrawlSettings, ConfigError> {
        let include = self.include.unwrap_or_default();
        let exclude = self.exclude.unwrap_or_default();
        let compile = |key: &str, include: &[String], exclude: &[String]| {
            TableFilter::new(include, exclude).map_err(|error| ConfigError::value(key, error))
        };
        compile("crawl.include (--include)", &include, &[])?;
        compile("crawl.exclude (--exclude)", &[], &exclude)?;
        let patience = duration("crawl.patience (--patience)", self.patience.as_deref())?;
        let requests = in_range("crawl.requests (--requests)", self.requests, 1, 10_000)?;
        let concurrency = required("crawl.concurrency (--concurrency)", self.concurrency)?.validate(requests)?;
        let max_attempts = in_range("crawl.max_attempts (--max-attempts)", self.max_attempts, 1, 100)?;
        let probes = self.probes.iter().flatten().map(|name| probe(name)).collect::<Result<_, _>>()?;
        let layout = match required("crawl.layout (--layout)", self.layout)?.as_str() {
            "table" => Layout::Table,
            "entities" => Layout::Entities,
            other => return Err(one_of("crawl.layout (--layout)", other, &["table", "entities"])),
        };
        Ok(CrawlSettings {
            probes,
            rate: rate("crawl", self.rate, self.burst)?,
            concurrency,
            scopes: in_range("crawl.scopes (--scopes)", self.scopes, 1, 1000)?,
            requests,
            retry: RetryPolicy { max_attempts, patience, ..RetryPolicy::default() },
            recheck_after: Duration::from_secs(1),
            filter: compile("crawl.include", &include, &exclude)?,
            include,
            exclude,
            lines: Lines { layout, records: records(self.records.as_deref().unwrap_or_default())? },
            output: Destination::parse(&required("crawl.output (--output)", self.output)?)?,
            keep_files: in_range("crawl.keep_files", self.keep_files, 0, 1_000_000)?,
            deliver_within: duration("crawl.deliver_within", self.deliver_within.as_deref())?,
            grace: duration("crawl.grace (--grace)", self.grace.as_deref())?,
            dry_run: required("crawl.dry_run", self.dry_run)?,
        })
    }
}

/// The record types of a list; all if it is empty.
fn records(names: &[String]) -> Result<RecordKinds, ConfigError> {
    if names.is_empty() {
        return Ok(RecordKinds::ALL);
    }
    let kind = |name: &String| {
        let all: Vec<_> = RecordKind::ALL.iter().map(|kind| kind.as_str()).collect();
        RecordKind::named(name).ok_or_else(|| one_of(RECORDS, name, &all))
    };
    names.iter().map(kind).collect()
}

/// Refuses record types that a run with the other settings never writes.
pub(super) fn refuse_contradictions(run: &Settings) -> Result<(), ConfigError> {
    let Lines { layout, records } = run.crawl.lines;
    if records == RecordKinds::ALL {
        return Ok(());
    }
    let (emit, dry_run) = (run.changes.emit, run.crawl.dry_run);
    for kind in RecordKind::ALL.iter().filter(|kind| records.contains(**kind)) {
        let never = match kind {
            RecordKind::TableListed if !dry_run => Some("needs crawl.dry_run (--dry-run)"),
            RecordKind::Table | RecordKind::KeySchema | RecordKind::Index | RecordKind::TableFailed if dry_run => {
                Some("a dry run (crawl.dry_run, --dry-run) describes no table")
            }
            RecordKind::Table | RecordKind::KeySchema | RecordKind::Index if !emit.snapshot() => {
                Some("changes.emit (--emit) must be \"snapshot\" or \"both\"")
            }
            RecordKind::KeySchema | RecordKind::Index if layout != Layout::Entities => {
                Some("crawl.layout (--layout) must be \"entities\"")
            }
            kind if kind.is_a_change() && (dry_run || !emit.changes()) => {
                Some("changes.emit (--emit) must be \"changes\" or \"both\", and the run must not be a dry run")
            }
            _ => None,
        };
        if let Some(never) = never {
            let problem = format!("this run writes no '{}' records: {never}", kind.as_str());
            return Err(ConfigError::value(RECORDS, problem));
        }
    }
    Ok(())
}

const RECORDS: &str = "crawl.records (--records)";

fn probe(name: &str) -> Result<&'static Probe, ConfigError> {
    Probe::named(name).ok_or_else(|| {
        let probes: Vec<_> = PROBES.iter().map(|probe| probe.name).collect();
        let probes = if probes.is_empty() { "this version has none".to_owned() } else { probes.join(", ") };
        ConfigError::value("crawl.probes", format!("'{}' is not a probe; {probes}", Escaped(name)))
    })
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, Layer};

    #[test]
    fn a_probe_that_does_not_exist_is_named() {
        let mut layer = Layer::reference();
        layer.crawl.probes = Some(vec!["tags\u{1b}".to_owned()]);
        let error = Config::validate(layer).map(drop).expect_err("no such probe").to_string();
        assert_eq!(error, "crawl.probes: 'tags\\u{1b}' is not a probe; this version has none");
    }

    #[test]
    fn record_types_that_a_run_never_writes_are_refused() {
        let refused = |records: &[&str], change: fn(&mut Layer)| {
            let mut layer = Layer::reference();
            layer.crawl.records = Some(records.iter().map(|name| (*name).to_owned()).collect());
            change(&mut layer);
            let config = Config::validate(layer).and_then(|config| super::refuse_contradictions(&config.run));
            config.err().map(|error| error.to_string())
        };
        let nothing = |_: &mut Layer| {};
        let entities = |layer: &mut Layer| layer.crawl.layout = Some("entities".to_owned());
        let dry_run = |layer: &mut Layer| layer.crawl.dry_run = Some(true);
        let changes = |layer: &mut Layer| layer.changes.emit = Some("changes".to_owned());
        assert_eq!(refused(&["table", "scope_completed"], nothing), None);
        assert_eq!(refused(&["table", "index"], entities), None);
        assert_eq!(refused(&["table_listed"], dry_run), None);
        assert_eq!(refused(&["table_removed", "scope_retired"], changes), None);
        for (records, change, expected) in [
            ("tabel", nothing as fn(&mut Layer), "'tabel' is unknown; expected one of run_started,"),
            ("index", nothing, "no 'index' records: crawl.layout (--layout) must be"),
            ("table_listed", nothing, "no 'table_listed' records: needs crawl.dry_run"),
            ("table", dry_run, "no 'table' records: a dry run"),
            ("table", changes, "no 'table' records: changes.emit (--emit) must be"),
            ("table_removed", nothing, "no 'table_removed' records: changes.emit (--emit) must be"),
        ] {
            let error = refused(&[records], change).unwrap_or_else(|| panic!("{records} was not refused"));
            assert!(error.starts_with("crawl.records (--records): ") && error.contains(expected), "{error}");
        }
    }
}
