//! The second half of a scope's crawl: what the walker hands on is described, compared and written.

use std::ops::ControlFlow::{self, Break, Continue};

use dynacrawl_client::{CallError, DecodeFailure, ScopeClient};
use dynacrawl_fetcher::{FailedTable, Fetched, Fetcher};
use dynacrawl_model::{FailureReason, Record, SchemaVersion, Table, TableFailed, TableName, TableRecord, Timestamp};
use dynacrawl_normalizer::Decoded;
use futures_util::stream::poll_fn;
use futures_util::{Stream, StreamExt};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::decode::decode_failure;
use super::identity::{Expected, Gate, Passed, Verdict};
use super::said::{Described, Note};
use super::scope::{ScopeTask, SinkGone};
use super::stopped::Stopped;
use super::target::TargetConnection;

/// How many tables are described at once in the last pass: what failed there, failed under load.
const LAST_PASS_CONCURRENCY: usize = 8;

impl ScopeTask {
    /// Describes what the walker hands on. Nothing is written before it is proven whose tables these are.
    pub(super) async fn fetch(
        &self,
        connection: &TargetConnection,
        client: &ScopeClient,
        queue: mpsc::Receiver<TableName>,
        mut gate: Gate,
        walking: &CancellationToken,
    ) -> Result<(), SinkGone> {
        let fetcher = self.fetcher(client);
        let mut flow = Continue(());
        {
            let mut fetched = std::pin::pin!(fetcher.describe_all(received(queue), self.config.crawl.concurrency));
            let mut results = 0;
            while flow.is_continue() {
                // Results that are held back keep their pages open, and the walker may wait for one of these to be done.
                let next = if gate.holds() {
                    tokio::select! {
                        biased;
                        next = fetched.next() => next,
                        () = self.tracker.full() => {
                            flow = self.relieve(connection, &mut gate, results).await?;
                            continue;
                        }
                    }
                } else {
                    fetched.next().await
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
        if gate.is_open()
            && let Some(one) = next
        {
            return self.take(connection, one).await;
        }
        let scope = self.tracker.scope();
        let expected = Expected::of(&scope, connection);
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
        let expected = Expected::of(&scope, connection);
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

    /// What describes tables of the scope.
    pub(super) fn fetcher<'a>(
        &'a self,
        client: &'a ScopeClient,
    ) -> Fetcher<'a, impl Fn(&[u8]) -> Result<Box<TableRecord>, DecodeFailure>> {
        let decode = |body: &[u8]| self.decode(body);
        Fetcher { client, decode, recheck_after: self.config.crawl.recheck_after }
    }

    /// Reads an answer of DescribeTable.
    fn decode(&self, body: &[u8]) -> Result<Box<TableRecord>, DecodeFailure> {
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
        let expected = Expected::of(&scope, connection);
        let (one, verdict) = expected.checked(one);
        match (&verdict, &one) {
            (Verdict::Foreign(_), _) => self.tracker.has_foreign_arn(),
            (Verdict::Own | Verdict::Emulator(_), Fetched::Described(name, record))
                if self.changes.is_some() && record.table.status.as_deref() != Some("DELETING") =>
            {
                self.tracker.has_own_arn(name);
            }
            _ => {}
        }
        if let Verdict::Emulator(foreign) = &verdict {
            self.tracker.note_emulator(|| expected.emulator_note(foreign));
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
}

fn received<T>(mut queue: mpsc::Receiver<T>) -> impl Stream<Item = T> {
    poll_fn(move |context| queue.poll_recv(context))
}
