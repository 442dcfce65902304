//! Turns targets into scopes, as the run has room for them: lists the accounts of organizations,
//! and the Regions of accounts.

use std::collections::{HashMap, HashSet};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use dynacrawl_discovery::{AccountRegions, FoundAccounts, Organization};
use dynacrawl_fetcher::panic_message;
use dynacrawl_model::{
    Account, AccountId, AccountsDiscovered, Outcome, Problem, Record, Region, RegionsDiscovered, RegionsSource, RunId,
    TargetFailed,
};
use futures_util::{FutureExt, Stream, StreamExt, stream};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::run_plan::RunPlan;
use super::stop_reason::{StopReason, no_credentials};
use super::target::{ReadyTarget, TargetConnection};
use super::worker::{RunTarget, RunTargets};
use crate::settings::{Group, SettingError, Settings};

/// How many targets are planned at once, ahead of the crawl.
const AHEAD: usize = 16;

/// A scope to crawl.
#[derive(Clone, Debug)]
pub(crate) struct ScopePlan {
    pub(crate) target: Arc<RunTarget>,
    pub(crate) region: Region,
}

/// A result of planning.
#[derive(Debug)]
pub(crate) enum Planned {
    /// A record about accounts or Regions that were discovered.
    Found(Box<Record>),
    /// The scopes of a target could not be discovered.
    Failed(TargetFailed),
    /// A scope.
    Scope(ScopePlan),
}

/// What an earlier process has discovered.
#[derive(Debug, Default)]
pub(crate) struct KnownTargets {
    pub(crate) accounts: HashMap<String, Vec<Account>>,
    pub(crate) regions: HashMap<String, Vec<Region>>,
    pub(crate) failed: HashSet<String>,
    /// Accounts whose list of Regions may be incomplete; `None` for a target whose list of accounts
    /// may be incomplete.
    pub(crate) unsure: HashSet<Option<AccountId>>,
}

/// Plans the scopes of targets.
pub(crate) struct Planner<'a> {
    pub(crate) plan: &'a RunPlan,
    pub(crate) run_id: RunId,
    pub(crate) known: &'a KnownTargets,
    /// Each target is added here before the first of its scopes.
    pub(crate) targets: &'a RunTargets,
    pub(crate) stop: &'a CancellationToken,
}

impl Planner<'_> {
    /// Sends the results of all targets, as fast as they are received. A slow target does not hold
    /// up the others.
    pub(crate) async fn plan(&self, out: mpsc::Sender<Planned>) {
        let listed = stream::iter(self.plan.targets.iter().cloned());
        self.send_all(listed, &out).await;
        for (group, ready) in &self.plan.groups {
            let (accounts, mut results) = Box::pin(self.accounts(group, ready)).await;
            let mut targets = Vec::with_capacity(accounts.len());
            for (account, member) in members(group, ready, &accounts, &self.plan.settings) {
                match member {
                    Ok(target) => targets.push(target),
                    Err(error) => {
                        let problem = Problem::new("invalid_target", error.to_string());
                        let stopped = StopReason::for_good(Outcome::Failed, problem);
                        let name = format!("{}/{}", group.name(), account.id);
                        results.extend(self.failed(name, Some(account.id), stopped));
                    }
                }
            }
            for one in results {
                if out.send(one).await.is_err() {
                    return;
                }
            }
            self.send_all(stream::iter(targets), &out).await;
        }
    }

    async fn send_all(&self, targets: impl Stream<Item = Arc<ReadyTarget>>, out: &mpsc::Sender<Planned>) {
        let mut planned = std::pin::pin!(targets.map(|target| self.scopes(target)).buffer_unordered(AHEAD));
        while let Some(some) = planned.next().await {
            for one in some {
                if out.send(one).await.is_err() {
                    return;
                }
            }
        }
    }

    /// The accounts of an organization, and the results to send about them.
    async fn accounts(&self, group: &Group, ready: &ReadyTarget) -> (Vec<Account>, Vec<Planned>) {
        if let Some(known) = self.known.accounts.get(group.name()) {
            return (known.clone(), Vec::new());
        }
        let found = tokio::select! {
            biased;
            () = self.stop.cancelled() => Err(cancelled()),
            found = caught(organization_accounts(group, ready, self.plan)) => found,
        };
        let name = group.name().to_owned();
        let found = match found {
            Ok(found) => found,
            Err(stopped) => return (Vec::new(), Vec::from_iter(self.failed(name, None, stopped))),
        };
        let discovered = AccountsDiscovered {
            target: name.clone(),
            accounts: found.accounts.clone(),
            listed: found.listed,
            inactive: found.inactive,
            filtered: found.filtered,
        };
        let record = Record::of_run(self.run_id, discovered);
        let mut results = Vec::new();
        if let Some(failed) = &found.failed {
            let mut stopped = StopReason::by_error(&failed.error);
            if found.listed > 0 {
                stopped.outcome = Outcome::IncompleteListing;
            }
            stopped.problem.message = failed.to_string();
            results.extend(self.failed(name.clone(), None, stopped));
        }
        if found.accounts.is_empty() && found.failed.is_none() {
            let FoundAccounts { listed, inactive, filtered, .. } = &found;
            let message = format!(
                "none of the organization's {listed} accounts is crawled: {inactive} are not active, {filtered} are excluded by the configuration"
            );
            let stopped = StopReason::for_good(Outcome::Failed, Problem::new("no_accounts", message));
            results.extend(self.failed(name.clone(), None, stopped));
        }
        for account in found.not_found {
            let message =
                format!("include_accounts names {account}, which is not an active account of the organization");
            let stopped = StopReason::for_good(Outcome::Failed, Problem::new("account_not_found", message));
            results.extend(self.failed(format!("{name}/{account}"), Some(account), stopped));
        }
        // The record comes last: if it is in the output, all other results are, too.
        results.push(Planned::Found(Box::new(record)));
        (found.accounts, results)
    }

    /// The scopes of a target.
    async fn scopes(&self, target: Arc<ReadyTarget>) -> Vec<Planned> {
        let target = self.targets.add((*target).clone());
        let scopes = |regions: &[Region]| -> Vec<Planned> {
            let plan = |region: &Region| ScopePlan { target: target.clone(), region: region.clone() };
            regions.iter().map(|region| Planned::Scope(plan(region))).collect()
        };
        let of = &target.ready.target;
        if !of.all_regions {
            return scopes(&of.regions);
        }
        if let Some(known) = self.known.regions.get(&of.name) {
            return scopes(known);
        }
        if self.known.failed.contains(&of.name) {
            return Vec::new();
        }
        let found = tokio::select! {
            biased;
            () = self.stop.cancelled() => Err(cancelled()),
            found = caught(self.ask_account(&target)) => found,
        };
        match found {
            Err(stopped) => Vec::from_iter(self.failed(of.name.clone(), of.account_id.clone(), stopped)),
            Ok(found) => {
                let mut planned = scopes(&found.regions);
                planned.insert(0, Planned::Found(Box::new(Record::of_run(self.run_id, found))));
                planned
            }
        }
    }

    async fn ask_account(&self, target: &RunTarget) -> Result<RegionsDiscovered, StopReason> {
        let connection = target.connection(&self.plan.connector).await;
        let target = &target.ready;
        let found = enabled_regions(connection, self.plan).await?;
        Ok(RegionsDiscovered {
            target: target.target.name.clone(),
            account_id: target.target.account_id.clone(),
            regions: found.regions,
            source: found.source,
            problems: found
                .passed_over
                .iter()
                .map(|failed| Problem::new(&*failed.error.code, failed.to_string()))
                .collect(),
        })
    }

    /// The failure of a target; `None` if an earlier process has already reported it.
    fn failed(&self, target: String, account_id: Option<AccountId>, stopped: StopReason) -> Option<Planned> {
        let failed = TargetFailed {
            target,
            account_id,
            outcome: stopped.outcome,
            code: stopped.problem.code,
            message: stopped.problem.message,
        };
        (!self.known.failed.contains(&failed.target)).then_some(Planned::Failed(failed))
    }
}

/// Lists the accounts of an organization with the credentials of `ready`.
pub async fn organization_accounts(
    group: &Group,
    ready: &ReadyTarget,
    plan: &RunPlan,
) -> Result<FoundAccounts, StopReason> {
    let settings = &plan.settings;
    let connection = plan.connector.connect(ready).await;
    let credentials = &connection.chain.last().credentials;
    credentials.get().await.map_err(|failed| no_credentials(&failed))?;
    let organization = Organization::new(
        &connection.sdk,
        credentials,
        settings.discovery.organizations.as_deref(),
        settings.budgets.organizations,
        settings.crawl.retry,
        &group.discovery.partition(),
    );
    Ok(organization.accounts(&group.filter).await)
}

/// The targets of an organization's accounts, with the same base credentials as `ready`.
pub fn members(
    group: &Group,
    ready: &ReadyTarget,
    accounts: &[Account],
    settings: &Settings,
) -> Vec<(Account, Result<Arc<ReadyTarget>, SettingError>)> {
    let member = |account| group.target(account).map(|target| Arc::new(ready.beside(target, settings)));
    accounts.iter().map(|account| (account.clone(), member(account))).collect()
}

/// The Regions that a connection's account has enabled.
pub async fn enabled_regions(
    connection: &TargetConnection,
    plan: &RunPlan,
) -> Result<dynacrawl_discovery::FoundRegions, StopReason> {
    let settings = &plan.settings;
    let credentials = &connection.chain.last().credentials;
    credentials.get().await.map_err(|failed| no_credentials(&failed))?;
    let regions = AccountRegions::new(
        &connection.sdk,
        credentials,
        &settings.discovery,
        settings.budgets.account,
        settings.crawl.retry,
        connection.target.partition(),
    );
    let found = regions.enabled().await;
    let refused = found.passed_over.iter().all(|failed| failed.error.class.is_about_credentials());
    if found.source == RegionsSource::BuiltIn
        && refused
        && let Err(failed) = connection.identity().await
        && failed.error.class.is_about_credentials()
    {
        // Every Region would fail in the same way.
        return Err(no_credentials(&failed));
    }
    Ok(found)
}

fn cancelled() -> StopReason {
    let problem = Problem::new("cancelled", "interrupted before its scopes were discovered");
    StopReason::for_good(Outcome::Cancelled, problem)
}

/// Turns a panic during the planning of a target into a failure of that target, so that the others
/// are not lost with it.
async fn caught<T>(work: impl Future<Output = Result<T, StopReason>>) -> Result<T, StopReason> {
    AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(|panic| {
        let problem = Problem::new("panic", panic_message(&*panic));
        Err(StopReason::for_good(Outcome::Failed, problem))
    })
}
