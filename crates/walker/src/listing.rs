//! ListTables, page by page.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

use dynacrawl_client::{AwsError, CallError, ErrorClass, Page, ScopeClient};
use dynacrawl_model::{Operation, TableName};

/// A listing fails after this many pages in a row without a new table, unless the last page is
/// among them. DynamoDB sends none; a listing that loops sends nothing else.
const BARREN_PAGES: u32 = 4;

/// A walk through all pages of ListTables. An error ends it; [`Listing::is_complete`] distinguishes
/// the end from a failure.
#[derive(Debug)]
pub struct Listing<'a> {
    client: &'a ScopeClient,
    state: State,
    seen: Seen,
}

/// The names on earlier pages.
#[derive(Debug, Default)]
struct Seen {
    /// Hashes of the names: a scope may have many, and the code that describes the tables already
    /// keeps each name.
    names: HashSet<u64>,
    hasher: RandomState,
    /// Pages in a row without a new name.
    barren: u32,
}

#[derive(Debug)]
enum State {
    /// The next page begins after this name, or with the first table if there is none.
    Next(Option<TableName>),
    /// The last page was read.
    Complete,
    /// A page could not be read.
    Failed,
}

impl<'a> Listing<'a> {
    /// A walk that begins after `start`, or at the first table. Nothing is called yet.
    pub fn new(client: &'a ScopeClient, start: Option<TableName>) -> Self {
        Self { client, state: State::Next(start), seen: Seen::default() }
    }

    /// The name after which the next page begins; `None` for the first page and at the end.
    pub fn next_start(&self) -> Option<&TableName> {
        match &self.state {
            State::Next(start) => start.as_ref(),
            State::Complete | State::Failed => None,
        }
    }

    /// The names of the next page that were on no earlier page, possibly none; `None` after the
    /// last page and after an error.
    ///
    /// # Errors
    /// If the page cannot be read, or several pages in a row have no new table. Earlier pages stay
    /// valid.
    pub async fn next_page(&mut self) -> Option<Result<Vec<TableName>, CallError>> {
        let State::Next(start) = &self.state else { return None };
        let page = self.client.list_tables(start.as_ref()).await.and_then(|page| self.seen.take(page));
        Some(match page {
            Ok(page) => {
                self.state = page.next.map_or(State::Complete, |next| State::Next(Some(next)));
                Ok(page.names)
            }
            Err(error) => {
                self.state = State::Failed;
                Err(error)
            }
        })
    }

    /// Whether the last page was read.
    pub fn is_complete(&self) -> bool {
        matches!(self.state, State::Complete)
    }
}

impl Seen {
    /// Removes the names that were on an earlier page.
    fn take(&mut self, mut page: Page) -> Result<Page, CallError> {
        page.names.retain(|name| self.names.insert(self.hasher.hash_one(name.as_str())));
        let barren = page.names.is_empty() && page.next.is_some();
        self.barren = if barren { self.barren + 1 } else { 0 };
        if self.barren < BARREN_PAGES {
            return Ok(page);
        }
        let message = format!("{BARREN_PAGES} pages in a row named no new table, and none of them was the last one");
        let error = AwsError::new(ErrorClass::Other, "invalid_response", message);
        Err(CallError::new(Operation::ListTables, error, 1))
    }
}

#[cfg(test)]
mod tests {
    use dynacrawl_client::Page;
    use dynacrawl_model::TableName;

    use super::{BARREN_PAGES, Seen};

    fn page(names: &[&str], next: Option<&str>) -> Page {
        Page { names: names.iter().map(|name| TableName::from(*name)).collect(), next: next.map(TableName::from) }
    }

    #[test]
    fn a_name_counts_once_however_often_it_is_listed() {
        let mut seen = Seen::default();
        let first = seen.take(page(&["a", "b", "a"], Some("b"))).expect("a page");
        assert_eq!(first, page(&["a", "b"], Some("b")));
        // An inclusive start repeats the last name of the page before.
        let second = seen.take(page(&["b", "c"], None)).expect("a page");
        assert_eq!(second, page(&["c"], None));
    }

    #[test]
    fn pages_that_name_nothing_new_end_the_listing() {
        let mut seen = Seen::default();
        seen.take(page(&["a"], Some("a"))).expect("a page");
        for _ in 1..BARREN_PAGES {
            seen.take(page(&["a"], Some("b"))).expect("a few are allowed");
        }
        let failed = seen.take(page(&[], Some("c"))).expect_err("not without end");
        assert_eq!(failed.error.code, "invalid_response");
        let mut seen = Seen::default();
        for _ in 0..10 * BARREN_PAGES {
            seen.take(page(&[], None)).expect("the last page may be empty");
        }
    }
}
