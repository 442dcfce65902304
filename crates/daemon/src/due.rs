//! When each schedule is next due.

use std::time::Duration;

use jiff::Timestamp;

use super::queue::Job;
use super::settings::NamedSchedule;

/// A schedule, and when it is next due.
#[derive(Clone, Debug)]
pub(crate) struct Due {
    schedule: NamedSchedule,
    /// The time that the expression names.
    named: Option<Timestamp>,
    /// The same time with jitter.
    pub(crate) at: Option<Timestamp>,
    /// When this was computed.
    found_at: Timestamp,
}

/// How far the clock may be set back before the next due time is computed again.
const TURN_BACK: Duration = Duration::from_secs(60);

impl Due {
    /// A schedule that is due at its first time after `now`.
    pub(crate) fn after(schedule: NamedSchedule, now: Timestamp) -> Self {
        let named = schedule.schedule.next(now);
        let delay = schedule.schedule.delay();
        Self { at: named.map(|named| later(named, delay)), named, schedule, found_at: now }
    }

    /// A schedule that is due now if it missed a time since `last`, and otherwise at its first time
    /// after `now`.
    pub(crate) fn since(schedule: NamedSchedule, last: Timestamp, now: Timestamp) -> Self {
        match schedule.schedule.missed(last, now) {
            Some(missed) => Self { named: Some(missed), at: Some(now), schedule, found_at: now },
            None => Self::after(schedule, now),
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.schedule.name
    }

    /// Takes the run that is due, and moves on to the next time after `now`. If the clock has
    /// jumped over several times, they are one run, which is due at the last of them.
    pub(crate) fn take(&mut self, now: Timestamp) -> Option<Job> {
        let named = self.named.filter(|_| self.at.is_some_and(|at| at <= now))?;
        let last = self.schedule.schedule.missed(named, now).unwrap_or(named);
        *self = Self::after(self.schedule.clone(), now);
        let NamedSchedule { name, targets, .. } = &self.schedule;
        let due = [(name.clone(), last)].into();
        Some(Job { schedule: Some(name.clone()), due, targets: targets.clone(), ..Job::default() })
    }

    /// Computes the next due time again if the clock was set back: a machine may start with a wrong
    /// year.
    pub(crate) fn correct(&mut self, now: Timestamp) {
        if later(now, TURN_BACK) < self.found_at {
            *self = Self::after(self.schedule.clone(), now);
        }
    }

    /// Applies a changed configuration: a due time stays if the expression is the same.
    pub(crate) fn reloaded(before: &[Self], schedule: NamedSchedule, now: Timestamp) -> Self {
        // The next time is not computed again: a run that is already due and waits for its jitter
        // would be lost.
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
    fn a_schedule_is_due_at_the_time_of_its_expression() {
        let mut due = Due::after(schedule("0 3 * * *", 0), at("2026-01-01T12:00:00Z"));
        assert!(due.take(at("2026-01-02T02:59:59Z")).is_none());
        let job = due.take(at("2026-01-02T03:00:00Z")).expect("due");
        assert_eq!((job.schedule.as_deref(), job.due["nightly"]), (Some("nightly"), at("2026-01-02T03:00:00Z")));
        assert_eq!(due.at, Some(at("2026-01-03T03:00:00Z")));
    }

    #[test]
    fn times_missed_during_a_sleep_are_due_once() {
        let mut due = Due::after(schedule("0 * * * *", 0), at("2026-01-01T12:00:00Z"));
        let job = due.take(at("2026-01-08T07:30:00Z")).expect("due");
        assert_eq!(job.due["nightly"], at("2026-01-08T07:00:00Z"));
        assert!(due.take(at("2026-01-08T07:30:01Z")).is_none());
        assert_eq!(due.at, Some(at("2026-01-08T08:00:00Z")));
    }

    #[test]
    fn times_missed_while_the_daemon_was_down_are_due_once() {
        let now = at("2026-01-08T07:30:00Z");
        let mut due = Due::since(schedule("0 * * * *", 600), at("2026-01-01T12:00:00Z"), now);
        let job = due.take(now).expect("due");
        assert_eq!(job.due["nightly"], at("2026-01-08T07:00:00Z"));
        assert!(due.take(now).is_none());
        let mut due = Due::since(schedule("0 * * * *", 0), at("2026-01-08T07:00:00Z"), now);
        assert!(due.take(now).is_none(), "nothing was missed");
    }

    #[test]
    fn jitter_delays_the_run_but_not_the_stored_due_time() {
        for _ in 0..100 {
            let mut due = Due::after(schedule("0 3 * * *", 600), at("2026-01-01T12:00:00Z"));
            let moved = due.at.expect("a time");
            assert!(moved >= at("2026-01-02T03:00:00Z") && moved <= at("2026-01-02T03:10:00Z"));
            let job = due.take(moved).expect("due");
            assert_eq!(job.due["nightly"], at("2026-01-02T03:00:00Z"));
        }
    }

    #[test]
    fn a_corrected_clock_corrects_the_next_due_time() {
        let mut due = Due::after(schedule("0 3 * * *", 0), at("2027-06-01T12:00:00Z"));
        due.correct(at("2027-06-01T11:59:30Z"));
        assert_eq!(due.at, Some(at("2027-06-02T03:00:00Z")), "a small correction changes nothing");
        due.correct(at("2026-01-01T12:00:00Z"));
        assert_eq!(due.at, Some(at("2026-01-02T03:00:00Z")));
    }

    #[test]
    fn a_reload_keeps_the_jitter_of_an_unchanged_schedule() {
        let now = at("2026-01-01T12:00:00Z");
        let before = [Due::after(schedule("0 3 * * *", 36_000), now)];
        assert_eq!(Due::reloaded(&before, schedule("0 3 * * *", 36_000), now).at, before[0].at);
        let waiting = at("2026-01-02T03:00:01Z");
        assert_eq!(Due::reloaded(&before, schedule("0 3 * * *", 36_000), waiting).at, before[0].at, "due, but delayed");
        assert_eq!(Due::reloaded(&before, schedule("0 4 * * *", 0), now).at, Some(at("2026-01-02T04:00:00Z")));
    }
}
