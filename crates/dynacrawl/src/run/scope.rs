//! The crawl of one scope: the walker and the fetcher side by side, with a bounded queue of names between them.

use std::sync::Arc;

use dynacrawl_client::{CallError, DecodeFailure, ScopeClient};
use dynacrawl_fetcher::{FailedTable, Fetched, Fetcher};
use dynacrawl_model::{
    AccountId, FailureReason, Problem, Record, RunId, SchemaVersion, Scope, Table, TableFailed, TableListed, TableName,
    TableRecord, Timestamp,
};
use dynacrawl_normalizer::Decoded;
use dynacrawl_walker::Listing;
use futures_util::stream::poll_fn;
use futures_util::{Stream, StreamExt};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::changes::ScopeChanges;
use super::claims::Claims;
use super::decode::decode_failure;
use super::detector::Told;
use super::ledger::{Checkpoint, Cursor};
use super::plan::{ScopePlan, no_credentials};
use super::progress::Progress;
use super::said::{Began, Described, Note, Said, ScopeNo};
use super::target::TargetConnection;
use super::tracker::{Stopped, Tracker};
use crate::config::Config;

/// How many names wait between the walker and the fetcher: a page and the next, so that listing runs ahead.
const QUEUED_NAMES: usize = 200;
/// How many tables are described one after the other in the hope that an ARN tells the account. Each may take all its
/// attempts, so they are few.
const ACCOUNT_ATTEMPTS: usize = 4;

/// How many tables are described at once in the last pass: what failed there, failed under load.
const LAST_PASS_CONCURRENCY: usize = 8;

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
    /// Where an earlier process stopped, for the journal.
    pub(crate) checkpoint: Option<Checkpoint>,
    /// What the last runs knew, where there is a state.
    pub(crate) changes: Option<ScopeChanges>,
    pub(crate) stop: CancellationToken,
    pub(crate) tracker: Arc<Tracker>,
    pub(crate) claims: Arc<Claims>,
    pub(crate) progress: Arc<Progress>,
}

impl ScopeTask {
    /// Crawls the scope. How it went is in the tracker.
    pub(crate) async fn crawl(&mut self, connection: &TargetConnection) -> Result<(), SinkGone> {
        let checkpoint = self.checkpoint.take();
        let resumed = checkpoint.is_some();
        self.note(|| {
            let scope = self.tracker.scope();
            let target = self.plan.target.target.name.clone();
            let (region, partition) = (scope.region.clone(), scope.partition.clone());
            Note::Began(Box::new(Began { target, region, partition, checkpoint }))
        })
        .await?;
        let region = &self.plan.region;
        if let Err(failed) = connection.chain.last().credentials.get().await {
            self.tracker.stop(no_credentials(&failed));
            return Ok(());
        }
        // An earlier process may have learned it from a table.
        let account = match (connection.account_id().await, self.tracker.scope().account_id.clone()) {
            (Err(_), Some(known)) => Ok(known),
            (Ok(asked), Some(known)) if asked != known => {
                let said =
                    format!("the credentials are those of {asked}, and the crawl that goes on here began in {known}");
                let problem = Problem::new("account_mismatch", said);
                self.tracker.stop(Stopped { outcome: dynacrawl_model::Outcome::AuthFailed, problem });
                return Ok(());
            }
            (asked, _) => asked,
        };
        if let Ok(account_id) = &account
            && self.claim(account_id) == Goes::No
        {
            return Ok(());
        }
        let client = connection.client(region, &self.config);
        self.tracker.set_client(client.clone());

        // Ended by an interrupt of the run, or by the fetcher where no table can be described any more.
        let walking = self.stop.child_token();
        let (names, queue) = mpsc::channel(QUEUED_NAMES);
        let (walked, fetched) = tokio::join!(
            self.walk(connection, &client, names, &walking),
            self.fetch(&client, queue, account.err().map(|error| error.to_string()), &walking),
        );
        walked.and(fetched)?;
        match &self.changes {
            Some(changes) => self.removals(changes, &client, resumed).await,
            None => Ok(()),
        }
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
                    self.progress.listed(page.len());
                    if listing.is_complete() {
                        self.tracker.listing_complete();
                    }
                    self.select(page, listing.next_start(), client, &names).await?;
                }
                Some(Err(failed)) => {
                    let stopped = connection.told_apart(&failed.error, Stopped::by_call(&failed)).await;
                    self.tracker.stop(stopped);
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

    /// Describes what the walker hands on.
    async fn fetch(
        &self,
        client: &ScopeClient,
        mut queue: mpsc::Receiver<TableName>,
        unknown_account: Option<String>,
        walking: &CancellationToken,
    ) -> Result<(), SinkGone> {
        let decode = |body: &[u8]| self.decode(body);
        let fetcher = Fetcher { client, decode, recheck_after: self.config.crawl.recheck_after };
        let end = |goes_on: Goes| {
            if goes_on == Goes::No {
                walking.cancel();
            }
            goes_on
        };
        let mut goes_on = Goes::On;
        if let Some(why) = unknown_account {
            // Until an ARN has told the account, one table after the other, so that no record lacks it: a table that failed
            // is told about once another has told whose they are.
            let mut failed = Vec::new();
            for _ in 0..ACCOUNT_ATTEMPTS {
                let Some(name) = queue.recv().await else { break };
                match fetcher.describe(name).await {
                    one @ Fetched::Failed(_) => failed.push(one),
                    one => goes_on = end(self.take(one, Account::Open).await?),
                }
                if goes_on == Goes::No || self.tracker.scope().account_id.is_some() {
                    break;
                }
            }
            if self.tracker.is_duplicate() {
                return Ok(());
            }
            for one in failed {
                self.take(one, Account::Settled).await?;
            }
            if goes_on == Goes::On && self.tracker.scope().account_id.is_none() {
                self.tracker.note(Problem::new("account_unknown", format!("nothing tells the account's id; {why}")));
            }
        }
        if goes_on == Goes::On {
            let mut fetched = std::pin::pin!(fetcher.describe_all(received(queue), self.config.crawl.concurrency));
            while let Some(one) = fetched.next().await {
                goes_on = end(self.take(one, Account::Settled).await?);
                if goes_on == Goes::No {
                    break;
                }
            }
        }
        if goes_on == Goes::On && !self.stop.is_cancelled() {
            self.last_pass(&fetcher).await?;
        }
        // Those that did not get their second chance have failed the first time.
        for failed in self.tracker.deferred().values() {
            self.fail(failed).await?;
        }
        Ok(())
    }

    /// Reads an answer of DescribeTable.
    pub(super) fn decode(&self, body: &[u8]) -> Result<Box<TableRecord>, DecodeFailure> {
        let Decoded { table, unexpected } =
            dynacrawl_normalizer::decode(body).map_err(|error| decode_failure(&error))?;
        if !unexpected.is_empty() {
            self.tracker.unexpected(table.name.as_ref(), unexpected);
        }
        // Boxed here, because a record is large and goes through several hands.
        Ok(Box::new(TableRecord {
            schema: SchemaVersion::V1,
            run_id: self.run_id,
            scope: self.tracker.scope(),
            observed_at: Timestamp::now(),
            fingerprint: dynacrawl_normalizer::fingerprint(&table),
            table,
            probes: Default::default(),
        }))
    }

    /// Asks once more for the tables that failed: what was wrong then may have passed.
    async fn last_pass<D>(&self, fetcher: &Fetcher<'_, D>) -> Result<(), SinkGone>
    where
        D: Fn(&[u8]) -> Result<Box<TableRecord>, DecodeFailure>,
    {
        let deferred = self.tracker.deferred();
        let names = futures_util::stream::iter(deferred.keys().cloned());
        let concurrency = self.config.crawl.concurrency.capped(LAST_PASS_CONCURRENCY);
        let mut fetched = std::pin::pin!(fetcher.describe_all(names, concurrency));
        while let Some(one) = fetched.next().await {
            let one = match one {
                Fetched::Failed(mut failed) => {
                    failed.attempts += deferred.get(&failed.name).map_or(0, |first| first.attempts);
                    self.fail(&failed).await?;
                    continue;
                }
                other => other,
            };
            if self.take(one, Account::Settled).await? == Goes::No {
                break;
            }
        }
        Ok(())
    }

    async fn fail(&self, failed: &FailedTable) -> Result<(), SinkGone> {
        self.emit(self.failed_record(failed)).await?;
        if let (FailureReason::Vanished, Some(changes)) = (failed.reason, &self.changes) {
            changes.vanished(&failed.name);
        }
        self.tracker.failed(failed);
        self.progress.failed();
        Ok(())
    }

    /// Turns what became of a table into a record.
    async fn take(&self, fetched: Fetched<Box<TableRecord>>, account: Account) -> Result<Goes, SinkGone> {
        match fetched {
            Fetched::Described(name, mut record) => {
                if self.tell_account(&record.table, account) == Goes::No {
                    return Ok(Goes::No);
                }
                record.scope = self.tracker.scope();
                record.table.name.get_or_insert_with(|| name.clone());
                let told = match &self.changes {
                    Some(changes) => changes.described(&record)?,
                    None => None,
                };
                let kind = told.as_ref().and_then(|told| told.kind);
                let account_id = record.scope.account_id.clone();
                let snapshot = self.config.changes.emit.snapshot().then_some(Record::Table(record));
                self.say(Note::Described(Box::new(Described { name: name.clone(), account_id, snapshot, told })))
                    .await?;
                self.tracker.described(&name);
                kind.into_iter().for_each(|kind| self.tracker.told(kind));
                self.progress.described();
            }
            Fetched::Failed(failed) if failed.may_pass && self.tracker.defer(&failed) => {
                self.note(|| Note::Deferred(failed)).await?;
            }
            Fetched::Failed(failed) => self.fail(&failed).await?,
            Fetched::Stopped(failed) => {
                self.tracker.stop(self.stopped_in_mid_run(&failed));
                return Ok(Goes::No);
            }
        }
        Ok(Goes::On)
    }

    /// The table's ARN is the last to tell the account, and a witness against a wrong configuration.
    fn tell_account(&self, table: &Table, account: Account) -> Goes {
        let scope = self.tracker.scope();
        let Some(account_id) = table.arn.as_ref().and_then(|arn| arn.account_id()) else { return Goes::On };
        match &scope.account_id {
            None if account == Account::Settled => {}
            None => {
                return self.claim(&account_id);
            }
            Some(configured) if *configured != account_id => self.tracker.other_account(configured, &account_id),
            Some(_) => {}
        }
        Goes::On
    }

    /// Claims the account and Region for the target. Where another target has them, the scope stops here, and its record
    /// names no account: there is exactly one that does.
    fn claim(&self, account_id: &AccountId) -> Goes {
        let target = &self.plan.target.target.name;
        let scope = Scope { account_id: Some(account_id.clone()), ..(*self.tracker.scope()).clone() };
        match self.claims.claim(account_id, &self.plan.region, target) {
            None => {
                self.tracker.set_scope(scope);
                Goes::On
            }
            Some(other) => {
                let said = format!("the target '{other}' has the same account and Region ({scope}), and crawls it");
                self.tracker.set_scope(Scope { account_id: None, ..scope });
                self.tracker.duplicate(Problem::new("duplicate_scope", said));
                Goes::No
            }
        }
    }

    fn stopped_in_mid_run(&self, failed: &CallError) -> Stopped {
        let mut stopped = Stopped::by_call(failed);
        stopped.problem.message = format!("no more tables can be described: {}", stopped.problem.message);
        stopped
    }

    fn failed_record(&self, failed: &FailedTable) -> Record {
        Record::TableFailed(TableFailed {
            schema: SchemaVersion::V1,
            run_id: self.run_id,
            scope: self.tracker.scope(),
            table: failed.name.clone(),
            reason: failed.reason,
            code: failed.code.clone(),
            message: failed.message.clone(),
            attempts: failed.attempts,
        })
    }

    async fn emit(&self, record: Record) -> Result<(), SinkGone> {
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

    async fn say(&self, note: Note) -> Result<(), SinkGone> {
        self.records.send(Said::Scope(self.number, note)).await.map_err(|_| SinkGone)
    }

    /// Tells the journal, where there is one.
    async fn note(&self, note: impl FnOnce() -> Note) -> Result<(), SinkGone> {
        if !self.journaled {
            return Ok(());
        }
        self.say(note()).await
    }
}

/// Whether a scope goes on after a table.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Goes {
    On,
    No,
}

/// Whether a table may still tell the scope's account. Once records have gone out without it, it stays unknown: a scope has
/// one name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Account {
    Open,
    Settled,
}

fn received<T>(mut queue: mpsc::Receiver<T>) -> impl Stream<Item = T> {
    poll_fn(move |context| queue.poll_recv(context))
}
