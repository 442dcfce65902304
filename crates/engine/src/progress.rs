//! The progress of a run, as counters that can be read at any time.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::mpsc::WeakSender;

use super::event::{ScopeEvent, What};
use super::run_event::RunEvent;
use super::step::Step;

/// Counters of a run under way.
#[derive(Debug, Default)]
pub struct Progress {
    scopes_planned: AtomicU64,
    scopes_ended: AtomicU64,
    listed: AtomicU64,
    described: AtomicU64,
    failed: AtomicU64,
    records: OnceLock<WeakSender<RunEvent>>,
}

/// The counters at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProgressNow {
    /// Scopes that the run has planned.
    pub scopes_planned: u64,
    /// Scopes that ended, with any outcome.
    pub scopes_ended: u64,
    /// Names that ListTables returned.
    pub listed: u64,
    /// Tables described.
    pub described: u64,
    /// Tables that could not be described.
    pub failed: u64,
    /// Records that wait for the output.
    pub queued: u64,
}

impl Progress {
    pub(crate) fn planned(&self, scopes: u64) {
        self.scopes_planned.fetch_add(scopes, Ordering::Relaxed);
    }

    pub(crate) fn scope_ended(&self) {
        self.scopes_ended.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts an event.
    pub(crate) fn apply(&self, event: &ScopeEvent) {
        match &event.what {
            What::PageListed(page) if event.key.step != Step::Confirm => {
                self.listed.fetch_add((page.selected.len() + page.unselected.len()) as u64, Ordering::Relaxed);
            }
            What::TableDescribed(_) => _ = self.described.fetch_add(1, Ordering::Relaxed),
            What::TableFailed(_) if event.key.step != Step::Confirm => {
                self.failed.fetch_add(1, Ordering::Relaxed);
            }
            _ => {}
        }
    }

    /// Watches the queue of records to the output.
    pub(crate) fn queue(&self, records: WeakSender<RunEvent>) {
        // A run has only one queue.
        let _ = self.records.set(records);
    }

    /// The counters now.
    pub fn now(&self) -> ProgressNow {
        let records = self.records.get().and_then(WeakSender::upgrade);
        ProgressNow {
            scopes_planned: self.scopes_planned.load(Ordering::Relaxed),
            scopes_ended: self.scopes_ended.load(Ordering::Relaxed),
            listed: self.listed.load(Ordering::Relaxed),
            described: self.described.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            queued: records.map_or(0, |records| (records.max_capacity() - records.capacity()) as u64),
        }
    }
}
