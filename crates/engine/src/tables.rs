//! The tables of one scope: what was listed, what became of each, and where a later process would continue.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};

use dynacrawl_fetcher::FailedTable;
use dynacrawl_model::{ChangeCounts, Counts, FailureReason, MAX_NAMED_TABLES, Operation, Problem, Requests, TableName};
use foldhash::fast::RandomState;

use super::checkpoint::{Checkpoint, Cursor, Failures};
use super::step::Step;

/// The most tables of a scope that wait for its last pass. If more fail, they fail at once: the
/// fault is no longer a passing one, and tables that wait take memory.
pub(crate) const MAX_DEFERRED: usize = 1000;

/// The tables of a scope.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    counts: Counts,
    changes: ChangeCounts,
    cursor: Cursor,
    /// The pages after the cursor. The first one has open tables.
    pages: VecDeque<Page>,
    /// The number of the first page.
    first: u64,
    listed_a_page: bool,
    /// Selected tables that have not ended, and the number of their page.
    open: HashMap<TableName, u64, RandomState>,
    deferred: BTreeMap<TableName, FailedTable>,
    failures: BTreeMap<(FailureReason, String), Failures>,
    /// Tables after the cursor that an earlier process has finished. They will be listed again.
    done_before: HashSet<TableName, RandomState>,
    /// Tables that were described although the listing left them out.
    unlisted: BTreeSet<TableName>,
}

#[derive(Debug)]
struct Page {
    next: Option<TableName>,
    listed: u64,
    selected: u64,
    open: u64,
    /// The tables that have ended or are deferred.
    done: Vec<TableName>,
}

impl Tables {
    /// Continues at a checkpoint.
    pub(crate) fn resumed(checkpoint: Checkpoint) -> Self {
        let Checkpoint { cursor, counts, listed_a_page, changes, done, deferred, failures, unlisted, .. } = checkpoint;
        Self {
            counts,
            changes,
            cursor,
            listed_a_page,
            unlisted,
            done_before: done.into_iter().collect(),
            deferred: deferred.into_iter().map(|failed| (failed.name.clone(), failed)).collect(),
            failures: failures.into_iter().map(|(reason, code, failures)| ((reason, code), failures)).collect(),
            ..Self::default()
        }
    }

    /// Where a later process or step would continue.
    pub(crate) fn checkpoint(&self, step: Step, requests: Requests) -> Checkpoint {
        let mut counts = self.counts;
        for page in &self.pages {
            counts.listed -= page.listed;
            counts.selected -= page.selected;
            counts.unselected -= page.listed - page.selected;
        }
        let failures = self.failures.iter().map(|((reason, code), failed)| (*reason, code.clone(), failed.clone()));
        Checkpoint {
            cursor: self.cursor.clone(),
            counts,
            listed_a_page: self.listed_a_page,
            changes: self.changes,
            done: self.pages.iter().flat_map(|page| &page.done).chain(&self.done_before).cloned().collect(),
            deferred: self.deferred.values().cloned().collect(),
            failures: failures.collect(),
            unlisted: self.unlisted.clone(),
            requests,
            step,
        }
    }

    /// Whether an earlier process or step has finished a table that will be listed again.
    pub(crate) fn is_done(&self, name: &TableName) -> bool {
        !self.done_before.is_empty() && self.done_before.contains(name)
    }

    /// Adds a page of the listing.
    pub(crate) fn page(&mut self, unselected: u64, selected: &[TableName], next: Option<&TableName>) {
        self.listed_a_page = true;
        let number = self.first + self.pages.len() as u64;
        let (done, fresh): (Vec<_>, Vec<_>) = selected.iter().cloned().partition(|name| self.is_done(name));
        done.iter().for_each(|name| _ = self.done_before.remove(name));
        let selected = selected.len() as u64;
        let mut page =
            Page { next: next.cloned(), listed: selected + unselected, selected, open: fresh.len() as u64, done };
        if next.is_none() {
            // These were deleted meanwhile: an earlier process listed them, and emitted their
            // results.
            let gone = self.done_before.drain().count() as u64;
            page.listed += gone;
            page.selected += gone;
        }
        self.counts.listed += page.listed;
        self.counts.selected += page.selected;
        self.counts.unselected += unselected;
        self.open.extend(fresh.into_iter().map(|name| (name, number)));
        self.pages.push_back(page);
        self.advance();
    }

    /// Adds a page of a dry run, which describes no tables.
    pub(crate) fn page_of_a_dry_run(&mut self, unselected: u64, selected: u64) {
        self.listed_a_page = true;
        self.counts.listed += unselected + selected;
        self.counts.unselected += unselected;
        self.counts.selected += selected;
    }

    /// Adds a described table. `false` if it was not expected.
    pub(crate) fn described(&mut self, name: &TableName) -> bool {
        let closed = self.close(name);
        self.counts.described += u64::from(closed);
        closed
    }

    /// Adds a described table that the listing left out.
    pub(crate) fn described_unlisted(&mut self, name: &TableName) {
        if self.unlisted.insert(name.clone()) {
            self.counts.unlisted += 1;
            self.counts.described += 1;
        }
    }

    /// The tables that were described although the listing left them out.
    pub(crate) fn unlisted(&self) -> &BTreeSet<TableName> {
        &self.unlisted
    }

    /// Adds a table that failed and is not tried again.
    pub(crate) fn failed(&mut self, failed: &FailedTable) {
        if !self.close(&failed.name) {
            return;
        }
        self.counts.fail(failed.reason);
        let failures = self.failures.entry((failed.reason, failed.code.clone())).or_default();
        if failures.count == 0 {
            failures.message.clone_from(&failed.message);
        }
        failures.count += 1;
        if failures.names.len() < MAX_NAMED_TABLES {
            failures.names.push(failed.name.as_str().to_owned());
        }
    }

    /// Adds a table that failed and waits for the last pass.
    pub(crate) fn defer(&mut self, failed: FailedTable) {
        if self.close(&failed.name) {
            self.deferred.insert(failed.name.clone(), failed);
        }
    }

    /// The tables that wait for the last pass.
    pub(crate) fn deferred(&self) -> &BTreeMap<TableName, FailedTable> {
        &self.deferred
    }

    /// Whether a table was listed or deferred, and has not ended.
    pub(crate) fn awaits(&self, name: &TableName) -> bool {
        self.open.contains_key(name) || self.deferred.contains_key(name)
    }

    /// Takes a table from the open or deferred ones. `false` if it is not among them.
    fn close(&mut self, name: &TableName) -> bool {
        let Some((name, number)) = self.open.remove_entry(name) else {
            return self.deferred.remove(name).is_some();
        };
        let at = number.checked_sub(self.first).and_then(|at| usize::try_from(at).ok());
        if let Some(page) = at.and_then(|at| self.pages.get_mut(at)) {
            page.open -= 1;
            page.done.push(name);
        }
        self.advance();
        true
    }

    fn advance(&mut self) {
        while let Some(page) = self.pages.pop_front_if(|page| page.open == 0) {
            self.first += 1;
            self.cursor = page.next.map_or(Cursor::End, Cursor::After);
        }
    }

    /// What changed.
    pub(crate) fn changes_mut(&mut self) -> &mut ChangeCounts {
        &mut self.changes
    }

    /// What changed.
    pub(crate) fn changes(&self) -> ChangeCounts {
        self.changes
    }

    /// How many pages are not finished.
    pub(crate) fn open_pages(&self) -> usize {
        self.pages.len()
    }

    /// Where the listing continues.
    pub(crate) fn cursor(&self) -> &Cursor {
        &self.cursor
    }

    /// Whether ListTables returned at least one page.
    pub(crate) fn listed_a_page(&self) -> bool {
        self.listed_a_page
    }

    /// The counts at the end. A table without a result counts as not attempted.
    pub(crate) fn counts(&self) -> Counts {
        let Counts { selected, unlisted, described, denied, throttled, vanished, failed, .. } = self.counts;
        let ended = described + denied + throttled + vanished + failed;
        // An earlier process listed and selected the tables that it finished, whether or not they
        // have been listed again.
        let before = self.done_before.len() as u64;
        let (listed, selected) = (self.counts.listed + before, selected + before);
        Counts { listed, selected, not_attempted: (selected + unlisted).saturating_sub(ended), ..self.counts }
    }

    /// What is missing, and why.
    pub(crate) fn problems(&self) -> Vec<Problem> {
        let failed = self.failures.iter().filter(|((reason, _), _)| *reason != FailureReason::Vanished);
        let mut problems: Vec<_> = failed
            .map(|((_, code), failures)| {
                let mut table_names = failures.names.clone();
                table_names.sort_unstable();
                Problem {
                    code: code.clone(),
                    message: failures.message.clone(),
                    operation: Some(Operation::DescribeTable),
                    table_count: failures.count,
                    table_names,
                }
            })
            .collect();
        let mut missed: Vec<_> = self.open.keys().chain(self.deferred.keys()).map(TableName::as_str).collect();
        if !missed.is_empty() {
            missed.sort_unstable();
            problems.push(Problem {
                table_count: missed.len() as u64,
                table_names: missed.into_iter().take(MAX_NAMED_TABLES).map(str::to_owned).collect(),
                ..Problem::new("not_attempted", "these tables were listed and not described")
            });
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use dynacrawl_fetcher::FailedTable;
    use dynacrawl_model::{FailureReason, Requests, TableName};

    use super::{Checkpoint, Cursor, Step, Tables};

    fn name(number: usize) -> TableName {
        TableName::from(format!("t{number:03}"))
    }

    fn names(range: std::ops::Range<usize>) -> Vec<TableName> {
        range.map(name).collect()
    }

    fn failed(number: usize) -> FailedTable {
        FailedTable {
            name: name(number),
            reason: FailureReason::Throttled,
            code: "ThrottlingException".to_owned(),
            message: "slow down".to_owned(),
            attempts: 3,
            may_pass: true,
        }
    }

    /// Lists a page. Returns the tables that are to be described.
    fn list(tables: &mut Tables, unselected: u64, selected: &[TableName], next: Option<&TableName>) -> Vec<TableName> {
        let open = selected.iter().filter(|name| !tables.is_done(name)).cloned().collect();
        tables.page(unselected, selected, next);
        open
    }

    /// A checkpoint as it comes back from the state.
    fn stored(tables: &Tables) -> Checkpoint {
        let text = serde_json::to_string(&tables.checkpoint(Step::Crawl, Requests::default())).expect("JSON");
        serde_json::from_str(&text).expect("a checkpoint")
    }

    #[test]
    fn the_cursor_stands_before_the_first_open_table() {
        let mut tables = Tables::default();
        assert_eq!(list(&mut tables, 5, &names(0..2), Some(&name(1))), names(0..2));
        list(&mut tables, 0, &names(2..4), Some(&name(3)));
        list(&mut tables, 1, &names(4..5), None);
        for number in [1, 2, 3] {
            assert!(tables.described(&name(number)));
        }
        assert_eq!(*tables.cursor(), Cursor::Start);
        tables.described(&name(0));
        assert_eq!(*tables.cursor(), Cursor::After(name(3)));
        tables.described(&name(4));
        assert_eq!(*tables.cursor(), Cursor::End);
        let counts = tables.counts();
        assert_eq!((counts.listed, counts.unselected, counts.described), (11, 6, 5));
        assert!(counts.add_up());
    }

    #[test]
    fn a_later_process_describes_what_is_open_and_nothing_twice() {
        let mut before = Tables::default();
        list(&mut before, 0, &names(0..2), Some(&name(1)));
        list(&mut before, 3, &names(2..6), Some(&name(5)));
        for number in [0, 1, 3] {
            before.described(&name(number));
        }
        before.defer(failed(4));
        let checkpoint = stored(&before);
        assert_eq!(checkpoint.cursor, Cursor::After(name(1)));
        assert_eq!((checkpoint.counts.listed, checkpoint.counts.selected, checkpoint.counts.described), (2, 2, 3));

        let mut after = Tables::resumed(checkpoint);
        assert_eq!(list(&mut after, 3, &names(2..6), None), [name(2), name(5)]);
        assert_eq!(stored(&after).done.len(), 2);
        after.described(&name(2));
        after.described(&name(5));
        assert_eq!(*after.cursor(), Cursor::End);
        assert_eq!(after.deferred().len(), 1);
        after.described(&name(4));
        let counts = after.counts();
        assert_eq!((counts.listed, counts.selected, counts.described, counts.not_attempted), (9, 6, 6, 0));
        assert!(counts.add_up());
    }

    #[test]
    fn counts_add_up_if_a_described_table_was_deleted() {
        let mut before = Tables::default();
        list(&mut before, 0, &names(0..3), None);
        before.described(&name(1));
        before.described(&name(2));
        let mut after = Tables::resumed(stored(&before));
        // The second table was deleted.
        assert_eq!(list(&mut after, 0, &[name(0), name(2)], None), [name(0)]);
        after.described(&name(0));
        let counts = after.counts();
        assert_eq!((counts.listed, counts.described, counts.not_attempted), (3, 3, 0));
        assert!(counts.add_up());
        assert_eq!(*after.cursor(), Cursor::End);
    }

    #[test]
    fn a_later_process_that_lists_nothing_has_counts_that_add_up() {
        let mut before = Tables::default();
        list(&mut before, 1, &names(0..3), None);
        before.described(&name(1));
        before.defer(failed(2));
        let counts = Tables::resumed(stored(&before)).counts();
        assert_eq!((counts.listed, counts.selected, counts.described, counts.not_attempted), (2, 2, 1, 1));
        assert!(counts.add_up());
    }

    #[test]
    fn a_table_that_the_listing_left_out_has_a_count_of_its_own() {
        let mut before = Tables::default();
        list(&mut before, 0, &names(0..2), None);
        before.described(&name(0));
        before.described(&name(1));
        before.described_unlisted(&name(7));
        let mut after = Tables::resumed(stored(&before));
        after.described_unlisted(&name(7));
        let counts = after.counts();
        assert_eq!((counts.listed, counts.unlisted, counts.described, counts.not_attempted), (2, 1, 3, 0));
        assert!(counts.add_up() && after.unlisted().contains(&name(7)));
    }

    #[test]
    fn failures_of_an_earlier_process_are_named_at_the_end() {
        let mut before = Tables::default();
        list(&mut before, 0, &names(0..2), None);
        before.failed(&failed(0));
        let mut after = Tables::resumed(stored(&before));
        assert_eq!(list(&mut after, 0, &names(0..2), None), [name(1)]);
        after.described(&name(1));
        let problems = after.problems();
        assert_eq!((problems.len(), problems[0].table_count, problems[0].table_names[0].as_str()), (1, 1, "t000"));
        assert!(after.counts().add_up());
    }
}
