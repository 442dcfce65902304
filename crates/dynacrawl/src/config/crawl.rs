//! `[crawl]`

use std::time::Duration;

use dynacrawl_client::RetryPolicy;
use dynacrawl_engine::settings::{CrawlSettings, Destination};
use dynacrawl_fetcher::{PROBES, Probe};
use dynacrawl_model::Escaped;
use dynacrawl_sinks::Layout;
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
            layout: match required("crawl.layout (--layout)", self.layout)?.as_str() {
                "table" => Layout::Table,
                "entities" => Layout::Entities,
                other => return Err(one_of("crawl.layout (--layout)", other, &["table", "entities"])),
            },
            output: Destination::parse(&required("crawl.output (--output)", self.output)?)?,
            keep_files: in_range("crawl.keep_files", self.keep_files, 0, 1_000_000)?,
            deliver_within: duration("crawl.deliver_within", self.deliver_within.as_deref())?,
            grace: duration("crawl.grace (--grace)", self.grace.as_deref())?,
            dry_run: required("crawl.dry_run", self.dry_run)?,
        })
    }
}

fn probe(name: &str) -> Result<&'static Probe, ConfigError> {
    Probe::named(name).ok_or_else(|| {
        let there_are: Vec<_> = PROBES.iter().map(|probe| probe.name).collect();
        let there_are = if there_are.is_empty() { "this version has none".to_owned() } else { there_are.join(", ") };
        ConfigError::value("crawl.probes", format!("'{}' is not a probe; {there_are}", Escaped(name)))
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
}
