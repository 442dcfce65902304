//! Finds what changed since the last run. Each table is compared with the state when it is
//! described, so neither inventory is ever held in memory. A scope keeps a hash of each listed
//! name, and what a table is compared with until it is described.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use dynacrawl_model::{
    Body, ChangeKind, NamedScope, Record, Scope, Table, TableAdded, TableChanged, TableName, TableRecord,
    TableRecreated, Timestamp,
};
use dynacrawl_normalizer::{all_changes, comparable, fingerprint, structural_changes};
use dynacrawl_state::{KnownScope, ScopeKey, StateError, TableRow, TableStats, TableStatus};

use super::detector::{DetectedChange, Detector, Found};
use crate::settings::ChangeSettings;

/// Compares a scope with what earlier runs stored of it.
#[derive(Debug)]
pub(crate) struct ScopeChanges {
    pub(super) detector: Arc<Detector>,
    /// The name of the account, if known.
    account_name: Option<Arc<str>>,
    /// Looked up when the account is known.
    pub(super) known: OnceLock<Option<KnownScope>>,
    pub(super) names: RandomState,
    /// The listed names, by hash.
    pub(super) listed: Mutex<HashMap<u64, Listed>>,
    pub(super) vanished: Mutex<HashSet<TableName>>,
    /// Hashes of the names of the tables that have an event in this run; `None` before the first
    /// event.
    emitted: Mutex<Option<HashSet<u64>>>,
    /// Whether an earlier process began the scope.
    pub(super) resumed: bool,
}

/// A name that was listed.
#[derive(Debug)]
pub(super) enum Listed {
    /// The filters exclude it.
    Unselected,
    /// It is to be described. Until then this holds what the state has of it, if anything.
    Selected(Option<Box<KnownTable>>),
}

/// What an unchanged table is compared with.
#[derive(Debug)]
pub(super) struct KnownTable {
    fingerprint: Box<str>,
    stats: Option<TableStats>,
}

impl ScopeChanges {
    pub(crate) fn new(detector: Arc<Detector>, account_name: Option<Arc<str>>, resumed: bool) -> Self {
        Self {
            account_name,
            resumed,
            emitted: Mutex::default(),
            detector,
            known: OnceLock::new(),
            names: RandomState::new(),
            listed: Mutex::default(),
            vanished: Mutex::default(),
        }
    }

    pub(crate) fn settings(&self) -> &ChangeSettings {
        &self.detector.settings
    }

    /// Whether a person has accepted the removals of a scope.
    pub(crate) fn accepts(&self, scope: &Scope) -> bool {
        self.detector.accepted.removals_of(scope)
    }

    /// Takes note of a listed page.
    pub(crate) fn listed(
        &self,
        scope: &Scope,
        unselected: &[TableName],
        selected: &[TableName],
    ) -> Result<(), StateError> {
        let number = |name: &TableName| self.names.hash_one(name.as_str());
        let mut listed = held(&self.listed);
        listed.extend(unselected.iter().map(|name| (number(name), Listed::Unselected)));
        listed.extend(selected.iter().map(|name| (number(name), Listed::Selected(None))));
        // Without the account, nothing can be looked up.
        if let Some(known) = self.known(scope)? {
            self.detector.read(|reader| {
                reader.listed(known.id, selected, |name, fingerprint, stats| {
                    let known = KnownTable { fingerprint: fingerprint.into(), stats };
                    listed.insert(number(name), Listed::Selected(Some(Box::new(known))));
                })
            })?;
        }
        Ok(())
    }

    /// Takes what the state had of a table when its name was listed. It is needed only once.
    fn take_known(&self, name: &TableName) -> Option<Box<KnownTable>> {
        match held(&self.listed).get_mut(&self.names.hash_one(name.as_str())) {
            Some(Listed::Selected(known)) => known.take(),
            _ => None,
        }
    }

    /// Takes note of a listed table that DescribeTable did not find.
    pub(crate) fn vanished(&self, name: &TableName) {
        held(&self.vanished).insert(name.clone());
    }

    /// The scope in the state; also `None` if its account is unknown.
    pub(super) fn known(&self, scope: &Scope) -> Result<Option<&KnownScope>, StateError> {
        if let Some(known) = self.known.get() {
            return Ok(known.as_ref());
        }
        let Some(key) = ScopeKey::of(scope) else { return Ok(None) };
        let known = self.detector.read(|reader| reader.scope(&key))?;
        Ok(self.known.get_or_init(|| known).as_ref())
    }

    /// Compares a described table with the state. `None` if nothing changed, or if its account is
    /// unknown. What changed in a `partly_read` description is unknown: a field that could not be
    /// read looks like a removed one.
    pub(crate) fn described(
        &self,
        scope: &Scope,
        now: &TableRecord,
        partly_read: bool,
    ) -> Result<Option<DetectedChange>, StateError> {
        let Some(name) = &now.table.name else { return Ok(None) };
        let known = self.take_known(name);
        let as_known = known.as_ref().is_some_and(|known| *known.fingerprint == *now.fingerprint);
        let found = self.compared(scope, now, partly_read, as_known)?;
        let stats = match known {
            Some(known) => known.stats,
            // Its name was not looked up when it was listed, or it was not listed at all.
            None => match self.known(scope)? {
                Some(scope) => self.detector.read(|reader| reader.stats(scope.id, name))?,
                None => None,
            },
        };
        let stats_now = TableStats::of(&now.table);
        let stats_now = if partly_read { stats_now.without_parts(stats.as_ref()) } else { stats_now };
        let found = with_stats(found, scope, now, name, stats_now, stats.as_ref());
        let Some(change) = &found else { return Ok(found) };
        if change.kind.is_none() {
            return Ok(found);
        }
        // A listing that repeats itself may name again the tables of an earlier process, or of the
        // first attempt.
        let number = |name: &str| self.names.hash_one(name);
        let mut emitted = held(&self.emitted);
        if emitted.is_none() {
            let mut before = HashSet::new();
            if let Some(key) = ScopeKey::of(scope).filter(|_| self.resumed) {
                let run_id = self.detector.run_id;
                self.detector.read(|reader| {
                    reader.names_with_event(run_id, &key, |name| {
                        before.insert(number(name));
                    })
                })?;
            }
            *emitted = Some(before);
        }
        let is_first = emitted.get_or_insert_default().insert(number(name.as_str()));
        Ok(found.filter(|_| is_first))
    }

    fn compared(
        &self,
        scope: &Scope,
        now: &TableRecord,
        partly_read: bool,
        as_known: bool,
    ) -> Result<Option<DetectedChange>, StateError> {
        let detector = &*self.detector;
        let Some(name) = &now.table.name else { return Ok(None) };
        if as_known && !detector.settings.drift {
            return Ok(None);
        }
        let Some(key) = ScopeKey::of(scope) else { return Ok(None) };
        let known = match self.known(scope)? {
            None => None,
            Some(scope) => detector.read(|reader| reader.table(scope.id, name))?,
        };
        let Some(before) = known.filter(|row| row.status == TableStatus::Present) else {
            let added = TableAdded {
                observed_at: now.observed_at,
                table_name: name.clone(),
                fingerprint: now.fingerprint.clone(),
                table: now.table.clone(),
            };
            let row = row(now, name, now.observed_at, now.observed_at);
            let line = self.line(&key, now);
            return Ok(Some(self.change(ChangeKind::Added, key, now.observed_at, Some(row), Some(line), added)));
        };
        // The table is listed again after a listing without it, which is not a change to report.
        let seen_again = || {
            let row = TableRow { last_seen_at: None, ..before.clone() };
            before.last_seen_at.map(|_| DetectedChange::silent(key.clone(), now.observed_at, row, None))
        };
        let drift = detector.settings.drift;
        if partly_read || (before.fingerprint == now.fingerprint && !drift) {
            return Ok(seen_again());
        }
        let unchanged = row(now, name, before.first_seen_at, before.changed_at);
        let Some(then) = detector.read(|reader| reader.record(&before))?.and_then(|json| parse(&json)) else {
            tracing::warn!(table = %dynacrawl_model::Escaped(name.as_str()), "cannot read the table's record in the state; the current description replaces it");
            let line = self.line(&key, now);
            return Ok(Some(DetectedChange::silent(key, now.observed_at, unchanged, Some(line))));
        };
        let (then, learned) = with_identity_of(then, &now.table);
        let completed;
        let now = match with_identity_of(now.table.clone(), &then) {
            (_, false) => now,
            (table, true) => {
                let fingerprint = fingerprint(&table);
                completed = TableRecord { fingerprint, table, ..now.clone() };
                &completed
            }
        };
        let unchanged = row(now, name, before.first_seen_at, before.changed_at);
        let upgraded = !comparable(&before.fingerprint, &now.fingerprint);
        // Another version of dynacrawl computed the fingerprint in another way, which is not a
        // change of the table. The stored record is hashed in today's way, so that a change since
        // then is neither lost nor invented.
        let fingerprint_before = if upgraded || learned { fingerprint(&then) } else { before.fingerprint.clone() };
        let same = fingerprint_before == now.fingerprint;
        let changes = match (drift, same) {
            (true, _) => all_changes(&then, &now.table),
            (false, false) => structural_changes(&then, &now.table),
            (false, true) => Vec::new(),
        };
        if changes.is_empty() && (upgraded || learned) {
            let line = self.line(&key, now);
            return Ok(Some(DetectedChange::silent(key, now.observed_at, unchanged, Some(line))));
        }
        if changes.is_empty() && same {
            return Ok(seen_again());
        }
        let (observed_at, table, fingerprint) = (now.observed_at, now.table.clone(), now.fingerprint.clone());
        let line = Some(self.line(&key, now));
        if is_another(&then, &now.table) {
            let recreated = TableRecreated {
                observed_at,
                table_name: name.clone(),
                table_id_before: then.id,
                fingerprint_before,
                fingerprint,
                changes,
                table,
            };
            let row = Some(row(now, name, now.observed_at, now.observed_at));
            return Ok(Some(self.change(ChangeKind::Recreated, key, observed_at, row, line, recreated)));
        }
        let table_name = name.clone();
        let changed = TableChanged { observed_at, table_name, fingerprint_before, fingerprint, changes, table };
        let row = Some(row(now, name, before.first_seen_at, now.observed_at));
        Ok(Some(self.change(ChangeKind::Changed, key, observed_at, row, line, changed)))
    }

    fn named(&self, key: &ScopeKey) -> NamedScope {
        NamedScope { scope: key.scope(), account_name: self.account_name.clone() }
    }

    fn line(&self, key: &ScopeKey, now: &TableRecord) -> String {
        self.detector.line(&self.named(key), now)
    }

    pub(super) fn change(
        &self,
        kind: ChangeKind,
        key: ScopeKey,
        at: Timestamp,
        table: Option<TableRow>,
        record: Option<String>,
        body: impl Into<Body>,
    ) -> DetectedChange {
        let scope = self.named(&key);
        self.detector.change(kind, key, scope, Found { at, table, record }, body)
    }

    /// Whether the state has the scope.
    pub(crate) fn is_known(&self, scope: &Scope) -> Result<bool, StateError> {
        self.known(scope).map(|known| known.is_some())
    }
}

pub(super) fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Adds the statistics of a table if they differ from those in the state.
fn with_stats(
    found: Option<DetectedChange>,
    scope: &Scope,
    now: &TableRecord,
    name: &TableName,
    stats: TableStats,
    known: Option<&TableStats>,
) -> Option<DetectedChange> {
    if known == Some(&stats) {
        return found;
    }
    match found {
        Some(mut change) => {
            if let Some(staged) = &mut change.staged {
                let stats = if staged.record.is_some() { stats.with_record() } else { stats };
                staged.stats = Some((name.clone(), stats));
            }
            Some(change)
        }
        None => {
            let key = ScopeKey::of(scope)?;
            Some(DetectedChange::statistics(key, now.observed_at, name.clone(), stats))
        }
    }
}

/// The table's new row in the state.
fn row(now: &TableRecord, name: &TableName, first_seen_at: Timestamp, changed_at: Timestamp) -> TableRow {
    TableRow {
        name: name.clone(),
        status: TableStatus::Present,
        fingerprint: now.fingerprint.clone(),
        first_seen_at,
        changed_at,
        last_seen_at: None,
        arn: now.table.arn.clone(),
        table_id: now.table.id.clone(),
        record_id: None,
    }
}

/// Adds to a table the id, ARN and creation time that it lacks and `other` has. Also returns
/// whether it lacked any. A response without them is not about another table.
fn with_identity_of(mut table: Table, other: &Table) -> (Table, bool) {
    fn complete<T: Clone>(own: &mut Option<T>, other: Option<&T>) -> bool {
        let lacks = own.is_none() && other.is_some();
        if lacks {
            *own = other.cloned();
        }
        lacks
    }
    let completed = [
        complete(&mut table.id, other.id.as_ref()),
        complete(&mut table.arn, other.arn.as_ref()),
        complete(&mut table.created_at, other.created_at.as_ref()),
    ];
    (table, completed.contains(&true))
}

/// Whether `now` is another table with the same name. Without ids, as from some emulators, the ARN
/// or the creation time decides. A value that one of the two lacks is not a difference.
fn is_another(then: &Table, now: &Table) -> bool {
    fn differ<T: PartialEq>(then: Option<&T>, now: Option<&T>) -> Option<bool> {
        Some(then? != now?)
    }
    let by_id = differ(then.id.as_ref(), now.id.as_ref());
    let arns = || differ(then.arn.as_ref(), now.arn.as_ref());
    let times = || differ(then.created_at.as_ref(), now.created_at.as_ref());
    by_id.unwrap_or_else(|| arns().unwrap_or_default() || times().unwrap_or_default())
}

fn parse(line: &str) -> Option<Table> {
    match serde_json::from_str::<Record>(line).ok()?.body {
        Body::Table(record) => Some(record.table),
        _ => None,
    }
}
