//! What is known of a scope at any moment. It outlives the scope's task, so that a scope ends with a record even where
//! its task panicked or was aborted.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dynacrawl_client::ScopeClient;
use dynacrawl_fetcher::FailedTable;
use dynacrawl_model::{ChangeCounts, Counts, Listing, Outcome, Pace, Problem, Requests, Scope, TableName};

use tokio::sync::Notify;

use super::decode::UnexpectedTypes;
use super::detector::ChangeKind;
use super::ledger::{Checkpoint, Cursor, Ledger, MAX_DEFERRED};
use super::stopped::Stopped;

#[derive(Debug)]
struct State {
    scope: Arc<Scope>,
    client: Option<Arc<ScopeClient>>,
    ledger: Ledger,
    /// What an earlier process had done.
    before: Option<Checkpoint>,
    listing: Listing,
    dry_run: bool,
    stopped: Option<Stopped>,
    cancelled: bool,
    notes: Vec<Problem>,
    identity: Identity,
    /// The last table whose ARN was the scope's.
    witness: Option<TableName>,
    /// Whether an ARN named another account or Region.
    foreign_arn: bool,
    /// How many tables the walker has handed on.
    handed_on: u64,
    /// Whether the walker waits for room.
    is_full: bool,
    /// Whether the scope's one note about an emulator's ARNs is made.
    emulator: bool,
    unexpected: UnexpectedTypes,
    duplicate: bool,
    /// Whether this is the scope's second try, at the end of the run.
    is_retry: bool,
    /// With a state: whether it is still to be found out, or could not be, which known tables are gone.
    unsettled: bool,
    with_changes: bool,
}

/// What is proven about whose tables a scope has.
#[derive(Debug)]
enum Identity {
    /// Nothing yet, and why.
    Unproven(String),
    /// GetCallerIdentity or the ARN of a table named the account.
    Proven,
    /// The credentials or the tables belong to another account or Region: the scope has nothing that is its own.
    Foreign,
}

/// The state of a scope, shared by its task and the run.
#[derive(Debug)]
pub(crate) struct Tracker {
    state: Mutex<State>,
    /// A table has come to an end.
    settled: Notify,
    /// The walker waits for room.
    full: Notify,
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
    /// A scope that begins, or continues after what an earlier process did.
    pub(crate) fn new(scope: Scope, dry_run: bool, with_changes: bool, before: Option<Checkpoint>) -> Self {
        let ledger = before.clone().map(Ledger::resumed).unwrap_or_default();
        let state = Mutex::new(State {
            scope: Arc::new(scope),
            client: None,
            ledger,
            before,
            listing: Listing::Incomplete,
            dry_run,
            stopped: None,
            cancelled: false,
            notes: Vec::new(),
            identity: Identity::Unproven("the scope has not begun".to_owned()),
            witness: None,
            foreign_arn: false,
            handed_on: 0,
            is_full: false,
            emulator: false,
            unexpected: UnexpectedTypes::default(),
            duplicate: false,
            is_retry: false,
            unsettled: with_changes,
            with_changes,
        });
        Self { state, settled: Notify::new(), full: Notify::new() }
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
        let selected = state.ledger.page(unselected, selected, next);
        state.handed_on += selected.len() as u64;
        selected
    }

    pub(crate) fn listing_complete(&self) {
        self.state().listing = Listing::Complete;
    }

    /// Waits until so few pages are open that one more may be listed.
    pub(crate) async fn room_for_a_page(&self) {
        loop {
            let mut settled = std::pin::pin!(self.settled.notified());
            settled.as_mut().enable();
            if !self.is_full() {
                return;
            }
            self.full.notify_one();
            settled.await;
        }
    }

    fn is_full(&self) -> bool {
        let mut state = self.state();
        state.is_full = state.ledger.open_pages() >= OPEN_PAGES;
        state.is_full
    }

    /// Waits until the walker waits for room.
    pub(crate) async fn full(&self) {
        self.full.notified().await;
    }

    /// Whether the walker waits for room although each of the `results` tables that it has handed on has a result.
    pub(crate) fn is_starved(&self, results: u64) -> bool {
        let state = self.state();
        state.is_full && state.handed_on == results
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

    /// A table was described that the listing left out.
    pub(crate) fn described_unlisted(&self, name: &TableName) {
        self.state().ledger.described_unlisted(name);
    }

    /// Whether the listing left a table out that was described all the same, in this process or an earlier one.
    pub(crate) fn has_described_unlisted(&self, name: &TableName) -> bool {
        self.state().ledger.unlisted().contains(name)
    }

    /// How many tables were described that the listing left out.
    pub(crate) fn unlisted(&self) -> Vec<TableName> {
        self.state().ledger.unlisted().iter().cloned().collect()
    }

    /// It is proven whose tables these are.
    pub(crate) fn prove(&self) {
        self.state().identity = Identity::Proven;
    }

    /// Why it is not proven whose tables these are.
    pub(crate) fn doubt(&self, why: String) {
        let mut state = self.state();
        if let Identity::Unproven(reason) = &mut state.identity {
            *reason = why;
        }
    }

    pub(crate) fn is_proven(&self) -> bool {
        matches!(self.state().identity, Identity::Proven)
    }

    /// A table has the scope's account and Region in its ARN.
    pub(crate) fn has_own_arn(&self, name: &TableName) {
        self.state().witness = Some(name.clone());
    }

    /// A table has another account or Region in its ARN.
    pub(crate) fn has_foreign_arn(&self) {
        self.state().foreign_arn = true;
    }

    /// Whether tables named another account or Region in their ARNs, and none the scope's.
    pub(crate) fn has_only_foreign_arns(&self) -> bool {
        let state = self.state();
        state.foreign_arn && state.witness.is_none()
    }

    /// The last table whose ARN was the scope's. While DescribeTable finds it, the credentials are still those of the account.
    pub(crate) fn witness(&self) -> Option<TableName> {
        self.state().witness.clone()
    }

    /// The credentials or the tables belong to another account or Region. What this process listed is not the scope's.
    pub(crate) fn foreign(&self, problem: Problem) {
        let mut state = self.state();
        state.identity = Identity::Foreign;
        state.ledger = state.before.clone().map(Ledger::resumed).unwrap_or_default();
        state.listing = Listing::Incomplete;
        state.stopped = Some(Stopped::for_good(Outcome::AuthFailed, problem));
        drop(state);
        self.settled.notify_waiters();
    }

    /// Whether the credentials or the tables belong to another account or Region.
    pub(crate) fn is_foreign(&self) -> bool {
        matches!(self.state().identity, Identity::Foreign)
    }

    /// Notes, once, that an emulator's ARNs are not those of the scope.
    pub(crate) fn note_emulator(&self, note: impl FnOnce() -> Problem) {
        let mut state = self.state();
        if !std::mem::replace(&mut state.emulator, true) {
            state.notes.push(note());
        }
    }

    /// Whether the scope failed for a reason that may have passed by the end of the run, and has not been tried again yet.
    pub(crate) fn deserves_a_retry(&self) -> bool {
        let state = self.state();
        !state.is_retry && !state.cancelled && state.stopped.as_ref().is_some_and(|stopped| stopped.may_pass)
    }

    /// Begins the scope's second try. Returns where it continues.
    pub(crate) fn retry(&self) -> Checkpoint {
        let mut state = self.state();
        let requests = state.client.take().map(|client| client.requests()).unwrap_or_default();
        let checkpoint = state.ledger.checkpoint(requests);
        state.ledger = Ledger::resumed(checkpoint.clone());
        state.before = Some(checkpoint.clone());
        state.handed_on = 0;
        (state.is_retry, state.stopped, state.listing) = (true, None, Listing::Incomplete);
        checkpoint
    }

    /// Another target crawls the same account and Region.
    pub(crate) fn duplicate(&self, problem: Problem) {
        let mut state = self.state();
        state.duplicate = true;
        state.stopped.get_or_insert(Stopped::for_good(Outcome::Failed, problem));
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

    /// Whether fields of the table's description had another type than expected.
    pub(crate) fn is_partly_read(&self, table: &TableName) -> bool {
        self.state().unexpected.has(table)
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
        if let Identity::Unproven(why) = &state.identity
            && state.ledger.listed_a_page()
        {
            let message = format!("nothing proves whose tables these are: {why}");
            problems.push(Problem::new("identity_unproven", message));
        }
        if all_vanished(&counts) {
            let message = "every table that was listed vanished before it was described, which is more likely a fault";
            let problem = Problem::new("all_vanished", message);
            problems.push(Problem { table_count: counts.vanished, ..problem });
        }
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
            changes: (state.with_changes && !is_uncompared(&state)).then(|| *state.ledger.changes()),
            problems,
            listed_a_page: state.ledger.listed_a_page(),
        }
    }
}

/// Whether nothing was compared with the state, because it is not proven whose tables these are.
fn is_uncompared(state: &State) -> bool {
    match state.identity {
        Identity::Proven => false,
        Identity::Foreign => true,
        Identity::Unproven(_) => state.ledger.listed_a_page(),
    }
}

/// Two tables or more that are all gone at once.
fn all_vanished(counts: &Counts) -> bool {
    counts.selected >= 2 && counts.vanished >= counts.selected
}

fn outcome(state: &State, counts: &Counts) -> Outcome {
    let missing = if state.dry_run { 0 } else { counts.missing() };
    let complete = state.listing == Listing::Complete;
    let whole = complete && missing == 0 && !state.unsettled && !all_vanished(counts);
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

    fn tracker(dry_run: bool) -> Tracker {
        let region = "eu-west-1".parse().expect("region");
        let tracker = Tracker::new(Scope { partition: "aws".into(), account_id: None, region }, dry_run, false, None);
        tracker.prove();
        tracker
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
    fn where_all_tables_vanish_at_once_the_scope_is_not_complete() {
        for (tables, outcome) in [(1, Outcome::Complete), (2, Outcome::Partial)] {
            let tracker = tracker(false);
            list(&tracker, tables);
            tracker.listing_complete();
            (0..tables).for_each(|number| tracker.failed(&failed(number, FailureReason::Vanished)));
            let ended = tracker.end();
            assert_eq!(ended.outcome, outcome);
            assert_eq!(ended.problems.iter().any(|problem| problem.code == "all_vanished"), tables > 1);
        }
    }

    #[test]
    fn an_identity_that_nothing_proves_is_named() {
        let region = "eu-west-1".parse().expect("region");
        let scope = Scope { partition: "aws".into(), account_id: None, region };
        let tracker = Tracker::new(scope, false, true, None);
        tracker.doubt("STS did not answer".to_owned());
        list(&tracker, 0);
        tracker.listing_complete();
        let ended = tracker.end();
        assert_eq!((ended.outcome, ended.problems[0].code.as_str()), (Outcome::Partial, "identity_unproven"));
        assert!(ended.problems[0].message.contains("STS did not answer"));
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
