//! The runs that wait for their turn. Runs never overlap, so no scope is ever crawled twice at once.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use dynacrawl_model::{AccountId, Region};
use jiff::Timestamp;

/// A run that is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Job {
    /// The schedule that wants it; `None`: a person, or the start of the daemon.
    pub(crate) schedule: Option<String>,
    /// The schedules that were due, and when: remembered once the run has begun, so that none is lost that waits.
    pub(crate) due: BTreeMap<String, Timestamp>,
    /// The targets; `None`: all.
    pub(crate) targets: Option<Vec<String>>,
    /// The scopes whose removals a person has accepted.
    pub(crate) accepted: BTreeSet<(AccountId, Region)>,
}

/// The runs that wait.
#[derive(Debug, Default)]
pub(crate) struct Queue(VecDeque<Job>);

impl Queue {
    /// Puts a run at the end. One that waits already and crawls the same does for both: what was missed while another run was
    /// under way is done once.
    pub(crate) fn push(&mut self, mut job: Job) {
        // The same targets are the same, in whichever order they are named.
        if let Some(targets) = &mut job.targets {
            targets.sort_unstable();
            targets.dedup();
        }
        match self.0.iter_mut().find(|waiting| waiting.targets == job.targets) {
            Some(waiting) => {
                waiting.accepted.extend(job.accepted);
                waiting.due.extend(job.due);
            }
            None => self.0.push_back(job),
        }
    }

    /// The next one.
    pub(crate) fn pop(&mut self) -> Option<Job> {
        self.0.pop_front()
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::{Job, Queue};

    fn job(schedule: &str, targets: &[&str], accepted: &str) -> Job {
        let scope = accepted
            .split_once('/')
            .map(|(account, region)| (account.parse().expect("an account"), region.parse().expect("a Region")));
        let targets = (!targets.is_empty()).then(|| targets.iter().map(|name| (*name).to_owned()).collect());
        let due = [(schedule.to_owned(), jiff::Timestamp::UNIX_EPOCH)].into();
        Job { schedule: Some(schedule.to_owned()), due, targets, accepted: scope.into_iter().collect() }
    }

    #[test]
    fn what_is_wanted_several_times_is_done_once_and_nothing_that_was_accepted_is_lost() {
        let mut queue = Queue::default();
        queue.push(job("first", &[], ""));
        queue.push(job("part", &["payments"], ""));
        queue.push(job("second", &[], "123456789012/eu-west-1"));
        queue.push(job("second", &[], "123456789012/us-east-1"));
        queue.push(job("part", &["payments", "payments"], ""));
        assert_eq!(queue.len(), 2);
        let first = queue.pop().expect("a run");
        assert_eq!((first.schedule.as_deref(), first.accepted.len()), (Some("first"), 2));
        assert_eq!(first.due.keys().collect::<Vec<_>>(), ["first", "second"]);
        assert_eq!(queue.pop(), Some(job("part", &["payments"], "")));
        assert_eq!(queue.pop(), None);
    }
}
