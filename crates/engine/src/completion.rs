//! What follows from a scope's ledger at the end: its outcome and its problems.

use dynacrawl_model::{ChangeCounts, Counts, Listing, Outcome, Problem};

use super::ledger::{Identity, Ledger};

impl Ledger {
    /// How the scope ended. `unsettled`: it is unknown which tables in the state were deleted.
    pub(crate) fn outcome(&self, cancelled: bool, unsettled: bool) -> Outcome {
        let counts = self.counts();
        let missing = if self.dry_run { 0 } else { counts.missing() };
        let complete = self.listing == Listing::Complete;
        let whole = complete && missing == 0 && !unsettled && !all_vanished(&counts);
        if cancelled && !whole {
            Outcome::Cancelled
        } else if whole {
            Outcome::Complete
        } else if complete {
            Outcome::Partial
        } else if self.listed_a_page() {
            Outcome::IncompleteListing
        } else {
            self.stopped.as_ref().map_or(Outcome::Failed, |reason| reason.outcome)
        }
    }

    /// What changed; `None` if nothing was compared with the state, because it is not proven which
    /// account the tables belong to.
    pub(crate) fn compared(&self) -> Option<ChangeCounts> {
        let uncompared = match self.identity {
            Identity::Proven => false,
            Identity::Foreign => true,
            Identity::Unproven(_) => self.listed_a_page(),
        };
        (!uncompared).then(|| self.tables.changes())
    }

    /// What is missing and why, and what the reader should know.
    pub(crate) fn problems(&self) -> Vec<Problem> {
        let mut problems: Vec<_> = self.stopped.iter().map(|reason| reason.problem.clone()).collect();
        problems.extend(self.tables.problems());
        if let Identity::Unproven(why) = &self.identity
            && self.listed_a_page()
        {
            let message = format!("nothing proves whose tables these are: {why}");
            problems.push(Problem::new("identity_unproven", message));
        }
        let counts = self.counts();
        if all_vanished(&counts) {
            let message = "every table that was listed vanished before it was described, which is more likely a fault";
            let problem = Problem::new("all_vanished", message);
            problems.push(Problem { table_count: counts.vanished, ..problem });
        }
        problems.extend(self.notes.iter().cloned());
        problems.extend(self.descriptions.problems());
        problems
    }
}

/// Whether two or more tables were selected, and all of them vanished.
fn all_vanished(counts: &Counts) -> bool {
    counts.selected >= 2 && counts.vanished >= counts.selected
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use dynacrawl_client::{AwsError, ErrorClass};
    use dynacrawl_fetcher::{FailedTable, ProbeValues};
    use dynacrawl_model::{
        FailureReason, Listing, Operation, Outcome, RequestCounts, Requests, RunId, Table, TableName, TableRecord,
        Timestamp,
    };

    use super::Ledger;
    use crate::event::{Finished, Identified, JobKey, PageListed, ScopeEvent, TableDescribed, What};
    use crate::step::Step;
    use crate::stop_reason::StopReason;

    /// A ledger with the events of one step.
    struct Scene {
        ledger: Ledger,
        key: Arc<JobKey>,
    }

    impl Scene {
        fn of(dry_run: bool) -> Self {
            let mut scene = Self::unproven(dry_run);
            scene.apply(What::AccountIdentified(Identified { account_id: None, doubt: None }));
            scene
        }

        fn unproven(dry_run: bool) -> Self {
            let region = "eu-west-1".parse().expect("a Region");
            let key = JobKey { run_id: RunId::generate(), target: "t".to_owned(), region, step: Step::Crawl };
            Self { ledger: Ledger::new(dry_run, None), key: Arc::new(key) }
        }

        fn step(&mut self, step: Step) {
            self.key = Arc::new(JobKey { step, ..(*self.key).clone() });
        }

        fn apply(&mut self, what: What) {
            let requests = Requests::new(|operation| RequestCounts {
                sent: u64::from(operation == Operation::DescribeTable),
                throttled: 0,
            });
            self.ledger.apply(&ScopeEvent { key: self.key.clone(), requests, what });
        }

        /// Lists a page of `count` tables.
        fn list(&mut self, count: usize, is_last: bool) {
            self.apply(What::PageListed(PageListed {
                selected: (0..count).map(name).collect(),
                unselected: Vec::new(),
                next: (!is_last).then(|| name(count)),
                pace: Default::default(),
            }));
        }

        fn describe(&mut self, number: usize) {
            let record = TableRecord {
                observed_at: Timestamp::now(),
                fingerprint: String::new(),
                table: Table::default(),
                problems: Vec::new(),
            };
            let (name, record) = (name(number), Box::new(record));
            self.apply(What::TableDescribed(TableDescribed {
                name,
                record,
                unexpected: Vec::new(),
                probes: ProbeValues::new(),
                unlisted: false,
            }));
        }

        fn finish(&mut self, stopped: Option<StopReason>, foreign: bool) {
            let pace = Default::default();
            self.apply(What::Finished(Finished { stopped, foreign, foreign_arns: false, pace }));
        }

        fn outcome(&self) -> Outcome {
            assert!(self.ledger.counts().add_up(), "{:?}", self.ledger.counts());
            self.ledger.outcome(false, false)
        }
    }

    fn name(number: usize) -> TableName {
        TableName::from(format!("t{number:03}"))
    }

    fn failed(number: usize, reason: FailureReason) -> What {
        What::TableFailed(FailedTable {
            name: name(number),
            reason,
            code: "Code".to_owned(),
            message: "message".to_owned(),
            attempts: 1,
            may_pass: false,
        })
    }

    fn stopped(class: ErrorClass) -> StopReason {
        StopReason::by_error(&AwsError::new(class, "Code", "message"))
    }

    #[test]
    fn only_a_vanished_table_leaves_its_scope_complete() {
        for (reason, outcome) in [
            (FailureReason::Vanished, Outcome::Complete),
            (FailureReason::Denied, Outcome::Partial),
            (FailureReason::Throttled, Outcome::Partial),
            (FailureReason::Failed, Outcome::Partial),
        ] {
            let mut scene = Scene::of(false);
            scene.list(2, true);
            scene.describe(0);
            scene.apply(failed(1, reason));
            assert_eq!(scene.outcome(), outcome);
        }
    }

    #[test]
    fn a_scope_is_not_complete_if_all_tables_vanish_at_once() {
        for (tables, outcome) in [(1, Outcome::Complete), (2, Outcome::Partial)] {
            let mut scene = Scene::of(false);
            scene.list(tables, true);
            (0..tables).for_each(|number| scene.apply(failed(number, FailureReason::Vanished)));
            assert_eq!(scene.outcome(), outcome);
            let problems = scene.ledger.problems();
            assert_eq!(problems.iter().any(|problem| problem.code == "all_vanished"), tables > 1);
        }
    }

    #[test]
    fn an_unproven_identity_is_a_problem() {
        let mut scene = Scene::unproven(false);
        let doubt = Some("STS did not answer".to_owned());
        scene.apply(What::AccountIdentified(Identified { account_id: None, doubt }));
        scene.list(0, true);
        assert_eq!(scene.ledger.outcome(false, true), Outcome::Partial);
        let problems = scene.ledger.problems();
        assert_eq!(problems[0].code, "identity_unproven");
        assert!(problems[0].message.contains("STS did not answer"));
        assert_eq!(scene.ledger.compared(), None);
    }

    #[test]
    fn tables_without_a_result_are_named_as_not_attempted() {
        let mut scene = Scene::of(false);
        scene.list(150, true);
        scene.describe(0);
        assert_eq!((scene.outcome(), scene.ledger.counts().not_attempted), (Outcome::Partial, 149));
        let problems = scene.ledger.problems();
        let problem = problems.last().expect("a problem");
        assert_eq!(
            (problem.code.as_str(), problem.table_count, problem.table_names.len()),
            ("not_attempted", 149, 100)
        );
        assert_eq!(problem.table_names[0], "t001");
    }

    #[test]
    fn without_a_page_the_error_decides_the_outcome() {
        for (class, outcome) in [
            (ErrorClass::Denied, Outcome::Denied),
            (ErrorClass::Throttled, Outcome::Throttled),
            (ErrorClass::Unreachable, Outcome::Unreachable),
            (ErrorClass::BadSignature, Outcome::AuthFailed),
            (ErrorClass::NoCredentials, Outcome::AuthFailed),
            (ErrorClass::NotOptedIn, Outcome::NotOptedIn),
            (ErrorClass::Transient, Outcome::Failed),
        ] {
            let mut empty = Scene::of(false);
            empty.finish(Some(stopped(class)), false);
            assert_eq!(empty.outcome(), outcome);

            let mut begun = Scene::of(false);
            begun.list(1, false);
            begun.describe(0);
            begun.finish(Some(stopped(class)), false);
            assert_eq!((begun.outcome(), begun.ledger.listing()), (Outcome::IncompleteListing, Listing::Incomplete));
        }
    }

    #[test]
    fn an_interrupted_scope_is_cancelled_unless_it_was_done() {
        let mut open = Scene::of(false);
        open.list(1, false);
        assert_eq!(open.ledger.outcome(true, false), Outcome::Cancelled);
        let mut done = Scene::of(false);
        done.list(1, true);
        done.describe(0);
        assert_eq!(done.ledger.outcome(true, false), Outcome::Complete);
    }

    #[test]
    fn a_dry_run_is_complete_when_its_listing_is() {
        let mut scene = Scene::of(true);
        scene.list(3, true);
        assert_eq!((scene.outcome(), scene.ledger.counts().not_attempted), (Outcome::Complete, 3));
        assert_eq!(scene.ledger.problems().len(), 0);
    }

    #[test]
    fn the_counts_are_sums_over_all_steps() {
        let mut scene = Scene::of(false);
        scene.list(2, false);
        scene.describe(0);
        scene.finish(Some(StopReason { may_pass: true, ..stopped(ErrorClass::Transient) }), false);
        assert!(scene.ledger.deserves_a_retry());
        let checkpoint = scene.ledger.retry();
        assert_eq!((checkpoint.step, checkpoint.requests.of(Operation::DescribeTable).sent), (Step::Retry, 4));
        scene.step(Step::Retry);
        scene.list(2, true);
        scene.describe(1);
        scene.finish(None, false);
        scene.step(Step::Confirm);
        scene.apply(failed(7, FailureReason::Vanished));
        scene.finish(None, false);
        let counts = scene.ledger.counts();
        assert_eq!((counts.listed, counts.described, counts.vanished), (2, 2, 0));
        assert_eq!(
            (scene.outcome(), scene.ledger.requests().of(Operation::DescribeTable).sent),
            (Outcome::Complete, 9)
        );
        assert_eq!(scene.ledger.checkpoint().step, Step::Confirm);
        assert!(!scene.ledger.deserves_a_retry());
    }

    #[test]
    fn a_foreign_scope_keeps_nothing_of_its_last_step() {
        let mut scene = Scene::of(false);
        scene.list(3, true);
        scene.finish(Some(StopReason::for_good(Outcome::AuthFailed, stopped(ErrorClass::Denied).problem)), true);
        assert_eq!((scene.outcome(), scene.ledger.counts().listed), (Outcome::AuthFailed, 0));
        assert_eq!(scene.ledger.compared(), None);
    }
}
