//! ListTables, page by page.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

use dynacrawl_client::{AwsError, CallError, ErrorClass, Page, ScopeClient};
use dynacrawl_model::{Operation, TableName};

/// How many pages in a row may name no new table without being the last. DynamoDB sends none; a listing that turns in a circle
/// sends nothing else.
const BARREN_PAGES: u32 = 4;

/// A walk through all pages of ListTables. An error ends it; [`Listing::is_complete`] tells an end from a failure.
#[derive(Debug)]
pub struct Listing<'a> {
    client: &'a ScopeClient,
    state: State,
    seen: Seen,
}

/// What earlier pages named.
#[derive(Debug, Default)]
struct Seen {
    /// Hashes of the names: a scope may have many, and each of them is kept once already by whoever describes it.
    names: HashSet<u64>,
    hasher: RandomState,
    /// Pages in a row that named nothing new.
    barren: u32,
}

#[derive(Debug)]
enum State {
    /// The next page begins after this name; at the first one where there is none.
    Next(Option<TableName>),
    /// The last page came.
    Complete,
    /// A page did not come.
    Failed,
}

impl<'a> Listing<'a> {
    /// A walk that begins after `start`, or at the first table. Nothing is called yet.
    pub fn new(client: &'a ScopeClient, start: Option<TableName>) -> Self {
        Self { client, state: State::Next(start), seen: Seen::default() }
    }

    /// After which name the next page begins, where there is one and it is not the first.
    pub fn next_start(&self) -> Option<&TableName> {
        match &self.state {
            State::Next(start) => start.as_ref(),
            State::Complete | State::Failed => None,
        }
    }

    /// The names of the next page that no page before it had; `None` after the last one and after an error. There may be none.
    ///
    /// # Errors
    /// When the page did not come, or several pages in a row named no new table. What came before stays valid.
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

    /// Whether the last page came.
    pub fn is_complete(&self) -> bool {
        matches!(self.state, State::Complete)
    }
}

impl Seen {
    /// Leaves out what an earlier page named.
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
