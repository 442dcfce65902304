//! `dynacrawl check`: whether a crawl would work, and if not, what to change.

mod checks;
mod finding;

pub use finding::{Check, CheckStatus, Findings};

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use checks::Depth;
use dynacrawl_discovery::FoundAccounts;
use dynacrawl_engine::settings::Group;
use dynacrawl_engine::{
    ReadyTarget, RunPlan, StopReason, TargetConnection, enabled_regions, members, organization_accounts,
};
use dynacrawl_fetcher::panic_message;
use dynacrawl_model::{Region, RegionsSource};
use dynacrawl_sinks::DeliveryError;
use finding::{SINK, Trouble};
use futures_util::{FutureExt, StreamExt, stream};

use crate::advice;
use crate::config::CheckSettings;

/// How long a sink may take to respond.
const SINK_TIME: Duration = Duration::from_secs(30);

/// How many Regions of one target are checked at once.
const REGIONS: usize = 8;

/// Checks every target and every scope of a plan.
pub async fn check(plan: &RunPlan, settings: &CheckSettings) -> Findings {
    let mut findings = Findings::default();
    let mut targets: Vec<Arc<ReadyTarget>> = plan.targets.clone();
    for (group, ready) in &plan.groups {
        let name = group.name().to_owned();
        let checked = AssertUnwindSafe(Box::pin(organization(group, ready, plan))).catch_unwind().await;
        let (members, found) = checked.unwrap_or_else(|panic| (Vec::new(), panicked(&name, None, &*panic)));
        targets.extend(members);
        findings = findings.and(found);
    }
    for sink in plan.settings.sinks.iter().map(|one| &one.sink) {
        let mut to = sink.kind.destination();
        let health = tokio::time::timeout(SINK_TIME, to.health()).await;
        let too_slow = |_| Err(DeliveryError::new(format!("the destination did not answer within {SINK_TIME:?}")));
        let health = health.unwrap_or_else(too_slow).map(|()| "can take events".to_owned());
        let trouble = |error: DeliveryError| Trouble {
            code: "sink_failed",
            message: error.message,
            fix: format!("correct sink.{}, or make its destination reachable", sink.name),
        };
        findings.add(SINK, &sink.name, None, health.map_err(trouble));
    }
    let at_once = (plan.settings.crawl.scopes / REGIONS).max(1);
    let checked = stream::iter(&targets).map(|target| {
        let checked = AssertUnwindSafe(Box::pin(check_target(target, plan, settings))).catch_unwind();
        checked.map(|checked| checked.unwrap_or_else(|panic| panicked(&target.target.name, None, &*panic)))
    });
    let checked = checked.buffered(at_once);
    let checked: Vec<Findings> = checked.collect().await;
    checked.into_iter().fold(findings, Findings::and)
}

/// The findings of a check that panicked: one failure with its message. The other checks continue.
fn panicked(target: &str, region: Option<&Region>, panic: &(dyn Any + Send)) -> Findings {
    let place = region.map(|region| format!("{region}: ")).unwrap_or_default();
    let trouble = Trouble {
        code: "panic",
        message: format!("{place}the check itself failed: {}", panic_message(panic)),
        fix: "this is a fault of dynacrawl; please report it with this message".to_owned(),
    };
    let mut findings = Findings::default();
    findings.add("check", target, None, Err(trouble));
    findings.no_scope_works(1);
    findings
}

async fn check_target(target: &ReadyTarget, plan: &RunPlan, settings: &CheckSettings) -> Findings {
    let depth = Depth { run: &plan.settings, check: settings };
    let connection = plan.connector.connect(target).await;
    let mut findings = Findings::default();
    let usable = checks::credentials(&connection, &depth, &mut findings).await;
    let regions = match connection.target.all_regions {
        true if usable => all_regions(&connection, plan, &mut findings).await,
        true => Vec::new(),
        false => connection.target.regions.clone(),
    };
    if !usable || regions.is_empty() {
        findings.no_scope_works(regions.len().max(1));
        return findings;
    }
    let scopes = stream::iter(&regions)
        .map(|region| {
            let checked = AssertUnwindSafe(Box::pin(checks::scope(&connection, region, &depth))).catch_unwind();
            checked
                .map(|checked| checked.unwrap_or_else(|panic| panicked(&connection.target.name, Some(region), &*panic)))
        })
        .buffered(REGIONS.min(plan.settings.crawl.scopes))
        .collect::<Vec<_>>()
        .await;
    scopes.into_iter().fold(findings, Findings::and)
}

/// Checks that the accounts of an organization can be listed, and returns their targets.
async fn organization(group: &Group, ready: &ReadyTarget, plan: &RunPlan) -> (Vec<Arc<ReadyTarget>>, Findings) {
    let name = group.name();
    let mut findings = Findings::default();
    let found = match organization_accounts(group, ready, plan).await {
        Ok(found) => found,
        Err(stopped) => {
            findings.add("organization", name, None, Err(accounts_not_listed(&stopped, group)));
            findings.no_scope_works(1);
            return (Vec::new(), findings);
        }
    };
    let FoundAccounts { accounts, listed, inactive, filtered, not_found, failed } = &found;
    match failed {
        Some(failed) => {
            let stopped = StopReason::by_error(&failed.error);
            let trouble = Trouble { message: failed.to_string(), ..accounts_not_listed(&stopped, group) };
            findings.add("organization", name, None, Err(trouble));
            findings.no_scope_works(1);
        }
        None => {
            let message = format!(
                "{} accounts to crawl of {listed} ({inactive} not active, {filtered} excluded)",
                accounts.len()
            );
            // An organization without an account to crawl is a failure: a filter or the listing is
            // wrong.
            let result = if accounts.is_empty() { Err(no_accounts(message)) } else { Ok(message) };
            if result.is_err() {
                findings.no_scope_works(1);
            }
            findings.add("organization", name, None, result);
        }
    }
    for account in not_found {
        let trouble = Trouble {
            code: "account_not_found",
            message: format!("{account} is not an active account of the organization"),
            fix: advice::NOT_A_MEMBER.to_owned(),
        };
        findings.add("organization", name, None, Err(trouble));
        findings.no_scope_works(1);
    }
    let members = members(group, ready, accounts, &plan.settings).into_iter();
    (members.filter_map(|(_, member)| member.ok()).collect(), findings)
}

fn no_accounts(message: String) -> Trouble {
    Trouble { code: "no_accounts", message, fix: advice::NO_ACCOUNTS.to_owned() }
}

fn accounts_not_listed(stopped: &StopReason, group: &Group) -> Trouble {
    Trouble {
        code: "accounts_not_listed",
        message: stopped.problem.message.clone(),
        fix: advice::organization(&stopped.problem, stopped.outcome, group)
            .unwrap_or_else(|| "run the check again; --log-level debug shows more".to_owned()),
    }
}

fn source(source: RegionsSource) -> &'static str {
    match source {
        RegionsSource::BuiltIn => "the built-in list",
        RegionsSource::ListRegions | RegionsSource::DescribeRegions => source.as_str(),
    }
}

/// Determines the Regions that the account has enabled. Returns none if that fails.
async fn all_regions(connection: &TargetConnection, plan: &RunPlan, findings: &mut Findings) -> Vec<Region> {
    let name = connection.target.name.as_str();
    match enabled_regions(connection, plan).await {
        Ok(found) => {
            let message = format!("{} Regions, from {}", found.regions.len(), source(found.source));
            if found.source == RegionsSource::BuiltIn {
                let why: Vec<_> = found.passed_over.iter().map(ToString::to_string).collect();
                let trouble = Trouble {
                    code: "regions_unknown",
                    message: format!("{message}: {}", why.join("; ")),
                    fix: "allow account:ListRegions or ec2:DescribeRegions (`dynacrawl policy` prints the policy), so that \
                          Regions that are not enabled are left out"
                        .to_owned(),
                };
                findings.warn("regions", name, None, trouble);
            } else {
                findings.add("regions", name, None, Ok(message));
            }
            found.regions
        }
        Err(stopped) => {
            let fix = "check the target's credentials".to_owned();
            let trouble = Trouble { code: "regions_unknown", message: stopped.problem.message, fix };
            findings.add("regions", name, None, Err(trouble));
            Vec::new()
        }
    }
}
