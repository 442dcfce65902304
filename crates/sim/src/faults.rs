//! Faults that a test sets while the simulator runs.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::derived::hash;
use crate::effect::Effect;
use crate::locks::lock;
use crate::operation::Operation;
use crate::pattern::pattern_matches;

/// Which of the matching requests a fault hits.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum When {
    /// All.
    Always,
    /// The first n.
    First(u64),
    /// All except the first n.
    After(u64),
    /// Only the n-th, counted from 1.
    Nth(u64),
    /// Each n-th: n, 2n, 3n …
    Every(u64),
    /// All within this time after the first matching request, on tokio's clock.
    For(Duration),
    /// All between these times after the fault was set, on tokio's clock.
    Between(Duration, Duration),
    /// Each with this probability. The draw depends on the seed, on what is requested, and on how
    /// often that was requested before. So the order of different requests does not matter.
    Probability {
        /// Between 0 and 1.
        p: f64,
        /// The seed.
        seed: u64,
    },
}

/// Which requests fail, how and when. Rules match only authenticated requests. Of several rules,
/// the first that fires decides, and later rules do not see the request.
#[derive(Clone, Debug, PartialEq)]
pub struct FaultRule {
    /// The account whose credentials sign the request.
    pub account: Option<String>,
    /// The Region of the request.
    pub region: Option<String>,
    /// The operation.
    pub operation: Option<Operation>,
    /// The table's name, or a prefix and a final `*`.
    pub table: Option<String>,
    /// The ARN of the role in AssumeRole, or a prefix and a final `*`.
    pub role: Option<String>,
    /// The `Retry-After` header of error answers.
    pub retry_after: Option<String>,
    /// What happens.
    pub effect: Effect,
    /// Which of the matching requests it hits.
    pub when: When,
}

impl FaultRule {
    /// A rule that hits every request.
    #[must_use]
    pub fn new(effect: Effect) -> Self {
        Self {
            account: None,
            region: None,
            operation: None,
            table: None,
            role: None,
            retry_after: None,
            effect,
            when: When::Always,
        }
    }

    /// Only requests of this account.
    #[must_use]
    pub fn account(mut self, account: impl Into<String>) -> Self {
        self.account = Some(account.into());
        self
    }

    /// Only requests in this Region.
    #[must_use]
    pub fn region(mut self, region: impl Into<String>) -> Self {
        self.region = Some(region.into());
        self
    }

    /// Only this operation.
    #[must_use]
    pub fn operation(mut self, operation: Operation) -> Self {
        self.operation = Some(operation);
        self
    }

    /// Only requests for tables of this name, or with the prefix before a final `*`.
    #[must_use]
    pub fn table(mut self, pattern: impl Into<String>) -> Self {
        self.table = Some(pattern.into());
        self
    }

    /// Only AssumeRole for the role with this ARN, or for roles with the prefix before a final `*`.
    #[must_use]
    pub fn role(mut self, pattern: impl Into<String>) -> Self {
        self.role = Some(pattern.into());
        self
    }

    /// Adds a `Retry-After` header to error answers: seconds, or an HTTP date.
    #[must_use]
    pub fn retry_after(mut self, value: impl Into<String>) -> Self {
        self.retry_after = Some(value.into());
        self
    }

    /// Sets which of the matching requests it hits.
    #[must_use]
    pub fn when(mut self, when: When) -> Self {
        self.when = when;
        self
    }

    /// Only the first `n` matching requests.
    #[must_use]
    pub fn first(self, n: u64) -> Self {
        self.when(When::First(n))
    }

    /// Only the `n`-th matching request, counted from 1.
    #[must_use]
    pub fn nth(self, n: u64) -> Self {
        self.when(When::Nth(n))
    }

    fn matches(&self, request: &Subject<'_>) -> bool {
        let fits = |pattern: &Option<String>, name: Option<&str>| {
            pattern.as_deref().is_none_or(|pattern| name.is_some_and(|name| pattern_matches(pattern, name)))
        };
        self.account.as_deref().is_none_or(|account| account == request.account)
            && self.region.as_deref().is_none_or(|region| region == request.region)
            && self.operation.is_none_or(|operation| operation == request.operation)
            && fits(&self.table, request.table)
            && fits(&self.role, request.role)
    }
}

/// The handle of a fault that was set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FaultId(u64);

/// The request that rules are matched against.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject<'a> {
    pub(crate) account: &'a str,
    pub(crate) region: &'a str,
    pub(crate) operation: Operation,
    pub(crate) table: Option<&'a str>,
    pub(crate) role: Option<&'a str>,
    /// The name after which a list continues.
    pub(crate) start: Option<&'a str>,
}

impl Subject<'_> {
    fn key(&self) -> u64 {
        let Self { account, region, operation, table, role, start } = self;
        hash(&format!("{account}/{region}/{operation:?}/{table:?}/{role:?}/{start:?}"))
    }
}

/// What the rules do to one request.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Verdict {
    pub(crate) delay: Duration,
    pub(crate) effect: Option<Effect>,
    pub(crate) retry_after: Option<String>,
}

#[derive(Debug)]
struct Entry {
    id: FaultId,
    rule: FaultRule,
    active: bool,
    seen: u64,
    hits: u64,
    /// How often each subject was drawn for, with `When::Probability`.
    drawn: HashMap<u64, u64>,
    set_at: Instant,
    first_at: Option<Instant>,
}

impl Entry {
    fn fires(&mut self, subject: &Subject<'_>) -> bool {
        self.seen += 1;
        let now = Instant::now();
        let first_at = *self.first_at.get_or_insert(now);
        let fires = match self.rule.when {
            When::Always => true,
            When::First(n) => self.seen <= n,
            When::After(n) => self.seen > n,
            When::Nth(n) => self.seen == n,
            When::Every(n) => n > 0 && self.seen.is_multiple_of(n),
            When::For(time) => now.saturating_duration_since(first_at) < time,
            When::Between(from, until) => (from..until).contains(&now.saturating_duration_since(self.set_at)),
            When::Probability { p, seed } => {
                let key = subject.key();
                let times = self.drawn.entry(key).or_default();
                *times += 1;
                fastrand::Rng::with_seed(hash(&format!("{seed}/{key}/{times}"))).f64() < p
            }
        };
        self.hits += u64::from(fires);
        fires
    }
}

/// All faults, with a flag that keeps the common case (none) free of locks.
#[derive(Debug, Default)]
pub(crate) struct FaultTable {
    any: AtomicBool,
    entries: Mutex<Vec<Entry>>,
}

impl FaultTable {
    pub(crate) fn add(&self, rule: FaultRule) -> FaultId {
        let mut entries = lock(&self.entries);
        let id = FaultId(entries.len() as u64);
        entries.push(Entry {
            id,
            rule,
            active: true,
            seen: 0,
            hits: 0,
            drawn: HashMap::new(),
            set_at: Instant::now(),
            first_at: None,
        });
        self.any.store(true, Ordering::Release);
        id
    }

    pub(crate) fn hits(&self, id: FaultId) -> u64 {
        lock(&self.entries).iter().find(|entry| entry.id == id).map_or(0, |entry| entry.hits)
    }

    /// Ends one fault; its hits stay readable.
    pub(crate) fn remove(&self, id: FaultId) {
        for entry in lock(&self.entries).iter_mut().filter(|entry| entry.id == id) {
            entry.active = false;
        }
    }

    /// Ends all faults; their hits stay readable.
    pub(crate) fn clear(&self) {
        lock(&self.entries).iter_mut().for_each(|entry| entry.active = false);
        self.any.store(false, Ordering::Release);
    }

    pub(crate) fn judge(&self, subject: &Subject<'_>) -> Verdict {
        let mut verdict = Verdict::default();
        if !self.any.load(Ordering::Acquire) {
            return verdict;
        }
        for entry in lock(&self.entries).iter_mut() {
            if !entry.active || !entry.rule.matches(subject) || !entry.fires(subject) {
                continue;
            }
            if let Effect::Delay(delay) = entry.rule.effect {
                verdict.delay += delay;
                continue;
            }
            verdict.effect = Some(entry.rule.effect.clone());
            verdict.retry_after.clone_from(&entry.rule.retry_after);
            break;
        }
        verdict
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUBJECT: Subject<'_> = Subject {
        account: "111122223333",
        region: "eu-west-1",
        operation: Operation::DescribeTable,
        table: Some("orders-prod"),
        role: None,
        start: None,
    };

    fn fired(when: When) -> Vec<usize> {
        let faults = FaultTable::default();
        faults.add(FaultRule::new(Effect::Throttle).when(when));
        (1..=12).filter(|_| faults.judge(&SUBJECT).effect.is_some()).collect()
    }

    #[test]
    fn when_selects_the_requests_it_names() {
        assert_eq!(fired(When::Always), (1..=12).collect::<Vec<_>>());
        assert_eq!(fired(When::First(2)), [1, 2]);
        assert_eq!(fired(When::After(10)), [11, 12]);
        assert_eq!(fired(When::Nth(3)), [3]);
        assert_eq!(fired(When::Every(5)), [5, 10]);
        let drawn = fired(When::Probability { p: 0.5, seed: 7 });
        assert!(!drawn.is_empty() && drawn.len() < 12);
        assert_eq!(drawn, fired(When::Probability { p: 0.5, seed: 7 }));
    }

    #[test]
    fn draws_do_not_depend_on_the_order_of_different_requests() {
        let names: Vec<String> = (0..200).map(|number| format!("table-{number}")).collect();
        let draws = |names: Vec<&String>| {
            let faults = FaultTable::default();
            faults.add(FaultRule::new(Effect::Throttle).when(When::Probability { p: 0.3, seed: 5 }));
            let drawn = names.into_iter().map(|name| {
                let subject = Subject { table: Some(name), ..SUBJECT };
                (name.clone(), [(); 3].map(|()| faults.judge(&subject).effect.is_some()))
            });
            drawn.collect::<std::collections::BTreeMap<_, _>>()
        };
        let drawn = draws(names.iter().collect());
        assert_eq!(drawn, draws(names.iter().rev().collect()));
        let hits = drawn.values().flatten().filter(|hit| **hit).count();
        assert!((120..240).contains(&hits), "{hits} of 600");
    }

    #[tokio::test(start_paused = true)]
    async fn time_windows_use_tokios_clock() {
        let faults = FaultTable::default();
        faults.add(FaultRule::new(Effect::Throttle).when(When::For(Duration::from_secs(3))));
        let window = When::Between(Duration::from_secs(8), Duration::from_secs(9));
        faults.add(FaultRule::new(Effect::NotFound).when(window));
        let mut fired = Vec::new();
        for second in 0..12 {
            // The first request comes after two seconds.
            if second >= 2 {
                fired.push(faults.judge(&SUBJECT).effect);
            }
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        let seconds = |effect: Effect| -> Vec<u32> {
            (2..).zip(&fired).filter(|(_, fired)| fired.as_ref() == Some(&effect)).map(|(second, _)| second).collect()
        };
        assert_eq!((seconds(Effect::Throttle), seconds(Effect::NotFound)), (vec![2, 3, 4], vec![8]));
    }

    #[test]
    fn role_pattern_matches_the_requested_role() {
        let subject = Subject { operation: Operation::AssumeRole, table: None, role: Some("arn:1:role/A"), ..SUBJECT };
        for (rule, expected) in [("arn:1:*", true), ("arn:1:role/A", true), ("arn:2:*", false)] {
            let faults = FaultTable::default();
            faults.add(FaultRule::new(Effect::Deny).role(rule));
            assert_eq!(faults.judge(&subject).effect.is_some(), expected, "{rule}");
            assert_eq!(faults.judge(&SUBJECT).effect, None);
        }
    }

    #[test]
    fn rule_matches_only_its_subject() {
        for (rule, expected) in [
            (FaultRule::new(Effect::Deny).table("orders-*"), true),
            (FaultRule::new(Effect::Deny).table("orders"), false),
            (FaultRule::new(Effect::Deny).account("444455556666"), false),
            (FaultRule::new(Effect::Deny).region("us-east-1"), false),
            (FaultRule::new(Effect::Deny).operation(Operation::ListTables), false),
        ] {
            let faults = FaultTable::default();
            let id = faults.add(rule);
            assert_eq!(faults.judge(&SUBJECT).effect.is_some(), expected);
            assert_eq!(faults.hits(id), u64::from(expected));
        }
    }

    #[test]
    fn delays_add_up_and_the_next_rule_decides() {
        let faults = FaultTable::default();
        let delay = faults.add(FaultRule::new(Effect::Delay(Duration::from_secs(1))));
        faults.add(FaultRule::new(Effect::NotFound));
        assert_eq!(
            faults.judge(&SUBJECT),
            Verdict { delay: Duration::from_secs(1), effect: Some(Effect::NotFound), retry_after: None }
        );
        faults.clear();
        assert_eq!(faults.judge(&SUBJECT), Verdict::default());
        assert_eq!(faults.hits(delay), 1);
    }
}
