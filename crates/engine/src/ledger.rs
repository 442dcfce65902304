//! The ledger of one scope: the only place that counts. It is a fold over the scope's events, so
//! everyone who sees the same events gets the same counts: the worker that decides what is left to
//! do, the coordinator that writes `scope_completed`, and the journal that keeps a checkpoint of
//! what is in the output.

use std::collections::{BTreeMap, BTreeSet};

use dynacrawl_fetcher::FailedTable;
use dynacrawl_model::{AccountId, ChangeKind, Counts, Listing, Pace, Problem, Requests, Table, TableName};

use super::checkpoint::{Checkpoint, Cursor};
use super::description_problems::DescriptionProblems;
use super::event::{Finished, Identified, PageListed, ScopeEvent, TableDescribed, What};
use super::step::Step;
use super::stop_reason::StopReason;
use super::tables::Tables;

/// What is proven about the account that a scope's tables belong to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Identity {
    /// Nothing is proven yet; the reason why.
    Unproven(String),
    /// GetCallerIdentity or the ARN of a table named the account.
    Proven,
    /// The credentials or the tables belong to another account or Region: nothing found is the
    /// scope's.
    Foreign,
}

/// The ledger of one scope.
#[derive(Debug)]
pub(crate) struct Ledger {
    pub(super) tables: Tables,
    step: Step,
    pub(super) dry_run: bool,
    pub(super) listing: Listing,
    account_id: Option<AccountId>,
    pub(super) identity: Identity,
    pub(super) stopped: Option<StopReason>,
    pub(super) notes: Vec<Problem>,
    pub(super) descriptions: DescriptionProblems,
    requests: Requests,
    pace: Pace,
    /// The last table that named the scope's account and Region in its ARN.
    witness: Option<TableName>,
    foreign_arns: bool,
    /// The checkpoint at which this step began.
    before: Option<Box<Checkpoint>>,
}

impl Ledger {
    /// The ledger of a scope that begins, or continues at a checkpoint.
    pub(crate) fn new(dry_run: bool, before: Option<Box<Checkpoint>>) -> Self {
        let mut ledger = Self {
            tables: Tables::default(),
            step: Step::Crawl,
            dry_run,
            listing: Listing::Incomplete,
            account_id: None,
            identity: Identity::Unproven("the scope has not begun".to_owned()),
            stopped: None,
            notes: Vec::new(),
            descriptions: DescriptionProblems::default(),
            requests: Requests::default(),
            pace: Pace::default(),
            witness: None,
            foreign_arns: false,
            before,
        };
        if let Some(before) = &ledger.before {
            ledger.requests = before.requests;
            ledger.step = before.step;
        }
        ledger.continue_at_checkpoint();
        ledger
    }

    /// Folds an event.
    pub(crate) fn apply(&mut self, event: &ScopeEvent) {
        self.requests += event.requests;
        self.step = event.key.step;
        let confirms = self.step == Step::Confirm;
        match &event.what {
            What::AccountIdentified(identified) => self.identified(identified),
            // Removals are confirmed after the listing, so what is listed again does not count.
            What::PageListed(page) if confirms => self.pace = page.pace,
            What::PageListed(page) => self.page(page),
            What::TableDescribed(described) => self.described(described),
            // A table that was not listed is missing only if it exists, which is unknown.
            What::TableFailed(_) if confirms => {}
            What::TableFailed(failed) => self.tables.failed(failed),
            What::TableDeferred(failed) => self.tables.defer(failed.clone()),
            What::ProblemNoted(problem) => self.note(problem.clone()),
            What::TableExists(_) | What::OwnershipChecked(_) => {}
            What::Finished(finished) => self.finished(finished),
        }
    }

    /// Counts a change that the coordinator found.
    pub(crate) fn count(&mut self, kind: ChangeKind) {
        self.tables.changes_mut().count(kind);
    }

    /// Sets how many removals are held back.
    pub(crate) fn hold(&mut self, tables: u64) {
        self.tables.changes_mut().held = tables;
    }

    /// Adds a problem that the reader should know. One about the scope as a whole is added only
    /// once, whatever the step.
    pub(crate) fn note(&mut self, problem: Problem) {
        if !problem.table_names.is_empty() || !self.notes.iter().any(|noted| noted.code == problem.code) {
            self.notes.push(problem);
        }
    }

    /// Stops the scope. The first reason is kept: later ones are its consequences.
    pub(crate) fn stop(&mut self, reason: StopReason) {
        self.stopped.get_or_insert(reason);
    }

    /// Sets the account, or removes it.
    pub(crate) fn set_account(&mut self, account_id: Option<AccountId>) {
        self.account_id = account_id;
    }

    /// Begins a step.
    pub(crate) fn begin(&mut self, step: Step) {
        self.step = step;
    }

    /// Begins the scope's retry. Returns where it continues.
    pub(crate) fn retry(&mut self) -> Box<Checkpoint> {
        self.step = Step::Retry;
        self.stopped = None;
        let checkpoint = Box::new(self.checkpoint());
        self.before = Some(checkpoint.clone());
        self.continue_at_checkpoint();
        checkpoint
    }

    fn continue_at_checkpoint(&mut self) {
        self.tables = self.before.as_deref().cloned().map(Tables::resumed).unwrap_or_default();
        let all = *self.tables.cursor() == Cursor::End;
        self.listing = if all { Listing::Complete } else { Listing::Incomplete };
    }

    fn identified(&mut self, identified: &Identified) {
        if identified.account_id.is_some() {
            self.account_id.clone_from(&identified.account_id);
        }
        match (&identified.doubt, &mut self.identity) {
            (None, identity) => *identity = Identity::Proven,
            (Some(doubt), Identity::Unproven(reason)) => reason.clone_from(doubt),
            (Some(_), Identity::Proven | Identity::Foreign) => {}
        }
    }

    fn page(&mut self, page: &PageListed) {
        self.pace = page.pace;
        let unselected = page.unselected.len() as u64;
        if self.dry_run {
            self.tables.page_of_a_dry_run(unselected, page.selected.len() as u64);
        } else {
            self.tables.page(unselected, &page.selected, page.next.as_ref());
        }
        if page.next.is_none() {
            self.listing = Listing::Complete;
        }
    }

    fn described(&mut self, described: &TableDescribed) {
        if described.unlisted {
            self.tables.described_unlisted(&described.name);
        } else {
            self.tables.described(&described.name);
        }
        self.descriptions.add(&described.name, &described.record, &described.unexpected);
        if is_witness(&described.record.table) {
            self.witness = Some(described.name.clone());
        }
    }

    fn finished(&mut self, finished: &Finished) {
        self.pace = finished.pace;
        self.foreign_arns |= finished.foreign_arns;
        if finished.foreign {
            self.identity = Identity::Foreign;
            self.continue_at_checkpoint();
            self.listing = Listing::Incomplete;
        }
        if let Some(reason) = &finished.stopped {
            self.stop(reason.clone());
        }
    }

    /// Where a later process or step would continue.
    pub(crate) fn checkpoint(&self) -> Checkpoint {
        self.tables.checkpoint(self.step, self.requests)
    }

    /// The checkpoint at which this step began; `None` if it began at the first table.
    pub(crate) fn began_at(&self) -> Option<Box<Checkpoint>> {
        self.before.clone()
    }

    /// The current step, or the last one.
    pub(crate) fn step(&self) -> Step {
        self.step
    }

    pub(crate) fn account_id(&self) -> Option<&AccountId> {
        self.account_id.as_ref()
    }

    /// Whether it is proven which account the tables belong to.
    pub(crate) fn is_proven(&self) -> bool {
        self.identity == Identity::Proven
    }

    /// The counts. A table without a result counts as not attempted.
    pub(crate) fn counts(&self) -> Counts {
        self.tables.counts()
    }

    pub(crate) fn requests(&self) -> Requests {
        self.requests
    }

    pub(crate) fn pace(&self) -> Pace {
        self.pace
    }

    pub(crate) fn listing(&self) -> Listing {
        self.listing
    }

    /// Whether ListTables returned at least one page.
    pub(crate) fn listed_a_page(&self) -> bool {
        self.tables.listed_a_page()
    }

    /// Whether the scope stopped for a reason that may have passed by the end of the run, and has
    /// not been retried yet.
    pub(crate) fn deserves_a_retry(&self) -> bool {
        self.step == Step::Crawl && self.stopped.as_ref().is_some_and(|reason| reason.may_pass)
    }

    /// Where the listing continues.
    pub(crate) fn cursor(&self) -> &Cursor {
        self.tables.cursor()
    }

    /// Whether an event about a table is expected. A network may deliver an event twice; it must
    /// count once.
    pub(crate) fn awaits(&self, what: &What) -> bool {
        match what {
            What::TableDescribed(described) if described.unlisted => !self.tables.unlisted().contains(&described.name),
            What::TableDescribed(described) => self.tables.awaits(&described.name),
            What::TableFailed(failed) if self.step != Step::Confirm => self.tables.awaits(&failed.name),
            What::TableDeferred(failed) => self.tables.awaits(&failed.name),
            What::AccountIdentified(_)
            | What::PageListed(_)
            | What::TableExists(_)
            | What::TableFailed(_)
            | What::ProblemNoted(_)
            | What::OwnershipChecked(_)
            | What::Finished(_) => true,
        }
    }

    /// Whether an earlier process or step has finished a table.
    pub(crate) fn is_done(&self, name: &TableName) -> bool {
        self.tables.is_done(name)
    }

    /// The tables that wait for the last pass.
    pub(crate) fn deferred(&self) -> &BTreeMap<TableName, FailedTable> {
        self.tables.deferred()
    }

    /// How many listed pages are not finished.
    pub(crate) fn open_pages(&self) -> usize {
        self.tables.open_pages()
    }

    /// The tables that were described although the listing left them out.
    pub(crate) fn unlisted(&self) -> &BTreeSet<TableName> {
        self.tables.unlisted()
    }

    /// The last table that named the scope's account and Region. As long as DescribeTable finds it, the credentials are still
    /// those of the account.
    pub(crate) fn witness(&self) -> Option<&TableName> {
        self.witness.as_ref()
    }

    /// Whether tables named another account or Region in their ARNs.
    pub(crate) fn has_foreign_arns(&self) -> bool {
        self.foreign_arns
    }
}

/// Whether a table can show whose credentials these are: its ARN names an account and a Region, and
/// it is not being deleted, so DescribeTable will find it again.
pub(crate) fn is_witness(table: &Table) -> bool {
    let named = table.arn.as_ref().is_some_and(|arn| arn.account_id().is_some() && arn.region().is_some());
    named && table.status.as_deref() != Some("DELETING")
}
