//! What is known of a scope at any moment. It outlives the scope's task, so that a scope ends with a record even where
//! its task panicked or was aborted.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dynacrawl_client::{AwsError, CallError, ErrorClass, ScopeClient};
use dynacrawl_fetcher::FailedTable;
use dynacrawl_model::{AccountId, ChangeCounts, Counts, Listing, Outcome, Pace, Problem, Requests, Scope, TableName};

use tokio::sync::Notify;

use super::decode::UnexpectedTypes;
use super::detector::ChangeKind;
use super::ledger::{Cursor, Ledger, MAX_DEFERRED};

/// Why a scope cannot go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stopped {
    /// The outcome if no page came.
    pub(crate) outcome: Outcome,
    /// What is said about it.
    pub(crate) problem: Problem,
}

impl Stopped {
    /// By a call that failed for good.
    pub(crate) fn by_call(failed: &CallError) -> Self {
        let mut stopped = Self::by_error(&failed.error);
        stopped.problem.operation = Some(failed.operation);
        stopped
    }

    /// By an error of AWS's.
    pub(crate) fn by_error(error: &AwsError) -> Self {
        let outcome = match error.class {
            ErrorClass::Denied => Outcome::Denied,
            ErrorClass::Throttled => Outcome::Throttled,
            ErrorClass::Unreachable => Outcome::Unreachable,
            ErrorClass::NotOptedIn => Outcome::NotOptedIn,
            class if class.is_about_credentials() => Outcome::AuthFailed,
            _ => Outcome::Failed,
        };
        Self { outcome, problem: Problem::new(&*error.code, &*error.message) }
    }
}

#[derive(Debug)]
struct State {
    scope: Arc<Scope>,
    client: Option<Arc<ScopeClient>>,
    ledger: Ledger,
    listing: Listing,
    dry_run: bool,
    stopped: Option<Stopped>,
    cancelled: bool,
    notes: Vec<Problem>,
    unexpected: UnexpectedTypes,
    other_account: bool,
    duplicate: bool,
    /// With a state: whether it is still to be found out, or could not be, which known tables are gone.
    unsettled: bool,
    with_changes: bool,
}

/// The state of a scope, shared by its task and the run.
#[derive(Debug)]
pub(crate) struct Tracker {
    state: Mutex<State>,
    /// A table has come to an end.
    settled: Notify,
}

/// How many pages may be listed and not done with: one table that hangs must not have thousands of names wait behind it.
const OPEN_PAGES: usize = 8;

/// How a scope ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) scope: Arc<Scope>,
    pub(crate) outcome: Outcome,
    pub(crate) listing: Listing,
    pub(crate) counts: Counts,
    pub(crate) requests: Requests,
    pub(crate) pace: Pace,
    pub(crate) changes: Option<ChangeCounts>,
    pub(crate) problems: Vec<Problem>,
    /// Whether at least one page of the listing came.
    pub(crate) listed_a_page: bool,
}

impl Tracker {
    pub(crate) fn new(scope: Scope, dry_run: bool, with_changes: bool, ledger: Ledger) -> Self {
        let state = Mutex::new(State {
            scope: Arc::new(scope),
            client: None,
            ledger,
            listing: Listing::Incomplete,
            dry_run,
            stopped: None,
            cancelled: false,
            notes: Vec::new(),
            unexpected: UnexpectedTypes::default(),
            other_account: false,
            duplicate: false,
            unsettled: with_changes,
            with_changes,
        });
        Self { state, settled: Notify::new() }
    }

    /// A panic of a scope's task must not take the record of it along.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn scope(&self) -> Arc<Scope> {
        self.state().scope.clone()
    }

    pub(crate) fn set_scope(&self, scope: Scope) {
        self.state().scope = Arc::new(scope);
    }

    pub(crate) fn set_client(&self, client: Arc<ScopeClient>) {
        self.state().client = Some(client);
    }

    /// From where the listing goes on.
    pub(crate) fn cursor(&self) -> Cursor {
        self.state().ledger.cursor().clone()
    }

    /// A page came. Returns the tables that are to be described.
    pub(crate) fn page(&self, unselected: u64, selected: Vec<TableName>, next: Option<TableName>) -> Vec<TableName> {
        let mut state = self.state();
        if state.dry_run {
            state.ledger.page_of_a_dry_run(unselected, selected.len() as u64);
            return selected;
        }
        state.ledger.page(unselected, selected, next)
    }

    pub(crate) fn listing_complete(&self) {
        self.state().listing = Listing::Complete;
    }

    /// Waits until so few pages are open that one more may be listed.
    pub(crate) async fn room_for_a_page(&self) {
        loop {
            let mut settled = std::pin::pin!(self.settled.notified());
            settled.as_mut().enable();
            if self.state().ledger.open_pages() < OPEN_PAGES {
                return;
            }
            settled.await;
        }
    }

    pub(crate) fn described(&self, name: &TableName) {
        self.state().ledger.described(name);
        self.settled.notify_waiters();
    }

    pub(crate) fn failed(&self, failed: &FailedTable) {
        self.state().ledger.failed(failed);
        self.settled.notify_waiters();
    }

    /// Keeps a failed table for the last pass; `false` where no more are kept.
    pub(crate) fn defer(&self, failed: &FailedTable) -> bool {
        let mut state = self.state();
        let room = state.ledger.deferred().len() < MAX_DEFERRED;
        if room {
            state.ledger.defer(failed.clone());
        }
        drop(state);
        self.settled.notify_waiters();
        room
    }

    /// The tables that wait for the last pass.
    pub(crate) fn deferred(&self) -> BTreeMap<TableName, FailedTable> {
        self.state().ledger.deferred().clone()
    }

    /// A change is told.
    pub(crate) fn told(&self, kind: ChangeKind) {
        kind.count(self.state().ledger.changes());
    }

    /// The removal of so many tables is held back.
    pub(crate) fn held(&self, tables: u64) {
        self.state().ledger.changes().held = tables;
    }

    /// Which known tables are gone is found out.
    pub(crate) fn settle(&self) {
        self.state().unsettled = false;
    }

    /// Whether ListTables reached its last page.
    pub(crate) fn has_listed_all(&self) -> bool {
        self.state().listing == Listing::Complete
    }

    /// Whether a table was described.
    pub(crate) fn has_described(&self) -> bool {
        self.state().ledger.counts().described > 0
    }

    /// Notes, once, that the tables belong to another account than the configuration says.
    pub(crate) fn other_account(&self, configured: &AccountId, found: &AccountId) {
        let mut state = self.state();
        if !std::mem::replace(&mut state.other_account, true) {
            let said = format!("the tables' ARNs name the account {found}, the configuration names {configured}");
            state.notes.push(Problem::new("account_mismatch", said));
        }
    }

    /// Another target crawls the same account and Region.
    pub(crate) fn duplicate(&self, problem: Problem) {
        let mut state = self.state();
        state.duplicate = true;
        state.stopped.get_or_insert(Stopped { outcome: Outcome::Failed, problem });
    }

    pub(crate) fn is_duplicate(&self) -> bool {
        self.state().duplicate
    }

    /// The first reason stays: what follows is its consequence.
    pub(crate) fn stop(&self, stopped: Stopped) {
        self.state().stopped.get_or_insert(stopped);
    }

    pub(crate) fn cancel(&self) {
        self.state().cancelled = true;
    }

    /// Something that the reader should know.
    pub(crate) fn note(&self, problem: Problem) {
        self.state().notes.push(problem);
    }

    /// A description has fields of another type than expected.
    pub(crate) fn unexpected(&self, table: Option<&TableName>, fields: Vec<String>) {
        self.state().unexpected.add(table, fields);
    }

    /// The end: everything that is not accounted for was not attempted.
    pub(crate) fn end(&self) -> Ended {
        let mut state = self.state();
        let counts = state.ledger.counts();
        let mut problems: Vec<_> = state.stopped.iter().map(|stopped| stopped.problem.clone()).collect();
        problems.extend(state.ledger.problems());
        problems.append(&mut state.notes);
        problems.extend(state.unexpected.problem());
        let client = state.client.as_ref();
        Ended {
            scope: state.scope.clone(),
            outcome: outcome(&state, &counts),
            listing: state.listing,
            counts,
            requests: state.ledger.requests(client.map(|client| client.requests()).unwrap_or_default()),
            pace: client.map(|client| client.pace()).unwrap_or_default(),
            changes: state.with_changes.then(|| *state.ledger.changes()),
            problems,
            listed_a_page: state.ledger.listed_a_page(),
        }
    }
}

fn outcome(state: &State, counts: &Counts) -> Outcome {
    let missing = if state.dry_run { 0 } else { counts.missing() };
    let complete = state.listing == Listing::Complete;
    let whole = complete && missing == 0 && !state.unsettled;
    if state.cancelled && !whole {
        Outcome::Cancelled
    } else if whole {
        Outcome::Complete
    } else if complete {
        Outcome::Partial
    } else if state.ledger.listed_a_page() {
        Outcome::IncompleteListing
    } else {
        state.stopped.as_ref().map_or(Outcome::Failed, |stopped| stopped.outcome)
    }
}

#[cfg(test)]
mod tests {
    use dynacrawl_client::{AwsError, ErrorClass};
    use dynacrawl_fetcher::FailedTable;
    use dynacrawl_model::{FailureReason, Listing, Outcome, Scope, TableName};

    use super::{Stopped, Tracker};
    use crate::run::ledger::Ledger;

    fn tracker(dry_run: bool) -> Tracker {
        let region = "eu-west-1".parse().expect("region");
        Tracker::new(Scope { partition: "aws".into(), account_id: None, region }, dry_run, false, Ledger::default())
    }

    fn name(number: usize) -> TableName {
        TableName::from(format!("t{number:03}"))
    }

    fn failed(number: usize, reason: FailureReason) -> FailedTable {
        FailedTable {
            name: name(number),
            reason,
            code: "Code".to_owned(),
            message: "said".to_owned(),
            attempts: 1,
            may_pass: false,
        }
    }

    fn list(tracker: &Tracker, count: usize) {
        tracker.page(0, (0..count).map(name).collect(), None);
    }

    fn stopped(class: ErrorClass) -> Stopped {
        Stopped::by_error(&AwsError::new(class, "Code", "said"))
    }

    #[test]
    fn a_vanished_table_does_not_spoil_a_scope_and_a_denied_one_does() {
        for (reason, outcome) in [
            (FailureReason::Vanished, Outcome::Complete),
            (FailureReason::Denied, Outcome::Partial),
            (FailureReason::Throttled, Outcome::Partial),
            (FailureReason::Failed, Outcome::Partial),
        ] {
            let tracker = tracker(false);
            list(&tracker, 2);
            tracker.listing_complete();
            tracker.described(&name(0));
            tracker.failed(&failed(1, reason));
            let ended = tracker.end();
            assert_eq!(ended.outcome, outcome);
            assert!(ended.counts.add_up());
        }
    }

    #[test]
    fn what_is_not_accounted_for_was_not_attempted_and_is_named() {
        let tracker = tracker(false);
        list(&tracker, 150);
        tracker.listing_complete();
        tracker.described(&name(0));
        let ended = tracker.end();
        assert_eq!((ended.outcome, ended.counts.not_attempted), (Outcome::Partial, 149));
        assert!(ended.counts.add_up());
        let problem = ended.problems.last().expect("a problem");
        assert_eq!((problem.code.as_str(), problem.table_count, problem.tables.len()), ("not_attempted", 149, 100));
        assert_eq!(problem.tables[0], "t001");
    }

    #[test]
    fn without_a_page_the_cause_is_the_outcome() {
        for (class, outcome) in [
            (ErrorClass::Denied, Outcome::Denied),
            (ErrorClass::Throttled, Outcome::Throttled),
            (ErrorClass::Unreachable, Outcome::Unreachable),
            (ErrorClass::BadSignature, Outcome::AuthFailed),
            (ErrorClass::NoCredentials, Outcome::AuthFailed),
            (ErrorClass::NotOptedIn, Outcome::NotOptedIn),
            (ErrorClass::Transient, Outcome::Failed),
        ] {
            let empty = tracker(false);
            empty.stop(stopped(class));
            assert_eq!(empty.end().outcome, outcome);

            let begun = tracker(false);
            list(&begun, 1);
            begun.described(&name(0));
            begun.stop(stopped(class));
            let ended = begun.end();
            assert_eq!((ended.outcome, ended.listing), (Outcome::IncompleteListing, Listing::Incomplete));
        }
    }

    #[test]
    fn an_interrupted_scope_is_cancelled_unless_it_was_done() {
        let open = tracker(false);
        list(&open, 1);
        open.cancel();
        assert_eq!(open.end().outcome, Outcome::Cancelled);
        let done = tracker(false);
        list(&done, 1);
        done.listing_complete();
        done.described(&name(0));
        done.cancel();
        assert_eq!(done.end().outcome, Outcome::Complete);
    }

    #[test]
    fn a_dry_run_is_complete_when_its_listing_is() {
        let tracker = tracker(true);
        list(&tracker, 3);
        tracker.listing_complete();
        let ended = tracker.end();
        assert_eq!((ended.outcome, ended.counts.not_attempted, ended.problems.len()), (Outcome::Complete, 3, 0));
        assert!(ended.counts.add_up());
    }
}
