//! The settings of an object store.

use std::path::PathBuf;

use object_store::ObjectStore;
use object_store::path::Path;

use super::data_set::ObjectFormat;
use super::location::StoreLocation;
use crate::causes::with_causes;
use crate::sink::DeliveryError;

/// Where snapshots go, and in which form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectStoreSettings {
    /// The store.
    pub location: StoreLocation,
    /// The first part of all paths; empty: none.
    pub prefix: ObjectPrefix,
    /// The form of the files.
    pub format: ObjectFormat,
    /// How many snapshots are kept; 0: all.
    pub keep_runs: usize,
    /// A PEM file of the certificate authorities to trust instead of the system's.
    pub ca_bundle: Option<PathBuf>,
}

/// The first part of all paths in a store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObjectPrefix(Path);

/// Why a text cannot be the first part of a path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not a path in an object store: {0}")]
pub struct ObjectPrefixError(String);

impl std::fmt::Display for ObjectPrefix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::str::FromStr for ObjectPrefix {
    type Err = ObjectPrefixError;

    fn from_str(text: &str) -> Result<Self, ObjectPrefixError> {
        Path::parse(text).map(Self).map_err(|error| ObjectPrefixError(error.to_string()))
    }
}

impl ObjectStoreSettings {
    /// Whether snapshots of both would have the same paths.
    pub fn is_same_place(&self, other: &Self) -> bool {
        let bucket = |of: &Self| match &of.location {
            StoreLocation::Local { directory } => (0, directory.display().to_string(), None),
            StoreLocation::S3(s3) => (1, s3.bucket.clone(), s3.endpoint.clone()),
            StoreLocation::Gcs { bucket, endpoint, .. } => (2, bucket.clone(), endpoint.clone()),
            StoreLocation::Azure { account, container, endpoint, .. } => {
                (3, format!("{account}/{container}"), endpoint.clone())
            }
        };
        bucket(self) == bucket(other) && self.prefix == other.prefix
    }

    /// A client of the store. Each snapshot has its own, so that secrets can be renewed.
    pub(super) fn open(&self) -> Result<Box<dyn ObjectStore>, DeliveryError> {
        Ok(self.location.open(self.ca_bundle.as_deref())?)
    }

    /// A path below the prefix.
    pub(super) fn at(&self, relative: &str) -> Path {
        let below = Path::from(relative);
        self.prefix.0.parts().chain(below.parts()).collect()
    }
}

impl From<object_store::Error> for DeliveryError {
    /// With its causes: the store's own text says only which request failed.
    fn from(error: object_store::Error) -> Self {
        Self::new(with_causes(&error))
    }
}
