//! The settings of an object store.

use std::path::{Component, Path as FilePath, PathBuf};

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
    /// The place as text.
    pub(crate) fn stored_at(&self) -> String {
        let of = match &self.location {
            StoreLocation::Local { directory } => format!("file {}", directory.display()),
            StoreLocation::S3(s3) => format!("s3 {} {:?}", s3.bucket, s3.endpoint),
            StoreLocation::Gcs { bucket, endpoint, .. } => format!("gcs {bucket} {endpoint:?}"),
            StoreLocation::Azure { account, container, endpoint, .. } => {
                format!("azure {account} {container} {endpoint:?}")
            }
        };
        format!("{of} {} {:?}", self.prefix, self.format)
    }

    /// Whether files of one could be taken for files of the other: one place is in the other.
    pub fn overlaps(&self, other: &Self) -> bool {
        let bucket = |of: &Self| match &of.location {
            StoreLocation::Local { .. } => (0, String::new(), None),
            StoreLocation::S3(s3) => {
                (1, s3.bucket.clone(), s3.endpoint.as_deref().map(|endpoint| endpoint.trim_end_matches('/').to_owned()))
            }
            StoreLocation::Gcs { bucket, endpoint, .. } => (2, bucket.clone(), endpoint.clone()),
            StoreLocation::Azure { account, container, endpoint, .. } => {
                (3, format!("{account}/{container}"), endpoint.clone())
            }
        };
        let path = |of: &Self| match &of.location {
            StoreLocation::Local { directory } => plain(directory),
            _ => PathBuf::from(of.prefix.to_string()),
        };
        let (one, two) = (path(self), path(other));
        bucket(self) == bucket(other) && (one.starts_with(&two) || two.starts_with(&one))
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

/// A path without `.`, `..` and slashes at its end.
fn plain(path: &FilePath) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(plain.pop()),
            Component::CurDir => {}
            other => plain.push(other),
        }
    }
    plain
}

impl From<object_store::Error> for DeliveryError {
    /// With its causes: the store's own text says only which request failed.
    fn from(error: object_store::Error) -> Self {
        Self::new(with_causes(&error))
    }
}
