//! When each schedule is due next.

use std::time::Duration;

use jiff::Timestamp;

use super::queue::Job;
use super::settings::NamedSchedule;

/// A schedule, and when it is due next.
#[derive(Clone, Debug)]
pub(crate) struct Due {
    schedule: NamedSchedule,
    /// The time that the expression names.
    named: Option<Timestamp>,
    /// The same with jitter.
    pub(crate) at: Option<Timestamp>,
    /// When this was found out.
    found_at: Timestamp,
}

/// By how much the clock may be set back before what is due is found out anew.
const TURN_BACK: Duration = Duration::from_secs(60);

impl Due {
    /// Due the first time after `now`.
    pub(crate) fn after(schedule: NamedSchedule, now: Timestamp) -> Self {
        let named = schedule.schedule.next(now);
        let delay = schedule.schedule.delay();
        Self { at: named.map(|named| later(named, delay)), named, schedule, found_at: now }
    }

    /// Due now for what was missed since `last`, if anything was.
    pub(crate) fn since(schedule: NamedSchedule, last: Timestamp, now: Timestamp) -> Self {
        match schedule.schedule.missed(last, now) {
            Some(missed) => Self { named: Some(missed), at: Some(now), schedule, found_at: now },
            None => Self::after(schedule, now),
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.schedule.name
    }

    /// Takes the run that is due, and goes on to the next time after `now`: the clock may have jumped over several, which are
    /// one run, due at the last of them.
    pub(crate) fn take(&mut self, now: Timestamp) -> Option<Job> {
        let named = self.named.filter(|_| self.at.is_some_and(|at| at <= now))?;
        let last = self.schedule.schedule.missed(named, now).unwrap_or(named);
        *self = Self::after(self.schedule.clone(), now);
        let NamedSchedule { name, targets, .. } = &self.schedule;
        let due = [(name.clone(), last)].into();
        Some(Job { schedule: Some(name.clone()), due, targets: targets.clone(), ..Job::default() })
    }

    /// Where the clock was set back, it is due by the new time: a machine may begin in a wrong year.
    pub(crate) fn correct(&mut self, now: Timestamp) {
        if later(now, TURN_BACK) < self.found_at {
            *self = Self::after(self.schedule.clone(), now);
        }
    }

    /// Takes over a changed configuration: what is due stays due where the expression is the same.
    pub(crate) fn reloaded(before: &[Self], schedule: NamedSchedule, now: Timestamp) -> Self {
        // Not by the next time: what is due already and waits for its jitter would be lost.
        let same = |due: &&Self| due.name() == schedule.name && due.schedule.typed == schedule.typed;
        match before.iter().find(same) {
            Some(due) => Self { schedule, ..due.clone() },
            None => Self::after(schedule, now),
        }
    }
}

fn later(at: Timestamp, delay: Duration) -> Timestamp {
    at.checked_add(delay).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::Timestamp;

    use super::Due;
    use crate::schedule::Schedule;
    use crate::settings::NamedSchedule;

    fn schedule(cron: &str, jitter: u64) -> NamedSchedule {
        let schedule = Schedule::new(cron, "UTC", Duration::from_secs(jitter)).expect("a schedule");
        let typed = (cron.to_owned(), "UTC".to_owned());
        NamedSchedule { name: "nightly".to_owned(), schedule, typed, targets: None }
    }

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    #[test]
    fn it_is_due_when_the_expression_says_and_not_before() {
        let mut due = Due::after(schedule("0 3 * * *", 0), at("2026-01-01T12:00:00Z"));
        assert!(due.take(at("2026-01-02T02:59:59Z")).is_none());
        let job = due.take(at("2026-01-02T03:00:00Z")).expect("due");
        assert_eq!((job.schedule.as_deref(), job.due["nightly"]), (Some("nightly"), at("2026-01-02T03:00:00Z")));
        assert_eq!(due.at, Some(at("2026-01-03T03:00:00Z")));
    }

    #[test]
    fn what_a_sleep_has_missed_is_due_once() {
        let mut due = Due::after(schedule("0 * * * *", 0), at("2026-01-01T12:00:00Z"));
        let job = due.take(at("2026-01-08T07:30:00Z")).expect("due");
        assert_eq!(job.due["nightly"], at("2026-01-08T07:00:00Z"));
        assert!(due.take(at("2026-01-08T07:30:01Z")).is_none());
        assert_eq!(due.at, Some(at("2026-01-08T08:00:00Z")));
    }

    #[test]
    fn what_was_missed_while_the_daemon_was_not_there_is_due_at_once_and_once() {
        let now = at("2026-01-08T07:30:00Z");
        let mut due = Due::since(schedule("0 * * * *", 600), at("2026-01-01T12:00:00Z"), now);
        let job = due.take(now).expect("due");
        assert_eq!(job.due["nightly"], at("2026-01-08T07:00:00Z"));
        assert!(due.take(now).is_none());
        let mut due = Due::since(schedule("0 * * * *", 0), at("2026-01-08T07:00:00Z"), now);
        assert!(due.take(now).is_none(), "nothing was missed");
    }

    #[test]
    fn jitter_moves_it_and_not_the_time_that_is_remembered() {
        for _ in 0..100 {
            let mut due = Due::after(schedule("0 3 * * *", 600), at("2026-01-01T12:00:00Z"));
            let moved = due.at.expect("a time");
            assert!(moved >= at("2026-01-02T03:00:00Z") && moved <= at("2026-01-02T03:10:00Z"));
            let job = due.take(moved).expect("due");
            assert_eq!(job.due["nightly"], at("2026-01-02T03:00:00Z"));
        }
    }

    #[test]
    fn where_the_clock_was_wrong_it_is_due_by_the_right_one() {
        let mut due = Due::after(schedule("0 3 * * *", 0), at("2027-06-01T12:00:00Z"));
        due.correct(at("2027-06-01T11:59:30Z"));
        assert_eq!(due.at, Some(at("2027-06-02T03:00:00Z")), "a little is nothing");
        due.correct(at("2026-01-01T12:00:00Z"));
        assert_eq!(due.at, Some(at("2026-01-02T03:00:00Z")));
    }

    #[test]
    fn a_reload_keeps_the_jitter_of_what_stays_the_same() {
        let now = at("2026-01-01T12:00:00Z");
        let before = [Due::after(schedule("0 3 * * *", 36_000), now)];
        assert_eq!(Due::reloaded(&before, schedule("0 3 * * *", 36_000), now).at, before[0].at);
        let waiting = at("2026-01-02T03:00:01Z");
        assert_eq!(Due::reloaded(&before, schedule("0 3 * * *", 36_000), waiting).at, before[0].at, "due, and not yet");
        assert_eq!(Due::reloaded(&before, schedule("0 4 * * *", 0), now).at, Some(at("2026-01-02T04:00:00Z")));
    }
}
