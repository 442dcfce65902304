//! Events that a destination permanently refused.

use std::io::Write;
use std::path::PathBuf;

use dynacrawl_model::Timestamp;
use serde_json::json;

use crate::lines::Lines;
use crate::sink::{Event, Refusal};

/// Appends refused events to a file, with the reasons. They are stored durably when this returns.
pub(crate) async fn keep(path: PathBuf, sink: String, refused: Vec<(Event, Refusal)>) -> std::io::Result<()> {
    let writing = move || {
        let mut lines = Vec::new();
        for (event, refusal) in &refused {
            let line = json!({
                "at": Timestamp::now(), "sink": sink, "reason": refusal.reason, "event_id": event.id,
                "record": event.record, "table": event.table,
            });
            writeln!(lines, "{line}")?;
        }
        Lines { path: &path, begin: b"{\"at\":", mode: 0o600 }.append(&lines, |_| None)
    };
    tokio::task::spawn_blocking(writing).await.unwrap_or_else(|error| Err(std::io::Error::other(error)))
}
