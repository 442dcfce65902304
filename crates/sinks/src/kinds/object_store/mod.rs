//! The sink `object_store`: after each run the whole estate of its scopes, as files in a bucket or a
//! directory.
//!
//! ```text
//! PREFIX/tables/date=2026-01-31/run_id=01…/part-00000-5f0c2e91.jsonl.gz
//! PREFIX/indexes/…  PREFIX/key_attributes/…  PREFIX/scopes/…
//! PREFIX/_manifests/01….json
//! PREFIX/_manifest.json
//! ```
//!
//! `_manifest.json` is that of the newest snapshot, and is written last.

mod data_set;
mod location;
mod manifest;
mod settings;
mod writer;

use dynacrawl_model::RunId;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt};
use object_store::{ObjectStore, ObjectStoreExt};
use tokio::sync::mpsc;

pub use self::data_set::{JsonCompression, ObjectFormat};
pub use self::location::{S3Encryption, S3Location, StoreLocation};
pub use self::settings::{ObjectPrefix, ObjectPrefixError, ObjectStoreSettings};
use self::writer::Writer;
use crate::kind::{Destination, Kind};
use crate::secret::SecretRef;
use crate::sink::DeliveryError;
use crate::snapshot::{Piece, SnapshotEnd, SnapshotSink};

/// A bucket or a directory.
#[derive(Debug)]
pub(super) struct ObjectStoreSink {
    settings: ObjectStoreSettings,
}

impl ObjectStoreSink {
    /// A sink that has not opened its store.
    pub(super) fn new(settings: ObjectStoreSettings) -> Self {
        Self { settings }
    }

    async fn written(&self, run_id: RunId, pieces: &mut mpsc::Receiver<Piece>) -> Result<(), DeliveryError> {
        let store = self.settings.open()?;
        let mut writer = Writer::new(&self.settings, &*store, run_id)?;
        let end = match Self::pieces(&mut writer, pieces).await {
            Ok(end) => end,
            Err(error) => {
                writer.discard().await;
                return Err(error);
            }
        };
        writer.end(end).await
    }

    /// Writes the pieces up to the end of the snapshot.
    async fn pieces(writer: &mut Writer<'_>, pieces: &mut mpsc::Receiver<Piece>) -> Result<SnapshotEnd, DeliveryError> {
        while let Some(piece) = pieces.recv().await {
            match piece {
                Piece::Table(table) => writer.table(&table).await?,
                Piece::Scope(scope) => writer.scope(&scope).await?,
                Piece::TargetFailed(target) => writer.missing().target(*target),
                Piece::Unreadable => writer.missing().unreadable_table(),
                Piece::End(end) => return Ok(end),
            }
        }
        Err(DeliveryError::new("the snapshot was cut short, and is not in the store"))
    }

    /// Writes an object, lists, and deletes the object.
    async fn checked(&self) -> Result<(), DeliveryError> {
        let path = self.settings.at("_check");
        let store = self.settings.open()?;
        store.put(&path, "dynacrawl check\n".into()).await?;
        store.list(Some(&self.settings.at("_manifests"))).next().await.transpose()?;
        Ok(store.delete(&path).await?)
    }
}

impl Kind for ObjectStoreSettings {
    fn destination(&self) -> Destination {
        Destination::Snapshots(Box::new(ObjectStoreSink::new(self.clone())))
    }

    fn secrets(&self) -> Vec<(&'static str, &SecretRef)> {
        self.location.secrets()
    }

    fn place(&self) -> Option<String> {
        Some(self.stored_at())
    }
}

impl SnapshotSink for ObjectStoreSink {
    fn write<'a>(
        &'a mut self,
        run_id: RunId,
        pieces: &'a mut mpsc::Receiver<Piece>,
    ) -> BoxFuture<'a, Result<(), DeliveryError>> {
        self.written(run_id, pieces).boxed()
    }

    fn health(&mut self) -> BoxFuture<'_, Result<(), DeliveryError>> {
        self.checked().boxed()
    }
}
