//! What must hold after each crawl, whatever went wrong in it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use dynacrawl_state::{ChangeQuery, Reader, State, TableQuery};
use serde_json::Value;
use tokio::time::Instant;

use super::drive::{Ended, RunFacts};
use super::faults::Kind;
use super::plan::{Access, Plan};
use super::truth::{Key, Span, Truth};

/// What was found wrong.
type Broken = String;

/// False answers about which accounts exist, below the fail-safe.
const LIES_ABOUT_ACCOUNTS: [Kind; 5] = [
    Kind::ShortOrganizations,
    Kind::OtherOrganizations,
    Kind::LostTargets,
    Kind::AnswersAsOther,
    Kind::SessionsOfOther,
];

/// Checks crawls, with the plan and the path of the state.
pub(super) struct Oracle<'a> {
    pub(super) plan: &'a Plan,
    pub(super) state: PathBuf,
}

/// A change event of the state.
struct Event {
    run_id: String,
    kind: String,
    key: Key,
    change: Value,
}

/// The result of a state's events: the fingerprint of each existing table.
type Fold = BTreeMap<Key, String>;

fn ensure(holds: bool, broken: impl FnOnce() -> Broken) -> Result<(), Broken> {
    if holds { Ok(()) } else { Err(broken()) }
}

impl Oracle<'_> {
    /// Checks a crawl that has ended.
    pub(super) fn check(
        &self,
        ended: &Ended<'_>,
        truth: &Truth,
        runs: &BTreeMap<String, RunFacts>,
    ) -> Result<(), Broken> {
        let facts = runs.get(&ended.run_id).ok_or("an unknown run")?;
        let span = Span(facts.began, ended.ended);
        if let Some(records) = &ended.records {
            self.records(records, ended)?;
            self.tables(records, truth, span, facts)?;
        }
        let events = self.events()?;
        self.events_are_true(&events, truth, runs, ended.ended)?;
        // A table first described without its id silently gets another fingerprint once the id is
        // there.
        let exact = !runs.values().any(|facts| facts.had(&[Kind::MissingFields]));
        let fold = self.fold(&events, exact)?;
        if let Some(records) = &ended.records {
            self.complete(records, &fold, ended, truth, facts, span)?;
        }
        Ok(())
    }

    /// Each scope ends once, and the counts add up.
    fn records(&self, records: &[Value], ended: &Ended<'_>) -> Result<(), Broken> {
        ensure(records.first().is_some_and(|one| one["type"] == "run_started"), || "no run_started".into())?;
        let last = records.last().filter(|one| one["type"] == "run_completed").ok_or("no run_completed")?;
        let ids: BTreeSet<_> = records.iter().map(|record| record["run_id"].as_str()).collect();
        ensure(ids.len() == 1, || format!("several runs: {ids:?}"))?;
        let completed: Vec<&Value> = of(records, "scope_completed").collect();
        let mut scopes = BTreeSet::new();
        for scope in &completed {
            let key = (scope["target"].as_str(), scope["scope"]["region"].as_str());
            ensure(scopes.insert(key), || format!("{key:?} ended twice"))?;
            add_up(&scope["counts"])?;
        }
        let planned = last["scope_counts"]["planned"].as_u64();
        ensure(planned == Some(completed.len() as u64), || format!("{planned:?} planned, {} ended", completed.len()))?;
        add_up(&last["counts"])?;
        for (field, total) in last["counts"].as_object().ok_or("no counts")? {
            let sum: u64 = completed.iter().filter_map(|scope| scope["counts"][field].as_u64()).sum();
            ensure(total.as_u64() == Some(sum), || format!("{field}: {total} in all, {sum} in the scopes"))?;
        }
        let tables = of(records, "table").count() as u64;
        let described = last["counts"]["described"].as_u64().unwrap_or_default();
        ensure(self.plan.emit == "changes" || tables == described, || {
            format!("{described} described, {tables} table lines")
        })?;
        let whole = completed.iter().all(|scope| scope["outcome"] == "complete");
        let complete = ended.report.outcome == dynacrawl_model::RunOutcome::Complete;
        ensure(whole || !complete, || "the run is complete, but one of its scopes is not".into())
    }

    /// Each table is described once, under its own name, account and Region, as it was at some time of the run.
    fn tables(&self, records: &[Value], truth: &Truth, span: Span, facts: &RunFacts) -> Result<(), Broken> {
        // What a killed process listed is lost, so a listing that repeats itself gives the same
        // names to the next one.
        let twice = facts.had(&[Kind::EndlessLists, Kind::RepeatedNames]) && facts.processes > 1;
        let mut seen = BTreeSet::new();
        for record in of(records, "table") {
            let key = key(record, &record["table"]["name"]);
            ensure(seen.insert(key.clone()) || twice, || format!("{key:?} described twice"))?;
            let (account, region, name) = &key;
            if let Some(arn) = record["table"]["arn"].as_str() {
                let own = format!("arn:aws:dynamodb:{region}:{account}:table/{name}");
                ensure(arn == own, || format!("{key:?} has the ARN {arn}"))?;
            }
            let versions = truth.versions(&key, span);
            let fits = |print: &str| versions.iter().flatten().any(|version| version.fingerprint == print);
            let lacks = record["table"]["id"].is_null()
                || record["table"]["arn"].is_null()
                || record["table"]["created_at"].is_null();
            let print = record["fingerprint"].as_str().unwrap_or_default();
            ensure(fits(print) || (lacks && versions.iter().any(Option::is_some)), || {
                format!("{key:?} was never like that: {}", record["table"])
            })?;
        }
        Ok(())
    }

    /// Nothing that exists is reported as removed, recreated or retired.
    fn events_are_true(
        &self,
        events: &[Event],
        truth: &Truth,
        runs: &BTreeMap<String, RunFacts>,
        now: Instant,
    ) -> Result<(), Broken> {
        let mut retired: BTreeMap<&str, u64> = BTreeMap::new();
        let reader = Reader::open(&self.state).map_err(|error| error.to_string())?;
        let known = reader.scope_lines(true).map_err(|error| error.to_string())?.len() as u64;
        for event in events {
            let facts = runs.get(&event.run_id).ok_or("an event of an unknown run")?;
            let (account, region, _) = &event.key;
            let span = Span(facts.began, now);
            match &*event.kind {
                "table_removed" => {
                    let gone = truth.versions(&event.key, span).iter().any(Option::is_none);
                    ensure(gone, || format!("{:?} is reported as removed, but exists", event.key))?;
                }
                "table_recreated" => {
                    let before = event.change["table_id_before"].as_str();
                    // Without an ARN, nothing identifies the table of another account.
                    if facts.had(&[Kind::MissingFields]) && truth.owners(account, span).len() > 1 {
                        continue;
                    }
                    let was = truth.has_had_id(&event.key, before, now);
                    let versions = truth.versions(&event.key, Span(span.0, now));
                    let other = versions.iter().flatten().any(|version| version.id.as_deref() != before);
                    ensure(was && other, || format!("{:?} is reported as recreated, but is the same", event.key))?;
                }
                "scope_retired" => {
                    let covered = self.covers(account, region, truth, span);
                    let lied = facts.had(&LIES_ABOUT_ACCOUNTS);
                    ensure(!covered || lied, || format!("{account}/{region} is reported as retired, but is covered"))?;
                    let count = retired.entry(&event.run_id).or_default();
                    *count += u64::from(covered);
                    let many = known >= 10 && *count * 100 >= known * 30;
                    let all = known >= 2 && *count >= known;
                    ensure(!many && !all, || format!("{count} of {known} scopes are retired at once"))?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Whether the configuration covers an account and Region.
    fn covers(&self, account: &str, region: &str, truth: &Truth, span: Span) -> bool {
        let is_member = self.plan.accounts.contains(&account) && self.plan.regions.contains(&region);
        is_member
            && match self.plan.access {
                Access::Keys { named: true } | Access::Roles => true,
                Access::Keys { named: false } => {
                    // A key that was moved or deleted leads to another account, or to none.
                    self.plan.accounts.iter().any(|of| {
                        let owners = truth.owners(of, Span(span.0, span.1));
                        owners.len() == 1 && owners.contains(account)
                    })
                }
                Access::Organization => !truth.was_suspended(account, span),
            }
    }

    fn events(&self) -> Result<Vec<Event>, Broken> {
        drop(State::open(&self.state).map_err(|error| format!("the state does not open: {error}"))?);
        let reader = Reader::open(&self.state).map_err(|error| format!("the state cannot be read: {error}"))?;
        let mut events = Vec::new();
        let read = reader.changes(&ChangeQuery::default(), |line| {
            let key = (line.account_id, line.region, line.table_name.unwrap_or_default());
            events.push(Event { run_id: line.run_id, kind: line.kind, key, change: line.change });
            true
        });
        read.map_err(|error| format!("changes cannot be read: {error}"))?;
        Ok(events)
    }

    /// The events, one after the other, result in the tables of the state.
    fn fold(&self, events: &[Event], exact: bool) -> Result<Fold, Broken> {
        let mut fold = Fold::new();
        // Tables that were unselected or retired, and not removed since.
        let mut former = BTreeSet::new();
        for Event { kind, key, change, .. } in events {
            let after = change["fingerprint"].as_str().unwrap_or_default().to_owned();
            let before = match &**kind {
                "table_added" | "table_changed" | "table_recreated" => fold.insert(key.clone(), after),
                "scope_retired" => {
                    former.extend(fold.extract_if(.., |of, _| of.0 == key.0 && of.1 == key.1).map(|(of, _)| of));
                    continue;
                }
                _ => fold.remove(key),
            };
            let was_former = former.remove(key);
            if kind == "table_unselected" {
                former.insert(key.clone());
            }
            let had_it = before.is_some() || (was_former && kind == "table_removed");
            ensure(had_it != (kind == "table_added"), || format!("{kind} {key:?}, but before: {before:?}"))?;
            if let Some(claimed) = change["fingerprint_before"].as_str() {
                ensure(!exact || before.as_deref() == Some(claimed), || {
                    format!("{kind} {key:?} was {before:?}, not {claimed}")
                })?;
            }
        }
        let reader = Reader::open(&self.state).map_err(|error| error.to_string())?;
        let mut tables = Fold::new();
        let read = reader.tables(&TableQuery::default(), |line| {
            tables.insert((line.account_id, line.region, line.table_name), line.fingerprint);
            true
        });
        read.map_err(|error| format!("tables cannot be read: {error}"))?;
        let same = if exact { fold == tables } else { fold.keys().eq(tables.keys()) };
        ensure(same, || format!("the changes result in {fold:?}, but the state has {tables:?}"))?;
        Ok(tables)
    }

    /// A complete scope has all tables that existed all the time, and the state has them as they
    /// are, and no others.
    fn complete(
        &self,
        records: &[Value],
        fold: &Fold,
        ended: &Ended<'_>,
        truth: &Truth,
        facts: &RunFacts,
        span: Span,
    ) -> Result<(), Broken> {
        let described: BTreeSet<Key> =
            of(records, "table").map(|record| key(record, &record["table"]["name"])).collect();
        // Listings of another account, and pages that continue somewhere else, leave names out,
        // too.
        let skips = facts.had(&[Kind::EndlessLists, Kind::AnswersAsOther, Kind::SessionsOfOther, Kind::MovedKeys]);
        let reported = ended.report.outcome != dynacrawl_model::RunOutcome::Failed;
        for scope in of(records, "scope_completed").filter(|scope| scope["outcome"] == "complete") {
            let (account, region, _) = key(scope, &Value::Null);
            for key in truth.keys(&account, &region) {
                let versions = truth.versions(key, span);
                let [version] = versions[..] else { continue };
                let selected = !(ended.plan.filtered && key.2.starts_with("b-"));
                let moved = truth.owners(&account, span).len() > 1;
                let hidden = skips || moved || facts.left_out.iter().any(|pattern| fits(pattern, &key.2));
                let known = fold.get(key);
                match version {
                    Some(version) if selected => {
                        // A table that no listing ever named cannot be known, and neither can one
                        // that was listed only to a killed process.
                        if hidden && (known.is_none() || facts.processes > 1) {
                            continue;
                        }
                        ensure(self.plan.emit == "changes" || described.contains(key), || {
                            format!("{key:?} is missing from a complete scope")
                        })?;
                        let odd = facts.had(&[Kind::MissingFields, Kind::OddTypes]);
                        ensure(!reported || odd || known == Some(&version.fingerprint), || {
                            format!("{key:?} is {version:?}, but the state has {known:?}")
                        })?;
                    }
                    _ => ensure(!reported || known.is_none(), || format!("{key:?} is stored, but does not exist"))?,
                }
            }
        }
        Ok(())
    }
}

fn of<'a>(records: &'a [Value], kind: &'a str) -> impl Iterator<Item = &'a Value> {
    records.iter().filter(move |record| record["type"] == kind)
}

fn key(record: &Value, name: &Value) -> Key {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    (text(&record["scope"]["account_id"]), text(&record["scope"]["region"]), text(name))
}

fn fits(pattern: &str, name: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == name, |prefix| name.starts_with(prefix))
}

/// Every selected table, and each that was found without being listed, is described or counted by
/// its result.
fn add_up(counts: &Value) -> Result<(), Broken> {
    let of = |field: &str| counts[field].as_u64().unwrap_or_default();
    let outside = ["listed", "unselected", "selected", "unlisted"];
    let ended = counts.as_object().into_iter().flatten().filter(|(field, _)| !outside.contains(&field.as_str()));
    let ended: u64 = ended.filter_map(|(_, count)| count.as_u64()).sum();
    let adds_up = of("listed") == of("unselected") + of("selected") && of("selected") + of("unlisted") == ended;
    ensure(adds_up, || format!("the counts do not add up: {counts}"))
}
