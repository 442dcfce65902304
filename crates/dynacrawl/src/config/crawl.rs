//! `[crawl]`

use std::time::Duration;

use dynacrawl_client::RetryPolicy;
use dynacrawl_engine::settings::{CrawlSettings, Destination};
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
        Ok(CrawlSettings {
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
            grace: duration("crawl.grace (--grace)", self.grace.as_deref())?,
            dry_run: required("crawl.dry_run", self.dry_run)?,
        })
    }
}
