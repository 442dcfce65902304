//! Tables in the state that the listing did not name: what is known of them, and what changes about
//! them.

use std::collections::HashSet;
use std::hash::BuildHasher;

use dynacrawl_model::{ChangeKind, FilterRule, Scope, TableName, TableRemoved, TableUnselected, Timestamp};
use dynacrawl_state::{KnownScope, ScopeKey, StateError, TableRow, TableStatus};

use super::changes::{Listed, ScopeChanges, held};
use super::detector::DetectedChange;

/// Tables in the state that the listing did not name as tables to describe.
#[derive(Debug, Default)]
pub(crate) struct Missing {
    /// The tables that the state has as present.
    pub(crate) present: Group,
    /// The tables that the state has as unselected or retired.
    pub(crate) former: Group,
    /// Those of `former` that are not listed, or vanished.
    pub(crate) missing_former: HashSet<TableName>,
    /// Not listed. Whether they were deleted is still unknown.
    pub(crate) unlisted: Vec<TableName>,
    /// Listed, but not found by DescribeTable.
    pub(crate) vanished: Vec<TableName>,
    /// Present in the state, and listed, but excluded by the filters.
    pub(crate) unselected: Vec<TableName>,
    /// Listed, and excluded by the filters as before, but the state has them as not listed.
    pub(crate) seen_again: Vec<TableName>,
    /// Reported as unselected before the run was killed, and not listed.
    pub(crate) left_out: Vec<TableName>,
    /// Tables about which the run reported something else before it was killed.
    pub(crate) reported: HashSet<TableName>,
}

/// Tables in the state that count together when too many are removed at once.
#[derive(Debug, Default)]
pub(crate) struct Group {
    /// How many tables these are.
    pub(crate) known: u64,
    /// How many of them this run already reported as removed before it was killed.
    pub(crate) removed_before: u64,
}

impl ScopeChanges {
    /// The tables in the state that were not listed as tables to describe, once the listing has
    /// reached its last page. Tables that the filters excluded earlier, or whose scope was retired,
    /// are among them: catalogs may still have them.
    pub(crate) fn missing(&self, scope: &Scope) -> Result<Missing, StateError> {
        let Some(key) = ScopeKey::of(scope) else { return Ok(Missing::default()) };
        let Some(known) = self.known(scope)? else { return Ok(Missing::default()) };
        let detector = &*self.detector;
        let reported = detector.read(|reader| reader.staged_retirements(detector.run_id, &key))?;
        let (listed, not_found) = (held(&self.listed), held(&self.vanished));
        let mut missing = Missing::default();
        if self.resumed {
            let each = |name: &str| _ = missing.reported.insert(TableName::from(name));
            detector.read(|reader| reader.names_with_event(detector.run_id, &key, each))?;
        }
        detector.read(|reader| {
            reader.not_removed(known.id, |name, is_present, is_listed_always| {
                let Missing {
                    present,
                    former,
                    missing_former,
                    unlisted,
                    vanished,
                    unselected,
                    seen_again,
                    left_out,
                    ..
                } = &mut missing;
                let group = if is_present { present } else { former };
                group.known += 1;
                let table = TableName::from(name);
                let listed = listed.get(&self.names.hash_one(name));
                match reported.get(name) {
                    Some(true) => return group.removed_before += 1,
                    Some(false) if listed.is_none() => return left_out.push(table),
                    Some(false) => return,
                    None => {}
                }
                let into = match listed {
                    Some(Listed::Unselected) if is_present => return unselected.push(table),
                    Some(Listed::Unselected) if is_listed_always => return,
                    Some(Listed::Unselected) => return seen_again.push(table),
                    Some(Listed::Selected(_)) if !not_found.contains(&table) => return,
                    Some(Listed::Selected(_)) => vanished,
                    None => unlisted,
                };
                if !is_present {
                    missing_former.insert(table.clone());
                }
                into.push(table);
            })
        })?;
        Ok(missing)
    }

    /// The row of a table, and its scope.
    fn row(&self, name: &TableName) -> Result<Option<(&KnownScope, TableRow)>, StateError> {
        let Some(Some(scope)) = self.known.get() else { return Ok(None) };
        let row = self.detector.read(|reader| reader.table(scope.id, name))?;
        Ok(row.map(|row| (scope, row)))
    }

    /// The row of a table, with the time it was last seen: its own, or that of the scope's last
    /// listing.
    fn last_seen(&self, name: &TableName) -> Result<Option<(ScopeKey, TableRow)>, StateError> {
        Ok(self.row(name)?.map(|(scope, row)| {
            let last_seen_at = row.last_seen_at.or(scope.last_listed_at);
            (scope.key.clone(), TableRow { last_seen_at, ..row })
        }))
    }

    /// The change of a table that was deleted.
    pub(crate) fn removed(&self, name: &TableName) -> Result<Option<DetectedChange>, StateError> {
        let at = Timestamp::now();
        Ok(self.last_seen(name)?.map(|(key, before)| {
            let removed = TableRemoved {
                observed_at: at,
                table_name: name.clone(),
                table_arn: before.arn.clone(),
                table_id: before.table_id.clone(),
                last_seen_at: before.last_seen_at,
            };
            let row = TableRow { status: TableStatus::Removed, changed_at: at, ..before };
            self.change(ChangeKind::Removed, key, at, Some(row), None, removed)
        }))
    }

    /// The change of a table that the filters now exclude.
    pub(crate) fn unselected(
        &self,
        name: &TableName,
        rule: FilterRule,
        is_listed: bool,
    ) -> Result<Option<DetectedChange>, StateError> {
        let at = Timestamp::now();
        Ok(self.last_seen(name)?.map(|(key, before)| {
            let unselected = TableUnselected {
                observed_at: at,
                table_name: name.clone(),
                table_arn: before.arn.clone(),
                table_id: before.table_id.clone(),
                rule,
            };
            let last_seen_at = before.last_seen_at.filter(|_| !is_listed);
            let row = TableRow { status: TableStatus::Unselected, changed_at: at, last_seen_at, ..before };
            self.change(ChangeKind::Unselected, key, at, Some(row), None, unselected)
        }))
    }

    /// An update for a table that was not listed but stays in the state: it fixes the time it was
    /// last seen.
    pub(crate) fn kept(&self, name: &TableName) -> Result<Option<DetectedChange>, StateError> {
        let open = self.row(name)?.filter(|(_, row)| row.last_seen_at.is_none());
        Ok(open.map(|(scope, row)| {
            let row = TableRow { last_seen_at: scope.last_listed_at, ..row };
            DetectedChange::silent(scope.key.clone(), Timestamp::now(), row, None)
        }))
    }

    /// An update for a table that is listed, and that the filters exclude as before.
    pub(crate) fn seen_again(&self, name: &TableName) -> Result<Option<DetectedChange>, StateError> {
        Ok(self.row(name)?.map(|(scope, row)| {
            let row = TableRow { last_seen_at: None, ..row };
            DetectedChange::silent(scope.key.clone(), Timestamp::now(), row, None)
        }))
    }
}
