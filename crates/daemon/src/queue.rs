//! The jobs that wait for their turn. Runs never overlap, so no scope is ever crawled twice at the
//! same time.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use dynacrawl_engine::settings::Accepted;
use jiff::Timestamp;
use tokio::time::Instant;

/// A run that is to be started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Job {
    /// The schedule that requested it; `None`: a person, or the start of the daemon.
    pub schedule: Option<String>,
    /// The schedules that were due, and when. The state stores these times only when the run has
    /// begun, so that a waiting job is not lost.
    pub due: BTreeMap<String, Timestamp>,
    /// The targets; `None`: all.
    pub targets: Option<Vec<String>>,
    /// What a person has accepted.
    pub accepted: Accepted,
    /// Its failed attempts so far.
    pub retry: Retry,
}

/// How often a run failed to begin or to continue, and when it is tried again. Uses the runtime's
/// clock, because the system's clock may be set back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retry {
    failures: u32,
    at: Option<Instant>,
}

/// How long after its first failure a run is tried again. Each further failure doubles this time.
const FIRST_DELAY: Duration = Duration::from_secs(5);
/// The longest time between two attempts.
pub const LONGEST_DELAY: Duration = Duration::from_secs(60);

/// After more than so many failures a run no longer blocks others.
const PERSISTENT: u32 = 5;

impl Retry {
    /// Counts a failure. Returns the time until the next attempt.
    pub fn after_failure(&mut self) -> Duration {
        let doubled = FIRST_DELAY.saturating_mul(2_u32.saturating_pow(self.failures));
        self.after_failure_in(doubled.min(LONGEST_DELAY))
    }

    /// Counts a failure, and sets the time until the next attempt.
    pub fn after_failure_in(&mut self, delay: Duration) -> Duration {
        self.failures = self.failures.saturating_add(1);
        self.at = Some(Instant::now() + delay);
        delay
    }

    /// Whether it has failed so often that others may go first.
    pub fn is_persistent(&self) -> bool {
        self.failures > PERSISTENT
    }

    /// Whether it has failed before.
    pub fn has_failed(&self) -> bool {
        self.failures > 0
    }

    /// When it is tried again; `None`: at its turn.
    pub fn at(&self) -> Option<Instant> {
        self.at
    }

    /// Whether it can be tried now.
    pub fn is_due(&self) -> bool {
        self.at.is_none_or(|at| at <= Instant::now())
    }
}

/// The jobs that wait.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    jobs: VecDeque<Job>,
    /// Whether each schedule has an output of its own, so that jobs of different schedules cannot
    /// be merged.
    by_schedule: bool,
}

impl Queue {
    /// Sets whether each schedule has an output of its own.
    pub(crate) fn set_by_schedule(&mut self, by_schedule: bool) {
        self.by_schedule = by_schedule;
    }

    /// Appends a job. If a waiting job crawls the same, the two are merged: what became due several
    /// times during another run is done once. If the waiting job has failed before, it is tried
    /// again at once.
    pub(crate) fn push(&mut self, mut job: Job) {
        // The order in which targets are named does not matter.
        if let Some(targets) = &mut job.targets {
            targets.sort_unstable();
            targets.dedup();
        }
        match self.of_targets(&job) {
            Some(waiting) => {
                waiting.accepted.extend(job.accepted);
                waiting.due.extend(job.due);
                waiting.retry = Retry::default();
            }
            None => self.jobs.push_back(job),
        }
    }

    /// Puts a failed job back. If a newer waiting job crawls the same, the two are merged.
    pub(crate) fn put_back(&mut self, job: Job) {
        match self.of_targets(&job) {
            Some(newer) => {
                newer.accepted.extend(job.accepted);
                job.due.into_iter().for_each(|(schedule, at)| {
                    newer.due.entry(schedule).or_insert(at);
                });
            }
            None => self.jobs.push_back(job),
        }
    }

    fn of_targets(&mut self, job: &Job) -> Option<&mut Job> {
        let by_schedule = self.by_schedule;
        let is_same =
            |waiting: &Job| waiting.targets == job.targets && (!by_schedule || waiting.schedule == job.schedule);
        self.jobs.iter_mut().find(|waiting| is_same(waiting))
    }

    /// Takes the next job that can be tried.
    pub(crate) fn pop(&mut self) -> Option<Job> {
        let ready = self.jobs.iter().position(|job| job.retry.is_due())?;
        self.jobs.remove(ready)
    }

    /// When the next job that waits for a retry can be tried.
    pub(crate) fn next_try(&self) -> Option<Instant> {
        self.jobs.iter().filter_map(|job| job.retry.at()).min()
    }

    /// Lets all jobs be tried at once: what they wait for may be available now.
    pub(crate) fn try_now(&mut self) {
        self.jobs.iter_mut().for_each(|job| job.retry = Retry::default());
    }

    /// How many jobs wait.
    pub(crate) fn len(&self) -> usize {
        self.jobs.len()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use dynacrawl_engine::settings::Accepted;
    use tokio::time::{Instant, advance};

    use super::{Job, Queue, Retry};

    fn job(schedule: &str, targets: &[&str], accepted: &str) -> Job {
        let scope = accepted
            .split_once('/')
            .map(|(account, region)| (account.parse().expect("an account"), region.parse().expect("a Region")));
        let targets = (!targets.is_empty()).then(|| targets.iter().map(|name| (*name).to_owned()).collect());
        let due = [(schedule.to_owned(), jiff::Timestamp::UNIX_EPOCH)].into();
        Job {
            schedule: Some(schedule.to_owned()),
            due,
            targets,
            accepted: Accepted { removals: scope.into_iter().collect(), ..Accepted::default() },
            retry: Retry::default(),
        }
    }

    #[test]
    fn runs_of_the_same_targets_are_merged_with_all_they_accept() {
        let mut queue = Queue::default();
        queue.push(job("first", &[], ""));
        queue.push(job("part", &["payments"], ""));
        queue.push(job("second", &[], "123456789012/eu-west-1"));
        queue.push(job("second", &[], "123456789012/us-east-1"));
        queue.push(job("part", &["payments", "payments"], ""));
        assert_eq!(queue.len(), 2);
        let first = queue.pop().expect("a run");
        assert_eq!((first.schedule.as_deref(), first.accepted.removals.len()), (Some("first"), 2));
        assert_eq!(first.due.keys().collect::<Vec<_>>(), ["first", "second"]);
        assert_eq!(queue.pop(), Some(job("part", &["payments"], "")));
        assert_eq!(queue.pop(), None);
    }

    #[test]
    fn schedules_with_outputs_of_their_own_are_not_merged() {
        let mut queue = Queue::default();
        queue.set_by_schedule(true);
        for schedule in ["first", "second", "first"] {
            queue.push(job(schedule, &[], ""));
        }
        let mut failed = queue.pop().expect("a run");
        failed.retry.after_failure();
        queue.put_back(failed);
        assert_eq!(queue.pop(), Some(job("second", &[], "")));
        assert_eq!((queue.pop(), queue.len()), (None, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_run_is_retried_with_back_off_while_others_pass() {
        let mut queue = Queue::default();
        queue.push(job("first", &[], ""));
        let mut delays = Vec::new();
        for _ in 0..6 {
            let mut failed = queue.pop().expect("a run");
            delays.push(failed.retry.after_failure().as_secs());
            queue.put_back(failed);
            assert_eq!(queue.pop(), None, "not before its time");
            queue.push(job("part", &["payments"], ""));
            assert_eq!(queue.pop().and_then(|job| job.schedule).as_deref(), Some("part"));
            let next = queue.next_try().expect("a time");
            advance(next - Instant::now()).await;
        }
        assert_eq!(delays, [5, 10, 20, 40, 60, 60]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_newer_run_takes_over_the_due_times_of_an_older_one() {
        let mut queue = Queue::default();
        let mut older = job("nightly", &[], "123456789012/eu-west-1");
        older.retry.after_failure();
        older.due.insert("weekly".to_owned(), jiff::Timestamp::UNIX_EPOCH);
        queue.put_back(older.clone());
        let later = jiff::Timestamp::UNIX_EPOCH + Duration::from_secs(60);
        let mut newer = job("nightly", &[], "");
        newer.due.insert("nightly".to_owned(), later);
        for newer_first in [false, true] {
            if newer_first {
                queue.push(newer.clone());
                queue.put_back(older.clone());
            } else {
                queue.push(newer.clone());
            }
            let run = queue.pop().expect("it is tried at once");
            assert_eq!(
                (run.due["nightly"], run.due.len(), run.accepted.removals.len()),
                (later, 2, 1),
                "{newer_first}"
            );
            assert!(!run.retry.has_failed() && queue.pop().is_none());
        }
    }
}
