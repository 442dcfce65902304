//! The end of a scope with a state: which tables in the state were deleted. A table was deleted
//! only if the listing reached its last page without it and DescribeTable does not find it. If so
//! many were deleted that a fault is more likely, a person has to accept it first.

use std::collections::BTreeSet;

use dynacrawl_model::{FailureReason, Listing, MAX_NAMED_TABLES, Problem, TableName};
use dynacrawl_state::StateError;

use super::changes::ScopeChanges;
use super::detector::DetectedChange;
use super::event::{Candidates, What, Work};
use super::missing::Missing;
use super::scope::{JobEnd, ScopeRun};
use super::scope_error::ScopeError;
use super::step::Step;

/// What the worker found out about tables that were not listed.
#[derive(Debug, Default)]
struct Confirmed {
    found: BTreeSet<TableName>,
    gone: BTreeSet<TableName>,
    owner: Owner,
}

/// Whether the credentials still belong to the scope's account. Only then was a table deleted that
/// DescribeTable does not find.
#[derive(Debug, Default)]
enum Owner {
    /// It was not checked.
    #[default]
    Unchecked,
    /// They do.
    Same,
    /// That is uncertain; the reason why.
    Doubtful(String),
}

impl Confirmed {
    fn watch(&mut self, what: &What) {
        match what {
            What::TableDescribed(described) => _ = self.found.insert(described.name.clone()),
            What::TableExists(name) => _ = self.found.insert(name.clone()),
            What::TableFailed(failed) if failed.reason == FailureReason::Vanished => {
                self.gone.insert(failed.name.clone());
            }
            What::OwnershipChecked(doubt) => self.owner = doubt.clone().map_or(Owner::Same, Owner::Doubtful),
            What::AccountIdentified(_)
            | What::PageListed(_)
            | What::TableFailed(_)
            | What::TableDeferred(_)
            | What::ProblemNoted(_)
            | What::Finished(_) => {}
        }
    }
}

impl ScopeRun {
    /// Finds out which tables were deleted, or why that is unknown.
    pub(super) async fn removals(&mut self) -> Result<(), ScopeError> {
        // Without proof of which account the tables belong to, no table is removed.
        if self.ledger.listing() != Listing::Complete || !self.ledger.is_proven() {
            return Ok(());
        }
        // An earlier process listed the first pages, and the names were lost with it.
        if self.resumed && self.known()? && !self.list_again().await? {
            return Ok(());
        }
        let missing = self.missing()?;
        let mut confirmed = Confirmed::default();
        if !missing.unlisted.is_empty() || !missing.vanished.is_empty() {
            let ended = self.confirm(&missing, &mut confirmed).await?;
            if self.run.stop.is_cancelled() {
                return Ok(());
            }
            if ended == JobEnd::CutShort {
                let open = missing.unlisted.iter().filter(|name| !confirmed.found.contains(*name)).cloned().collect();
                return self.keep(&missing, open).await;
            }
        }
        let Confirmed { found, gone: not_found, owner } = confirmed;
        let is_present = |name: &TableName| !missing.missing_former.contains(name);
        // They exist, are not listed, and nobody wants them.
        let excluded: Vec<_> = found.iter().filter(|name| !self.run.filter.selects(name.as_str())).cloned().collect();
        let excluded_now: Vec<_> = excluded.iter().filter(|name| is_present(name)).cloned().collect();
        for (names, are_listed) in [(&missing.unselected, true), (&excluded_now, false)] {
            let run = self.run.clone();
            let rule = move |name: &TableName| run.filter.verdict(name.as_str()).rule;
            self.change_each(names, move |changes, name| changes.unselected(name, rule(name), are_listed)).await?;
        }
        self.change_each(&missing.seen_again, ScopeChanges::seen_again).await?;
        let (mut gone, mut unknown, mut former) = (missing.vanished.clone(), Vec::new(), Vec::new());
        for name in &missing.unlisted {
            // An earlier process may have described some of them.
            if self.ledger.unlisted().contains(name) {
                continue;
            }
            match (not_found.contains(name), is_present(name)) {
                _ if found.contains(name) && is_present(name) => continue,
                (true, _) => gone.push(name.clone()),
                (false, true) => unknown.push(name.clone()),
                // Of a table that was no longer followed, nothing is missing.
                (false, false) => former.push(name.clone()),
            }
        }
        self.keep(&missing, former).await?;
        let settled = self.decide(&missing, gone, unknown, owner).await?;
        let unlisted: Vec<_> =
            self.ledger.unlisted().iter().chain(&excluded).chain(&missing.left_out).cloned().collect();
        if !unlisted.is_empty() {
            let message =
                "ListTables leaves them out, and DescribeTable finds them: there may be more that are not listed";
            self.ledger.note(naming("unlisted", message.to_owned(), &unlisted));
        }
        self.unsettled = !settled || !unlisted.is_empty();
        Ok(())
    }

    fn known(&self) -> Result<bool, StateError> {
        self.changes.as_ref().map_or(Ok(false), |changes| changes.is_known(&self.scope))
    }

    fn missing(&self) -> Result<Missing, StateError> {
        self.changes.as_ref().map_or_else(|| Ok(Missing::default()), |changes| changes.missing(&self.scope))
    }

    /// Has a worker list all names again. Returns whether it reached the last page.
    async fn list_again(&mut self) -> Result<bool, ScopeError> {
        let mut complete = false;
        let watch = |what: &What| {
            if let What::PageListed(page) = what {
                complete = page.next.is_none();
            }
        };
        let account_id = self.scope.account_id.clone();
        let ended = self.job(self.key(Step::Confirm), account_id, Work::ListAgain, watch).await?;
        Ok(complete && ended == JobEnd::Finished && !self.run.stop.is_cancelled())
    }

    /// Has a worker describe the tables that were not listed.
    async fn confirm(&mut self, missing: &Missing, confirmed: &mut Confirmed) -> Result<JobEnd, ScopeError> {
        let described = self.ledger.unlisted();
        let candidates = Candidates {
            tables: missing.unlisted.iter().filter(|name| !described.contains(*name)).cloned().collect(),
            others_vanished: !missing.vanished.is_empty(),
            witness: self.ledger.witness().cloned(),
            foreign_arns: self.ledger.has_foreign_arns(),
        };
        let account_id = self.scope.account_id.clone();
        let work = Work::Confirm(candidates);
        self.job(self.key(Step::Confirm), account_id, work, |what| confirmed.watch(what)).await
    }

    /// Decides about deleted tables, and about tables of which it is unknown. Returns whether all
    /// are settled.
    async fn decide(
        &mut self,
        missing: &Missing,
        gone: Vec<TableName>,
        unknown: Vec<TableName>,
        owner: Owner,
    ) -> Result<bool, ScopeError> {
        let Some(changes) = &self.changes else { return Ok(true) };
        let fail_safe = changes.settings().fail_safe;
        let accepted = changes.accepts(&self.scope);
        let doubt = match owner {
            Owner::Same => None,
            Owner::Doubtful(why) => Some(why),
            Owner::Unchecked => Some("it was not checked afterwards whose credentials these are".to_owned()),
        };
        let mut stay = unknown.clone();
        let mut held = 0;
        let (former, present): (Vec<_>, Vec<_>) =
            gone.into_iter().partition(|name| missing.missing_former.contains(name));
        for (group, gone, is_present) in [(&missing.present, present, true), (&missing.former, former, false)] {
            let going = group.removed_before + gone.len() as u64;
            let (holds, what) = match is_present {
                true => (fail_safe.holds(group.known, going), "known tables"),
                false => {
                    // What is a fault for the others is one for these.
                    let holds = held > 0 || fail_safe.holds_former(group.known, going);
                    (holds, "tables that the filters exclude or that were retired")
                }
            };
            if gone.is_empty() {
                continue;
            } else if let Some(why) = &doubt {
                let message = format!("DescribeTable does not find them, but {why}; they stay");
                self.ledger.note(naming("removal_unconfirmed", message, &gone));
                stay.extend(gone);
            } else if !accepted && holds {
                held += gone.len() as u64;
                self.ledger.note(held_back(self, &format!("{} {what}", group.known), &gone));
                stay.extend(gone);
            } else {
                self.change_each(&gone, ScopeChanges::removed).await?;
            }
        }
        self.ledger.hold(held);
        if !unknown.is_empty() {
            let message = "no longer listed, and DescribeTable does not show whether they were deleted; they stay";
            self.ledger.note(naming("removal_unconfirmed", message.to_owned(), &unknown));
        }
        let settled = stay.is_empty();
        self.keep(missing, stay).await?;
        Ok(settled)
    }

    /// Fixes the time at which tables were last seen, except where the run already has a newer row.
    async fn keep(&mut self, missing: &Missing, mut names: Vec<TableName>) -> Result<(), ScopeError> {
        names.retain(|name| !missing.reported.contains(name) && !self.ledger.unlisted().contains(name));
        self.change_each(&names, ScopeChanges::kept).await
    }

    /// Hands on what changes about each table.
    async fn change_each(
        &mut self,
        names: &[TableName],
        find: impl Fn(&ScopeChanges, &TableName) -> Result<Option<DetectedChange>, StateError>,
    ) -> Result<(), ScopeError> {
        for name in names {
            let change = self.changes.as_ref().map(|changes| find(changes, name)).transpose()?.flatten();
            self.changed(change).await?;
        }
        Ok(())
    }
}

fn held_back(scope: &ScopeRun, of: &str, gone: &[TableName]) -> Problem {
    let account = scope.scope.account_id.as_ref().map(ToString::to_string).unwrap_or_default();
    let message = format!(
        "AWS no longer lists {} of {of}. So many at once suggests a fault, so dynacrawl keeps them; \
         if they were deleted, accept it with --accept-removals {account}/{}",
        gone.len(),
        scope.scope.region
    );
    naming("removals_held", message, gone)
}

fn naming(code: &str, message: String, names: &[TableName]) -> Problem {
    let table_names = names.iter().take(MAX_NAMED_TABLES).map(|name| name.as_str().to_owned()).collect();
    Problem { table_count: names.len() as u64, table_names, ..Problem::new(code, message) }
}
