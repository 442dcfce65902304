//! When a schedule fires. Pure: no clock and no I/O; the caller passes the current time.

use std::fmt;
use std::time::Duration;

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use dynacrawl_model::Escaped;
use jiff::Timestamp;
use jiff::civil::{DateTime, date};
use jiff::tz::{AmbiguousOffset, TimeZone};

/// The fields of an expression, each with the words that it may contain.
const FIELDS: [(&str, &str); 5] = [
    ("minute", ""),
    ("hour", ""),
    ("day of month", "LW"),
    ("month", "JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC"),
    ("day of week", "SUN MON TUE WED THU FRI SAT"),
];

/// A schedule that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScheduleError {
    /// The expression is invalid, and the reason.
    #[error(
        "'{}' is not a cron expression ({}); expected five fields: minute, hour, day of month, month, day of week",
        Escaped(.0), Escaped(.1)
    )]
    Cron(String, String),
    /// The expression names only days that the calendar does not have.
    #[error("'{}' never fires; expected a day that the calendar has", Escaped(.0))]
    Never(String),
    /// The time zone is unknown.
    #[error("'{}' is not a time zone; expected a name such as Europe/Berlin or UTC", Escaped(.0))]
    TimeZone(String),
}

/// A cron expression in a time zone, with jitter.
///
/// If both a day of month and a day of week are given, either is enough, as in any cron. `+MON`
/// instead of `MON` requires both.
///
/// If the hour is `*`, `*/n` or all 24, the expression follows the clock: it fires whenever the
/// clock shows a time that it names. So it fires in both passes of an hour that comes twice, and
/// not in one that is skipped. Otherwise its times are fixed: a time that comes twice fires the
/// first time, and skipped times fire once, right after the gap.
#[derive(Clone)]
pub struct Schedule {
    cron: Cron,
    zone: TimeZone,
    jitter: Duration,
    follows_clock: bool,
}

impl Schedule {
    /// Parses a cron expression of five fields, or `@hourly`, `@daily`, `@weekly`, `@monthly` or
    /// `@yearly`.
    ///
    /// # Errors
    /// If the expression is invalid or never fires, or the time zone is unknown.
    pub fn new(cron: &str, time_zone: &str, jitter: Duration) -> Result<Self, ScheduleError> {
        let parsed = parse(cron).map_err(|problem| ScheduleError::Cron(cron.to_owned(), problem))?;
        // Any first year is good enough: the calendar repeats every 400 years, and croner searches
        // up to the year 5000.
        if parsed.find_next_occurrence(&date(2000, 1, 1).at(0, 0, 0, 0), true).is_err() {
            return Err(ScheduleError::Never(cron.to_owned()));
        }
        let zone = TimeZone::get(time_zone).map_err(|_| ScheduleError::TimeZone(time_zone.to_owned()))?;
        let hours = &parsed.pattern.hours;
        let follows_clock = hours.from_wildcard || hours.values().len() == 24;
        Ok(Self { cron: parsed, zone, jitter, follows_clock })
    }

    /// The first time after `after` that the expression names, without jitter. `None` at the end of
    /// the calendar.
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        if self.follows_clock {
            let found = self.cron.find_next_occurrence(&after.to_zoned(self.zone.clone()), false);
            return Some(found.ok()?.timestamp());
        }
        // In the second pass of an hour, the clock shows times that have fired in the first pass.
        let mut civil = self.zone.to_datetime(after);
        loop {
            civil = self.cron.find_next_occurrence(&civil, false).ok()?;
            let at = self.fixed(civil)?;
            if at > after {
                return Some(at);
            }
        }
    }

    /// The last time after `since`, but not after `now`, that the expression names: several missed
    /// times count once.
    pub fn missed(&self, since: Timestamp, now: Timestamp) -> Option<Timestamp> {
        if self.follows_clock {
            let found = self.cron.find_previous_occurrence(&now.to_zoned(self.zone.clone()), true);
            return found.ok().map(|found| found.timestamp()).filter(|&at| at > since);
        }
        let mut civil = self.zone.to_datetime(now);
        // In the second pass of an hour, times that the clock shows only later have fired in the
        // first pass.
        if let AmbiguousOffset::Fold { before, .. } = self.zone.to_ambiguous_timestamp(civil).offset() {
            civil = before.to_datetime(now);
        }
        let mut inclusive = true;
        loop {
            civil = self.cron.find_previous_occurrence(&civil, inclusive).ok()?;
            let at = self.fixed(civil)?;
            if at <= now {
                return Some(at).filter(|&at| at > since);
            }
            inclusive = false;
        }
    }

    /// A random delay of up to the jitter.
    pub fn delay(&self) -> Duration {
        let jitter = u64::try_from(self.jitter.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(fastrand::u64(..=jitter))
    }

    /// When a fixed time fires. croner has these rules, too, but only for a single minute of a
    /// single hour, and for gaps of at most two hours that end on a day that the expression names:
    /// `30 2,14 * * *` would not fire for a skipped 02:30, and fire twice for a repeated one.
    /// Therefore croner only searches the calendar, and this function applies the rules.
    fn fixed(&self, civil: DateTime) -> Option<Timestamp> {
        match self.zone.to_ambiguous_timestamp(civil).offset() {
            AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(civil).ok(),
            AmbiguousOffset::Fold { before, .. } => before.to_timestamp(civil).ok(),
            AmbiguousOffset::Gap { after, .. } => {
                let mut changes = self.zone.following(after.to_timestamp(civil).ok()?);
                changes.find(|change| change.offset() == after).map(|change| change.timestamp())
            }
        }
    }
}

/// Leaves out the thousands of years that croner lists for each expression.
impl fmt::Debug for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Schedule({}, {:?}, {:?})", self.cron, self.zone, self.jitter)
    }
}

/// Parses an expression, or returns what is wrong with it.
fn parse(cron: &str) -> Result<Cron, String> {
    let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
    if cron.trim_start().starts_with('@') {
        let known = "unknown nickname; known are @hourly, @daily, @weekly, @monthly and @yearly";
        return parser.parse(cron).map_err(|_| known.to_owned());
    }
    let fields: Vec<_> = cron.split_whitespace().collect();
    if fields.len() != FIELDS.len() {
        return Err(format!("number of fields: {}", fields.len()));
    }
    // One field at a time, because croner's error does not name the field.
    for (place, (&field, (name, words))) in fields.iter().zip(FIELDS).enumerate() {
        let mut alone = ["*"; FIELDS.len()];
        alone[place] = field;
        let refused = || {
            let text = parser.parse(&alone.join(" ")).err()?.to_string().to_lowercase();
            let reason = text.split_once(": ").map_or(&*text, |(_, reason)| reason);
            Some(reason.trim_start_matches("cronpattern contains ").trim_end_matches('.').to_owned())
        };
        if let Some(problem) = overlooked(field, words).or_else(refused) {
            return Err(format!("{name} '{field}': {problem}"));
        }
    }
    parser.parse(cron).map_err(|error| error.to_string())
}

/// What croner overlooks: it replaces names in any field, so that `0 3 * MON *` would mean January,
/// and ignores empty items.
fn overlooked(field: &str, words: &str) -> Option<String> {
    if field.trim_start_matches('+').split(',').any(str::is_empty) {
        return Some("empty item".to_owned());
    }
    let field = field.to_uppercase();
    // An L may follow any weekday, and means its last one in the month.
    let mut found = field.split(|c: char| !c.is_alphabetic()).map(|word| word.trim_end_matches('L'));
    found.find(|word| !words.contains(word)).map(|word| format!("{word} does not belong here"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use jiff::{Timestamp, ToSpan};

    use super::Schedule;

    const BERLIN: &str = "Europe/Berlin";
    const NEW_YORK: &str = "America/New_York";
    const LORD_HOWE: &str = "Australia/Lord_Howe";

    fn schedule(cron: &str, zone: &str) -> Schedule {
        Schedule::new(cron, zone, Duration::ZERO).expect(cron)
    }

    fn refused(cron: &str, zone: &str) -> String {
        Schedule::new(cron, zone, Duration::ZERO).expect_err(cron).to_string()
    }

    fn at(text: &str) -> Timestamp {
        text.parse().expect(text)
    }

    /// The times at which an expression fires on some days of UTC, as the clock in the zone shows
    /// them, with its offset.
    fn fires(cron: &str, zone: &str, first_day: &str, days: i64) -> Vec<String> {
        let (schedule, from) = (schedule(cron, zone), at(&format!("{first_day}T00Z")));
        std::iter::successors(schedule.next(from - 1.second()), |&last| schedule.next(last))
            .take_while(|&time| time < from + (24 * days).hours())
            .map(|time| time.to_zoned(schedule.zone.clone()).strftime("%d %H:%M %:z").to_string())
            .collect()
    }

    #[test]
    fn a_skipped_time_fires_once_right_after_the_gap() {
        let berlin = |cron| fires(cron, BERLIN, "2026-03-29", 1);
        assert_eq!(berlin("30 2 * * *"), ["29 03:00 +02:00"]);
        assert_eq!(berlin("*/15 2 * * *"), ["29 03:00 +02:00"]);
        assert_eq!(berlin("0 2,3 * * *"), ["29 03:00 +02:00"]);
        assert_eq!(berlin("30 2,14 * * *"), ["29 03:00 +02:00", "29 14:30 +02:00"]);
        assert_eq!(berlin("30 1 * * *"), ["29 01:30 +01:00", "30 01:30 +02:00"]);
        assert_eq!(fires("30 2 * * *", NEW_YORK, "2026-03-08", 1), ["08 03:00 -04:00"]);
        assert_eq!(fires("15 2 * * *", LORD_HOWE, "2026-10-03", 1), ["04 02:30 +11:00"]);
        // Also if the gap ends on a day that the expression does not name.
        assert_eq!(fires("30 23 * * 6", "America/Nuuk", "2026-03-29", 1), ["29 00:00 -01:00"]);
        assert_eq!(fires("0 12 30 12 *", "Pacific/Apia", "2011-12-01", 60), ["31 00:00 +14:00"]);
    }

    #[test]
    fn a_repeated_time_fires_the_first_time_only() {
        let berlin = |cron| fires(cron, BERLIN, "2026-10-25", 1);
        assert_eq!(berlin("30 2 * * *"), ["25 02:30 +02:00"]);
        assert_eq!(berlin("30 2,14 * * *"), ["25 02:30 +02:00", "25 14:30 +01:00"]);
        assert_eq!(berlin("*/30 2 * * *"), ["25 02:00 +02:00", "25 02:30 +02:00"]);
        assert_eq!(fires("30 1 * * *", NEW_YORK, "2026-11-01", 1), ["01 01:30 -04:00"]);
        assert_eq!(fires("45 1 * * *", LORD_HOWE, "2026-04-04", 1), ["05 01:45 +11:00"]);
    }

    #[test]
    fn an_hourly_expression_keeps_firing_through_clock_changes() {
        // Every half hour of a UTC day, whatever the clock shows.
        for (zone, days) in [
            (BERLIN, ["2026-03-29", "2026-10-25"]),
            (NEW_YORK, ["2026-03-08", "2026-11-01"]),
            (LORD_HOWE, ["2026-10-03", "2026-04-04"]),
        ] {
            assert_eq!(days.map(|day| fires("*/30 * * * *", zone, day, 1).len()), [48, 48], "{zone}");
        }
        for cron in ["15 * * * *", "15 0-23 * * *"] {
            let back = fires(cron, BERLIN, "2026-10-25", 1);
            assert_eq!(back[..3], ["25 02:15 +02:00", "25 02:15 +01:00", "25 03:15 +01:00"]);
            assert_eq!(fires(cron, BERLIN, "2026-03-29", 1)[..2], ["29 01:15 +01:00", "29 03:15 +02:00"]);
        }
        assert_eq!(fires("15 */2 * * *", BERLIN, "2026-10-25", 1)[..2], ["25 02:15 +02:00", "25 02:15 +01:00"]);
    }

    #[test]
    fn one_is_monday_and_day_of_month_or_day_of_week_is_enough() {
        let june = |cron| {
            let times = fires(cron, "UTC", "2026-06-01", 30);
            times.iter().map(|time| time[..2].parse().expect("day")).collect::<Vec<u8>>()
        };
        assert_eq!(june("0 3 * * 1"), [1, 8, 15, 22, 29]);
        assert_eq!(june("0 3 * * sun"), june("0 3 ? * 7"));
        assert_eq!(june("0 3 13 JUN 5"), [5, 12, 13, 19, 26]);
        assert_eq!(june("0 3 13 * +SAT"), [13]);
        assert_eq!(june("0 3 L * FRIL"), [26, 30]);
        assert_eq!([june("@monthly"), june("@weekly")], [vec![1], vec![7, 14, 21, 28]]);
        assert_eq!([june("@daily").len(), june("@hourly").len()], [30, 30 * 24]);
    }

    #[test]
    fn missed_times_count_once() {
        let now = at("2026-06-10T12:34:56Z");
        let missed = |cron, since| schedule(cron, BERLIN).missed(at(since), now);
        assert_eq!(missed("0 3 * * *", "2025-06-10T12:00:00Z"), Some(at("2026-06-10T01:00:00Z")));
        assert_eq!(missed("* * * * *", "1970-01-01T00:00:00Z"), Some(at("2026-06-10T12:34:00Z")));
        assert_eq!(missed("* 0-22 * * *", "1970-01-01T00:00:00Z"), Some(at("2026-06-10T12:34:00Z")));
    }

    #[test]
    fn nothing_was_missed_since_the_last_time() {
        // After the first 02:30, the clock goes back and shows 02:30 once more.
        let (schedule, fired) = (schedule("30 2 * * *", BERLIN), at("2026-10-25T00:30:00Z"));
        for minutes in [0, 29, 30, 59, 60, 61, 600, 1499] {
            assert_eq!(schedule.missed(fired, fired + minutes.minutes()), None);
            assert_eq!(schedule.missed(fired - 1.second(), fired + minutes.minutes()), Some(fired));
            assert_eq!(schedule.next(fired + minutes.minutes()), Some(fired + 1500.minutes()));
        }
        assert_eq!(schedule.missed(fired + 1.hour(), fired), None);
    }

    #[test]
    fn times_increase_and_each_is_the_last_until_the_next() {
        let mut random = fastrand::Rng::with_seed(42);
        for zone in [BERLIN, NEW_YORK, LORD_HOWE, "UTC"] {
            for cron in ["30 2 * * *", "*/50 * * * *", "0,45 1-3 * * 0", "15 */2 1,15 * 1", "@monthly"] {
                let schedule = schedule(cron, zone);
                let mut time = at("2026-01-01T00:00:00Z") + Duration::from_millis(random.u64(..30_000_000_000));
                let end = time + (366 * 24).hours();
                while time < end {
                    let next = schedule.next(time).expect("next");
                    assert!(next > time, "{cron} {zone} {time}");
                    let between = time + next.duration_since(time).mul_f64(random.f64());
                    assert_eq!(schedule.next(between), Some(next), "{cron} {zone} {between}");
                    assert_eq!(schedule.missed(between, next), Some(next), "{cron} {zone} {between}");
                    assert_eq!(schedule.missed(time, between), None, "{cron} {zone} {between}");
                    time = next;
                }
            }
        }
    }

    #[test]
    fn nothing_fires_after_the_end_of_the_calendar() {
        assert_eq!(schedule("0 3 * * *", BERLIN).next(Timestamp::MAX), None);
    }

    #[test]
    fn a_delay_is_at_most_the_jitter() {
        let schedule = Schedule::new("@daily", "UTC", Duration::from_nanos(2)).expect("schedule");
        let delays: BTreeSet<_> = (0..1000).map(|_| schedule.delay().as_nanos()).collect();
        assert_eq!(delays, [0, 1, 2].into());
    }

    #[test]
    fn an_invalid_expression_is_refused_with_its_field() {
        for (cron, problem) in [
            ("61 * * * *", "minute '61': number out of bounds"),
            ("* \u{1b} * * *", "hour '\u{1b}': illegal character '\u{1b}' in part '\u{1b}'"),
            ("* * * * 5-1", "day of week '5-1': range out of bounds"),
            ("1,,2 * * * *", "minute '1,,2': empty item"),
            ("0 3 * MON *", "month 'MON': MON does not belong here"),
            ("", "number of fields: 0"),
            ("0 0 3 * * *", "number of fields: 6"),
            ("@reboot", "unknown nickname; known are @hourly, @daily, @weekly, @monthly and @yearly"),
        ] {
            let expected = "expected five fields: minute, hour, day of month, month, day of week";
            let error = format!("'{cron}' is not a cron expression ({problem}); {expected}");
            assert_eq!(refused(cron, "UTC"), error.replace('\u{1b}', "\\u{1b}"));
        }
    }

    #[test]
    fn impossible_dates_and_unknown_time_zones_are_refused() {
        assert_eq!(refused("0 3 30 2 *", "UTC"), "'0 3 30 2 *' never fires; expected a day that the calendar has");
        for (zone, shown) in [("Mars/Base", "Mars/Base"), ("", ""), ("a\nb", "a\\u{a}b")] {
            let expected = "is not a time zone; expected a name such as Europe/Berlin or UTC";
            assert_eq!(refused("@daily", zone), format!("'{shown}' {expected}"));
        }
    }
}
