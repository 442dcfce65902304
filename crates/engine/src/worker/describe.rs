//! The second half of a scope's crawl: describing the tables that the walker hands on.

use std::ops::ControlFlow::{self, Break, Continue};

use dynacrawl_client::{CallError, DecodeFailure};
use dynacrawl_fetcher::{FailedTable, Fetched, Fetcher, ProbeValues};
use dynacrawl_model::{AccountId, TableName};
use futures_util::stream::poll_fn;
use futures_util::{Stream, StreamExt};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::decode::{self, Description, FetchedTable};
use super::identity::{Expected, Gate, Passed, Verdict};
use super::{ScopeWorker, Unread};
use crate::event::{TableDescribed, What};
use crate::stop_reason::StopReason;
use crate::tables::MAX_DEFERRED;

/// How many tables the last pass describes at once. It is low, because they failed under load.
const LAST_PASS_CONCURRENCY: usize = 8;

impl ScopeWorker<'_> {
    /// Describes the tables that the walker hands on. Emits nothing before it is proven which
    /// account they belong to.
    pub(super) async fn fetch(
        &self,
        queue: mpsc::Receiver<TableName>,
        mut gate: Gate,
        walking: &CancellationToken,
    ) -> Result<(), Unread> {
        let fetcher = self.fetcher();
        let mut flow = Continue(());
        {
            let mut fetched = std::pin::pin!(fetcher.describe_all(received(queue), self.settings.concurrency));
            let mut results = 0;
            while flow.is_continue() {
                // Results that are held back keep their pages open, and the walker may wait for one
                // of these pages.
                let next = if gate.holds() {
                    tokio::select! {
                        biased;
                        next = fetched.next() => next,
                        () = self.full.notified() => {
                            flow = self.relieve(&mut gate, results).await?;
                            continue;
                        }
                    }
                } else {
                    fetched.next().await
                };
                let is_last = next.is_none();
                results += 1;
                flow = self.admit(&mut gate, next).await?;
                if is_last {
                    break;
                }
                if flow.is_continue() && gate.holds() {
                    flow = self.relieve(&mut gate, results).await?;
                }
            }
        }
        if flow.is_break() {
            walking.cancel();
        }
        if flow.is_continue() && !self.stop.is_cancelled() {
            self.last_pass(&fetcher, &mut gate).await?;
        }
        if self.view().foreign || self.deserves_a_retry() {
            // Either none of the tables is the scope's, or the retry describes the deferred ones.
            return Ok(());
        }
        // A deferred table that was not tried again keeps its first failure.
        let deferred: Vec<_> = self.view().ledger.deferred().values().cloned().collect();
        for failed in deferred {
            self.emit(What::TableFailed(failed)).await?;
        }
        Ok(())
    }

    /// Passes a result, or the end of the results, through the gate, and emits what the gate
    /// releases.
    async fn admit(&self, gate: &mut Gate, next: Option<FetchedTable>) -> Result<ControlFlow<()>, Unread> {
        if gate.is_open()
            && let Some(one) = next
        {
            return self.take(one).await;
        }
        let scope = self.scope();
        let expected = Expected::of(&scope, self.connection);
        let passed = match next {
            Some(one) => gate.pass(&expected, one),
            None => gate.end(&expected),
        };
        match passed {
            Passed::Foreign(problem) => {
                self.foreign(problem);
                Ok(Break(()))
            }
            Passed::Through(results) => self.take_all(results).await,
            Passed::Proven(account_id, results) => {
                self.prove(account_id).await?;
                self.take_all(results).await
            }
        }
    }

    /// Releases the results that are held back, if the walker waits for them and no further result
    /// can come.
    async fn relieve(&self, gate: &mut Gate, results: u64) -> Result<ControlFlow<()>, Unread> {
        if !self.is_starved(results) {
            return Ok(Continue(()));
        }
        let scope = self.scope();
        let expected = Expected::of(&scope, self.connection);
        self.take_all(gate.relieve(&expected)).await
    }

    async fn take_all(&self, results: Vec<FetchedTable>) -> Result<ControlFlow<()>, Unread> {
        for one in results {
            if self.take(one).await?.is_break() {
                return Ok(Break(()));
            }
        }
        Ok(Continue(()))
    }

    /// Reports that a table's ARN has proven the account. It also names the account, if nothing
    /// else has.
    async fn prove(&self, account_id: Option<AccountId>) -> Result<(), Unread> {
        let own = self.scope().account_id.clone();
        let learned = if own.is_none() { account_id.clone() } else { None };
        self.identified(learned, None).await?;
        if let Some(account_id) = account_id
            && own.is_none_or(|own| own == account_id)
        {
            self.connection.prove(account_id);
        }
        Ok(())
    }

    /// The fetcher for tables of the scope.
    pub(super) fn fetcher(&self) -> Fetcher<'_, impl Fn(&[u8]) -> Result<Description, DecodeFailure>> {
        Fetcher {
            client: self.client(),
            decode: decode::decode,
            recheck_after: self.settings.recheck_after,
            probes: &self.settings.probes,
        }
    }

    /// Describes the deferred tables again: the reason for their failure may have passed.
    async fn last_pass<D>(&self, fetcher: &Fetcher<'_, D>, gate: &mut Gate) -> Result<(), Unread>
    where
        D: Fn(&[u8]) -> Result<Description, DecodeFailure>,
    {
        let deferred = self.view().ledger.deferred().clone();
        let names = futures_util::stream::iter(deferred.keys().cloned());
        let concurrency = self.settings.concurrency.capped(LAST_PASS_CONCURRENCY);
        let mut fetched = std::pin::pin!(fetcher.describe_all(names, concurrency));
        let mut flow = Continue(());
        while flow.is_continue() {
            let next = fetched.next().await;
            let is_last = next.is_none();
            if let Some(Fetched::Failed(mut failed)) = next {
                failed.attempts += deferred.get(&failed.name).map_or(0, |first| first.attempts);
                self.emit(What::TableFailed(failed)).await?;
                continue;
            }
            flow = self.admit(gate, next).await?;
            if is_last {
                break;
            }
        }
        Ok(())
    }

    /// Turns a response that does not describe the requested table into a failure of that table.
    pub(super) async fn checked(&self, one: FetchedTable) -> Result<FetchedTable, Unread> {
        let scope = self.scope();
        let expected = Expected::of(&scope, self.connection);
        let (one, verdict) = expected.checked(one);
        match &verdict {
            Verdict::Own | Verdict::Silent => {}
            Verdict::Foreign(_) => self.view().foreign_arns = true,
            Verdict::Emulator(foreign) => {
                if !std::mem::replace(&mut self.view().emulator_noted, true) {
                    self.emit(What::ProblemNoted(expected.emulator_note(foreign))).await?;
                }
            }
        }
        Ok(one)
    }

    /// Emits the result of a table.
    async fn take(&self, fetched: FetchedTable) -> Result<ControlFlow<()>, Unread> {
        match self.checked(fetched).await? {
            Fetched::Described(name, found, probes) => self.described(name, found, probes, false).await?,
            Fetched::Failed(failed) if failed.may_pass && self.has_room_for_a_deferred_table() => {
                self.emit(What::TableDeferred(failed)).await?;
            }
            Fetched::Failed(failed) => self.emit(What::TableFailed(failed)).await?,
            Fetched::NoCredentials(failed) => {
                self.stop(stopped_in_mid_run(&failed));
                return Ok(Break(()));
            }
        }
        Ok(Continue(()))
    }

    fn has_room_for_a_deferred_table(&self) -> bool {
        self.view().ledger.deferred().len() < MAX_DEFERRED
    }

    /// Emits a table that was described.
    pub(super) async fn described(
        &self,
        name: TableName,
        found: Description,
        probes: ProbeValues,
        unlisted: bool,
    ) -> Result<(), Unread> {
        let Description { mut record, unexpected } = found;
        record.table.name.get_or_insert_with(|| name.clone());
        self.emit(What::TableDescribed(TableDescribed { name, record, unexpected, probes, unlisted })).await
    }
}

fn stopped_in_mid_run(failed: &CallError) -> StopReason {
    let mut reason = StopReason::by_call(failed);
    reason.problem.message = format!("no more tables can be described: {}", reason.problem.message);
    reason
}

fn received<T>(mut queue: mpsc::Receiver<T>) -> impl Stream<Item = T> {
    poll_fn(move |context| queue.poll_recv(context))
}

/// Whether DescribeTable did not find a table, for the confirmation of removals.
pub(super) fn has_vanished(failed: &FailedTable) -> bool {
    failed.reason == dynacrawl_model::FailureReason::Vanished
}
