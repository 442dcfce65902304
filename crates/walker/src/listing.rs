//! ListTables, page by page.

use dynacrawl_client::{CallError, ScopeClient};
use dynacrawl_model::TableName;

/// A walk through all pages of ListTables. An error ends it; [`Listing::is_complete`] tells an end from a failure.
#[derive(Debug)]
pub struct Listing<'a> {
    client: &'a ScopeClient,
    state: State,
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
        Self { client, state: State::Next(start) }
    }

    /// A walk that is over: another process came to the last page.
    pub fn over(client: &'a ScopeClient) -> Self {
        Self { client, state: State::Complete }
    }

    /// After which name the next page begins, where there is one and it is not the first.
    pub fn next_start(&self) -> Option<&TableName> {
        match &self.state {
            State::Next(start) => start.as_ref(),
            State::Complete | State::Failed => None,
        }
    }

    /// The next page; `None` after the last one and after an error. A page may be empty.
    ///
    /// # Errors
    /// When the page did not come. What came before it stays valid.
    pub async fn next_page(&mut self) -> Option<Result<Vec<TableName>, CallError>> {
        let State::Next(start) = &self.state else { return None };
        match self.client.list_tables(start.as_ref()).await {
            Ok(page) => {
                self.state = page.next.map_or(State::Complete, |next| State::Next(Some(next)));
                Some(Ok(page.names))
            }
            Err(error) => {
                self.state = State::Failed;
                Some(Err(error))
            }
        }
    }

    /// Whether the last page came.
    pub fn is_complete(&self) -> bool {
        matches!(self.state, State::Complete)
    }
}
