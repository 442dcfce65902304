//! `dynacrawl check`: would a crawl work, and if not, what is to be done?

mod finding;
mod probes;

pub use finding::{Check, CheckStatus, Findings};

use futures_util::{StreamExt, stream};

use crate::config::Config;
use crate::run::{RunPlan, TargetConnection};

/// Checks every target and every scope of a plan.
pub async fn check(plan: &RunPlan) -> Findings {
    let connections = plan.connect().await;
    let config = plan.config();
    let checked =
        stream::iter(&connections).map(|connection| check_target(connection, config)).buffered(config.crawl.scopes);
    let findings: Vec<Findings> = checked.collect().await;
    findings.into_iter().fold(Findings::default(), Findings::and)
}

async fn check_target(connection: &TargetConnection, config: &Config) -> Findings {
    let mut findings = Findings::default();
    let usable = probes::credentials(connection, config, &mut findings).await;
    let regions = &connection.target.regions;
    if !usable {
        findings.no_scope_works(regions.len());
        return findings;
    }
    let scopes = stream::iter(regions)
        .map(|region| probes::scope(connection, region, config))
        .buffered(config.crawl.scopes)
        .collect::<Vec<_>>()
        .await;
    scopes.into_iter().fold(findings, Findings::and)
}
