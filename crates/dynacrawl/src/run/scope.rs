//! The crawl of one scope: the walker and the fetcher side by side, with a bounded queue of names between them.

use std::ops::ControlFlow::{self, Break, Continue};
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
use super::identity::{self, Asked, Expected, Gate, Passed};
use super::ledger::{Checkpoint, Cursor};
use super::plan::{ScopePlan, no_credentials};
use super::progress::Progress;
use super::said::{Began, Described, Note, Said, ScopeNo};
use super::target::{NamedBy, TargetConnection};
use super::tracker::{Stopped, Tracker};
use crate::config::Config;

/// How many names wait between the walker and the fetcher: a page and the next, so that listing runs ahead.
const QUEUED_NAMES: usize = 200;
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

    /// Describes what the walker hands on. Nothing is written before it is proven whose tables these are.
    async fn fetch(
        &self,
        connection: &TargetConnection,
        client: &ScopeClient,
        queue: mpsc::Receiver<TableName>,
        mut gate: Gate,
        walking: &CancellationToken,
    ) -> Result<(), SinkGone> {
        let decode = |body: &[u8]| self.decode(body);
        let fetcher = Fetcher { client, decode, recheck_after: self.config.crawl.recheck_after };
        let mut flow = Continue(());
        {
            let mut fetched = std::pin::pin!(fetcher.describe_all(received(queue), self.config.crawl.concurrency));
            let mut results = 0;
            while flow.is_continue() {
                // Results that are held back keep their pages open, and the walker may wait for one of these to be done.
                let next = tokio::select! {
                    biased;
                    next = fetched.next() => next,
                    () = self.tracker.full(), if gate.holds() => {
                        flow = self.relieve(connection, &mut gate, results).await?;
                        continue;
                    }
                };
                let is_last = next.is_none();
                results += 1;
                flow = self.admit(connection, &mut gate, next).await?;
                if is_last {
                    break;
                }
                if flow.is_continue() && gate.holds() {
                    flow = self.relieve(connection, &mut gate, results).await?;
                }
            }
        }
        if flow.is_break() {
            walking.cancel();
        }
        if flow.is_continue() && !self.stop.is_cancelled() {
            self.last_pass(connection, &fetcher, &mut gate).await?;
        }
        if self.tracker.is_foreign() || self.tracker.is_duplicate() {
            // None of them is the scope's.
            return Ok(());
        }
        if self.tracker.deserves_a_retry() {
            // They have their second chance then.
            return Ok(());
        }
        // Those that did not get their second chance have failed the first time.
        for failed in self.tracker.deferred().values() {
            self.fail(failed).await?;
        }
        Ok(())
    }

    /// Takes a result, or the end of them, as soon as it is proven whose tables these are.
    async fn admit(
        &self,
        connection: &TargetConnection,
        gate: &mut Gate,
        next: Option<Fetched<Box<TableRecord>>>,
    ) -> Result<ControlFlow<()>, SinkGone> {
        let scope = self.tracker.scope();
        let expected = Expected { scope: &scope, custom_endpoint: connection.custom_endpoint };
        let mut claimed = Continue(());
        let passed = match next {
            Some(one) => gate.pass(&expected, one, |table| claimed = self.prove(connection, table)),
            None => gate.end(&expected),
        };
        if claimed.is_break() {
            // Another target crawls the scope.
            return Ok(Break(()));
        }
        match passed {
            Passed::Foreign(problem) => {
                self.tracker.foreign(problem);
                Ok(Break(()))
            }
            Passed::Through(results) => self.take_all(connection, results).await,
        }
    }

    /// Lets through what is held back, if the walker waits for it and no further result can come.
    async fn relieve(
        &self,
        connection: &TargetConnection,
        gate: &mut Gate,
        results: u64,
    ) -> Result<ControlFlow<()>, SinkGone> {
        if !self.tracker.is_starved(results) {
            return Ok(Continue(()));
        }
        let scope = self.tracker.scope();
        let expected = Expected { scope: &scope, custom_endpoint: connection.custom_endpoint };
        self.take_all(connection, gate.relieve(&expected)).await
    }

    async fn take_all(
        &self,
        connection: &TargetConnection,
        results: Vec<Fetched<Box<TableRecord>>>,
    ) -> Result<ControlFlow<()>, SinkGone> {
        for one in results {
            if self.take(connection, one).await?.is_break() {
                return Ok(Break(()));
            }
        }
        Ok(Continue(()))
    }

    /// Another scope of the target, with the same credentials, may have proven meanwhile whose they are.
    pub(super) fn proven_by_another_scope(&self, connection: &TargetConnection) {
        if self.tracker.is_proven() {
            return;
        }
        let Some(account_id) = connection.proven_account() else { return };
        let own = self.tracker.scope().account_id.clone();
        // Records without an account may have been written.
        if own.as_ref() == Some(&account_id)
            || (own.is_none() && !self.tracker.has_described() && self.claim(&account_id).is_continue())
        {
            self.tracker.prove();
        }
    }

    /// A table's ARN has proven whose tables these are. Claims the account, if nothing else has named it.
    fn prove(&self, connection: &TargetConnection, table: &Table) -> ControlFlow<()> {
        self.tracker.prove();
        let Some(account_id) = table.arn.as_ref().and_then(|arn| arn.account_id()) else { return Continue(()) };
        if self.tracker.scope().account_id.is_none() {
            self.claim(&account_id)?;
        }
        if self.tracker.scope().account_id.as_ref() == Some(&account_id) {
            connection.prove(account_id);
        }
        Continue(())
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
    async fn last_pass<D>(
        &self,
        connection: &TargetConnection,
        fetcher: &Fetcher<'_, D>,
        gate: &mut Gate,
    ) -> Result<(), SinkGone>
    where
        D: Fn(&[u8]) -> Result<Box<TableRecord>, DecodeFailure>,
    {
        let deferred = self.tracker.deferred();
        let names = futures_util::stream::iter(deferred.keys().cloned());
        let concurrency = self.config.crawl.concurrency.capped(LAST_PASS_CONCURRENCY);
        let mut fetched = std::pin::pin!(fetcher.describe_all(names, concurrency));
        let mut flow = Continue(());
        while flow.is_continue() {
            let next = fetched.next().await;
            let is_last = next.is_none();
            if let Some(Fetched::Failed(mut failed)) = next {
                failed.attempts += deferred.get(&failed.name).map_or(0, |first| first.attempts);
                self.fail(&failed).await?;
                continue;
            }
            flow = self.admit(connection, gate, next).await?;
            if is_last {
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

    /// Turns an answer that is about something else into a failure of the table that was asked for.
    pub(super) fn checked(
        &self,
        connection: &TargetConnection,
        one: Fetched<Box<TableRecord>>,
    ) -> Fetched<Box<TableRecord>> {
        let scope = self.tracker.scope();
        let expected = Expected { scope: &scope, custom_endpoint: connection.custom_endpoint };
        if let Fetched::Described(_, record) = &one
            && let Some(note) = expected.emulator_note(&record.table)
        {
            self.tracker.note_emulator(|| note);
        }
        if let Fetched::Described(_, record) = &one
            && expected.is_foreign(&record.table)
        {
            self.tracker.has_foreign_arn();
        }
        let one = expected.checked(one);
        if let Fetched::Described(name, record) = &one
            && self.changes.is_some()
            && record.table.status.as_deref() != Some("DELETING")
            && expected.is_own(&record.table)
        {
            self.tracker.has_own_arn(name);
        }
        one
    }

    /// Turns what became of a table into a record.
    async fn take(
        &self,
        connection: &TargetConnection,
        fetched: Fetched<Box<TableRecord>>,
    ) -> Result<ControlFlow<()>, SinkGone> {
        match self.checked(connection, fetched) {
            Fetched::Described(name, record) => {
                self.described(&name, record, false).await?;
                self.tracker.described(&name);
            }
            Fetched::Failed(failed) if failed.may_pass && self.tracker.defer(&failed) => {
                self.note(|| Note::Deferred(failed)).await?;
            }
            Fetched::Failed(failed) => self.fail(&failed).await?,
            Fetched::Stopped(failed) => {
                self.tracker.stop(self.stopped_in_mid_run(&failed));
                return Ok(Break(()));
            }
        }
        Ok(Continue(()))
    }

    /// Writes a table that was described, with what changed.
    pub(super) async fn described(
        &self,
        name: &TableName,
        mut record: Box<TableRecord>,
        unlisted: bool,
    ) -> Result<(), SinkGone> {
        record.scope = self.tracker.scope();
        record.table.name.get_or_insert_with(|| name.clone());
        // Whose tables these are has to be sure before they are compared.
        let told = match &self.changes {
            Some(changes) if self.tracker.is_proven() => {
                changes.described(&record, self.tracker.is_partly_read(name))?
            }
            _ => None,
        };
        let kind = told.as_ref().and_then(|told| told.kind);
        let account_id = record.scope.account_id.clone();
        let snapshot = self.config.changes.emit.snapshot().then_some(Record::Table(record));
        self.say(Note::Described(Box::new(Described { name: name.clone(), account_id, snapshot, told, unlisted })))
            .await?;
        kind.into_iter().for_each(|kind| self.tracker.told(kind));
        self.progress.described();
        Ok(())
    }

    /// Claims the account and Region for the target. Where another target has them, the scope stops here, and its record
    /// names no account: there is exactly one that does.
    fn claim(&self, account_id: &AccountId) -> ControlFlow<()> {
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

fn received<T>(mut queue: mpsc::Receiver<T>) -> impl Stream<Item = T> {
    poll_fn(move |context| queue.poll_recv(context))
}
