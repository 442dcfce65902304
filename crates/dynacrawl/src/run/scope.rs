//! The crawl of one scope: the walker and the fetcher side by side, with a bounded queue of names between them.

use std::ops::ControlFlow::{self, Break, Continue};
use std::sync::Arc;

use dynacrawl_client::ScopeClient;
use dynacrawl_model::{AccountId, Problem, Record, RunId, SchemaVersion, Scope, TableListed, TableName};
use dynacrawl_walker::Listing;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::changes::ScopeChanges;
use super::claims::Claims;
use super::detector::Told;
use super::identity::{self, Asked, Gate};
use super::ledger::{Checkpoint, Cursor};
use super::plan::{ScopePlan, no_credentials};
use super::progress::Progress;
use super::said::{Began, Note, Said, ScopeNo};
use super::stopped::Stopped;
use super::target::{NamedBy, TargetConnection};
use super::tracker::Tracker;
use crate::config::Config;

/// How many names wait between the walker and the fetcher: a page and the next, so that listing runs ahead.
const QUEUED_NAMES: usize = 200;

/// The records' way out was closed: the sink has failed.
pub(crate) struct SinkGone;

/// What a scope's task needs.
pub(crate) struct ScopeTask {
    pub(crate) run_id: RunId,
    pub(crate) number: ScopeNo,
    pub(crate) config: Arc<Config>,
    pub(crate) plan: ScopePlan,
    pub(crate) records: mpsc::Sender<Said>,
    /// Whether a journal follows, and has to be told more than the records.
    pub(crate) journaled: bool,
    /// Where an earlier process or try stopped, for the journal.
    pub(crate) checkpoint: Option<Checkpoint>,
    /// The account that an earlier process has learned.
    pub(crate) account_before: Option<AccountId>,
    /// Whether an earlier process listed the first pages, so that what it saw of them has gone with it.
    pub(crate) resumed: bool,
    /// What the last runs knew, where there is a state.
    pub(crate) changes: Option<Arc<ScopeChanges>>,
    pub(crate) stop: CancellationToken,
    pub(crate) tracker: Arc<Tracker>,
    pub(crate) claims: Arc<Claims>,
    pub(crate) progress: Arc<Progress>,
}

impl ScopeTask {
    /// Crawls the scope. How it went is in the tracker.
    pub(crate) async fn crawl(&mut self, connection: &TargetConnection) -> Result<(), SinkGone> {
        let checkpoint = self.checkpoint.take();
        self.note(|| {
            let scope = self.tracker.scope();
            let target = self.plan.target.target.name.clone();
            let (region, partition) = (scope.region.clone(), scope.partition.clone());
            let account_id = self.account_before.clone();
            Note::Began(Box::new(Began { target, region, partition, account_id, checkpoint }))
        })
        .await?;
        let region = &self.plan.region;
        if let Err(failed) = connection.chain.last().credentials.get().await {
            self.tracker.stop(no_credentials(&failed));
            return Ok(());
        }
        let expected = self.expected_account(connection);
        let asked = identity::ask(connection, expected.as_ref().map(|(account, by)| (account, by))).await;
        let (account, by_sts) = match asked {
            Asked::Proven(account) => {
                connection.prove(account.clone());
                self.tracker.prove();
                (Some(account), true)
            }
            Asked::Unproven(why) => {
                self.tracker.doubt(why);
                (expected.as_ref().map(|(account, _)| account.clone()), false)
            }
            Asked::Foreign(problem) => {
                self.tracker.foreign(problem);
                return Ok(());
            }
        };
        if let Some(account) = &account
            && self.claim(account).is_break()
        {
            return Ok(());
        }
        let client = connection.client(region, &self.config);
        self.tracker.set_client(client.clone());

        // Ended by an interrupt of the run, or by the fetcher where no table can be described any more.
        let walking = self.stop.child_token();
        let (names, queue) = mpsc::channel(QUEUED_NAMES);
        let gate = Gate::new(by_sts, expected.map(|(_, by)| by));
        let (walked, fetched) = tokio::join!(
            self.walk(connection, &client, names, &walking),
            self.fetch(connection, &client, queue, gate, &walking),
        );
        walked.and(fetched)?;
        match &self.changes {
            Some(changes) => self.removals(changes, connection, &client).await,
            None => Ok(()),
        }
    }

    /// The account that the scope is expected to be in, and what says so.
    fn expected_account(&self, connection: &TargetConnection) -> Option<(AccountId, NamedBy)> {
        let before = || self.account_before.clone().map(|account| (account, NamedBy::EarlierProcess));
        connection.expected_account().or_else(before)
    }

    /// Lists to the last page, and hands on the names that are selected.
    async fn walk(
        &self,
        connection: &TargetConnection,
        client: &ScopeClient,
        names: mpsc::Sender<TableName>,
        walking: &CancellationToken,
    ) -> Result<(), SinkGone> {
        let mut listing = match self.tracker.cursor() {
            Cursor::Start => Listing::new(client, None),
            Cursor::After(name) => Listing::new(client, Some(name)),
            Cursor::End => Listing::over(client),
        };
        if listing.is_complete() {
            self.tracker.listing_complete();
        }
        loop {
            let page = tokio::select! {
                biased;
                () = walking.cancelled() => return Ok(()),
                page = async {
                    self.tracker.room_for_a_page().await;
                    listing.next_page().await
                } => page,
            };
            match page {
                None => break,
                Some(Ok(page)) => {
                    connection.accept();
                    self.progress.listed(page.len());
                    if listing.is_complete() {
                        self.tracker.listing_complete();
                    }
                    self.select(page, listing.next_start(), client, &names).await?;
                }
                Some(Err(failed)) => {
                    let stopped = Stopped::by_call(&failed);
                    let region = &self.plan.region;
                    self.tracker.stop(connection.not_enabled_or_refused(region, &failed.error, stopped).await);
                }
            }
        }
        Ok(())
    }

    /// Counts a page's names, and hands on those that are selected. Where nobody takes them any more, they are counted all
    /// the same.
    async fn select(
        &self,
        page: Vec<TableName>,
        next: Option<&TableName>,
        client: &ScopeClient,
        names: &mpsc::Sender<TableName>,
    ) -> Result<(), SinkGone> {
        let filter = &self.config.crawl.filter;
        let (selected, unselected): (Vec<_>, Vec<_>) = page.into_iter().partition(|name| filter.selects(name.as_str()));
        if let Some(changes) = &self.changes {
            changes.listed(&self.tracker.scope(), &unselected, &selected)?;
        }
        let left_out = unselected.len() as u64;
        // Told before the first of its tables can be.
        self.note(|| Note::Page {
            unselected: left_out,
            selected: selected.clone(),
            next: next.cloned(),
            requests: client.requests(),
        })
        .await?;
        let selected = self.tracker.page(left_out, selected, next.cloned());
        if self.config.crawl.dry_run {
            for table in unselected.into_iter().chain(selected) {
                let verdict = filter.verdict(table.as_str());
                self.emit(Record::TableListed(TableListed {
                    schema: SchemaVersion::V1,
                    run_id: self.run_id,
                    scope: self.tracker.scope(),
                    table,
                    selected: verdict.selected,
                    rule: verdict.rule,
                }))
                .await?;
            }
            return Ok(());
        }
        for name in selected {
            if names.send(name).await.is_err() {
                break;
            }
        }
        Ok(())
    }

    /// Claims the account and Region for the target. Where another target has them, the scope stops here, and its record
    /// names no account: there is exactly one that does.
    pub(super) fn claim(&self, account_id: &AccountId) -> ControlFlow<()> {
        let target = &self.plan.target.target.name;
        let scope = Scope { account_id: Some(account_id.clone()), ..(*self.tracker.scope()).clone() };
        match self.claims.claim(account_id, &self.plan.region, target) {
            None => {
                self.tracker.set_scope(scope);
                Continue(())
            }
            Some(other) => {
                let said = format!("the target '{other}' has the same account and Region ({scope}), and crawls it");
                self.tracker.set_scope(Scope { account_id: None, ..scope });
                self.tracker.duplicate(Problem::new("duplicate_scope", said));
                Break(())
            }
        }
    }

    pub(super) async fn emit(&self, record: Record) -> Result<(), SinkGone> {
        self.say(Note::Record(Box::new(record))).await
    }

    /// Tells what there is to tell about a table that was not described in its turn.
    pub(super) async fn tell(&self, told: Option<Told>) -> Result<(), SinkGone> {
        let Some(told) = told else { return Ok(()) };
        let kind = told.kind;
        self.say(Note::Told(Box::new(told))).await?;
        kind.into_iter().for_each(|kind| self.tracker.told(kind));
        Ok(())
    }

    pub(super) async fn say(&self, note: Note) -> Result<(), SinkGone> {
        self.records.send(Said::Scope(self.number, note)).await.map_err(|_| SinkGone)
    }

    /// Tells the journal, where there is one.
    pub(super) async fn note(&self, note: impl FnOnce() -> Note) -> Result<(), SinkGone> {
        if !self.journaled {
            return Ok(());
        }
        self.say(note()).await
    }
}
