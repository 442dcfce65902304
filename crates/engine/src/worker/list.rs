//! The first half of a scope's crawl: ListTables to the last page.

use dynacrawl_model::TableName;
use dynacrawl_walker::Listing;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{ScopeWorker, Unread};
use crate::checkpoint::Cursor;
use crate::event::{PageListed, What};
use crate::stop_reason::StopReason;

/// How many listed pages may be unfinished. The limit keeps thousands of names from waiting behind
/// one table that hangs.
const OPEN_PAGES: usize = 8;

impl ScopeWorker<'_> {
    /// Lists to the last page, and hands on the selected names.
    pub(super) async fn walk(&self, names: mpsc::Sender<TableName>, walking: &CancellationToken) -> Result<(), Unread> {
        let client = self.client();
        let cursor = self.view().ledger.cursor().clone();
        let mut listing = match cursor {
            Cursor::Start => Listing::new(client, None),
            Cursor::After(name) => Listing::new(client, Some(name)),
            Cursor::End => return Ok(()),
        };
        loop {
            let page = tokio::select! {
                biased;
                () = walking.cancelled() => return Ok(()),
                page = async {
                    self.room_for_a_page().await;
                    listing.next_page().await
                } => page,
            };
            match page {
                None => return Ok(()),
                Some(Ok(page)) => {
                    self.connection.accept();
                    self.select(page, listing.next_start(), &names).await?;
                }
                Some(Err(failed)) => {
                    let reason = StopReason::by_call(&failed);
                    let region = &self.job.key.region;
                    self.stop(self.connection.not_enabled_or_refused(region, &failed.error, reason).await);
                }
            }
        }
    }

    /// Emits a page, and hands on the names to describe. They count even if nothing receives them
    /// any more.
    async fn select(
        &self,
        page: Vec<TableName>,
        next: Option<&TableName>,
        names: &mpsc::Sender<TableName>,
    ) -> Result<(), Unread> {
        let page = self.page(page, next);
        let open: Vec<_> = if self.settings.dry_run {
            Vec::new()
        } else {
            let view = self.view();
            page.selected.iter().filter(|name| !view.ledger.is_done(name)).cloned().collect()
        };
        self.view().handed_on += open.len() as u64;
        // The page has to come before the first of its tables.
        self.emit(What::PageListed(page)).await?;
        for name in open {
            if names.send(name).await.is_err() {
                break;
            }
        }
        Ok(())
    }

    /// A page, divided by the filters.
    pub(super) fn page(&self, page: Vec<TableName>, next: Option<&TableName>) -> PageListed {
        let filter = &self.settings.filter;
        let (selected, unselected) = page.into_iter().partition(|name| filter.selects(name.as_str()));
        PageListed { selected, unselected, next: next.cloned(), pace: self.client().pace() }
    }

    /// Waits until few enough pages are open to list another.
    async fn room_for_a_page(&self) {
        loop {
            let mut settled = std::pin::pin!(self.settled.notified());
            settled.as_mut().enable();
            if !self.is_full() {
                return;
            }
            self.full.notify_one();
            settled.await;
        }
    }

    fn is_full(&self) -> bool {
        let mut view = self.view();
        view.is_full = view.ledger.open_pages() >= OPEN_PAGES;
        view.is_full
    }

    /// Whether the walker waits for room although all tables that it has handed on have a result.
    /// `results` is how many have one.
    pub(super) fn is_starved(&self, results: u64) -> bool {
        let view = self.view();
        view.is_full && view.handed_on == results
    }
}
