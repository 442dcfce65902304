//! `[sink.NAME.object_store]`

use std::path::PathBuf;

use dynacrawl_model::Escaped;
use dynacrawl_sinks::{
    JsonCompression, ObjectFormat, ObjectPrefix, ObjectStoreSettings, S3Encryption, S3Location, StoreLocation,
};
use serde::Deserialize;

use super::aws_identity::RawIdentity;
use super::error::ConfigError;
use super::secret::Reference;
use super::values::{one_of, url};

/// `[sink.NAME.object_store]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawObjectStore {
    url: Option<String>,
    format: Option<String>,
    compression: Option<String>,
    keep_runs: Option<usize>,
    ca_bundle: Option<String>,
    s3: Option<RawS3>,
    gcs: Option<RawGcs>,
    azure: Option<RawAzure>,
}

/// `[sink.NAME.object_store.s3]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawS3 {
    region: Option<String>,
    endpoint: Option<String>,
    path_style: Option<bool>,
    profile: Option<String>,
    role_arn: Option<String>,
    external_id: Option<String>,
    access_key_id: Option<Reference>,
    secret_access_key: Option<Reference>,
    encryption: Option<String>,
    kms_key: Option<String>,
    bucket_key: Option<bool>,
}

/// `[sink.NAME.object_store.gcs]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawGcs {
    service_account: Option<String>,
    endpoint: Option<String>,
}

/// `[sink.NAME.object_store.azure]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAzure {
    account: Option<String>,
    access_key: Option<Reference>,
    endpoint: Option<String>,
}

const EXPECTED: &str =
    "expected the form s3://bucket/prefix, gs://bucket/prefix, az://container/prefix or file:///directory";

impl RawObjectStore {
    pub(super) fn validate(self, key: &impl Fn(&str) -> String) -> Result<Box<ObjectStoreSettings>, ConfigError> {
        let key = |field: &str| key(&format!("object_store.{field}"));
        let text = self.url.unwrap_or_default();
        let wrong = |problem: String| ConfigError::value(key("url"), problem);
        if text.is_empty() {
            return Err(wrong(format!("is missing; {EXPECTED}")));
        }
        let (scheme, rest) =
            text.split_once("://").ok_or_else(|| wrong(format!("'{}' is not a URL; {EXPECTED}", Escaped(&text))))?;
        let sections = [("s3", self.s3.is_some()), ("gcs", self.gcs.is_some()), ("azure", self.azure.is_some())];
        let own = match scheme {
            "s3" => "s3",
            "gs" => "gcs",
            "az" => "azure",
            _ => "",
        };
        if let Some((other, _)) = sections.into_iter().find(|(name, is_there)| *is_there && *name != own) {
            return Err(ConfigError::value(key(other), format!("does not belong to the URL {scheme}://…; remove it")));
        }
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        if scheme != "file" && (bucket.is_empty() || !bucket.chars().all(is_name)) {
            return Err(wrong(format!("'{}' is not the name of a bucket; {EXPECTED}", Escaped(bucket))));
        }
        let bucket = bucket.to_owned();
        let location = match scheme {
            "file" if rest.starts_with('/') => StoreLocation::Local { directory: PathBuf::from(rest) },
            "s3" => StoreLocation::S3(Box::new(self.s3.unwrap_or_default().validate(bucket, &key)?)),
            "gs" => {
                let gcs = self.gcs.unwrap_or_default();
                let service_account = gcs.service_account.filter(|path| !path.is_empty()).map(PathBuf::from);
                StoreLocation::Gcs { bucket, service_account, endpoint: url(&key("gcs.endpoint"), gcs.endpoint)? }
            }
            "az" => self.azure.unwrap_or_default().validate(bucket, &key)?,
            _ => return Err(wrong(format!("'{}' is not the URL of an object store; {EXPECTED}", Escaped(&text)))),
        };
        let prefix = if scheme == "file" { "" } else { prefix.trim_end_matches('/') };
        let prefix: ObjectPrefix = prefix.parse().map_err(|error| wrong(format!("'{}' {error}", Escaped(prefix))))?;
        Ok(Box::new(ObjectStoreSettings {
            location,
            prefix,
            format: format(self.format.as_deref(), self.compression.as_deref(), &key)?,
            keep_runs: self.keep_runs.unwrap_or_default(),
            ca_bundle: self.ca_bundle.filter(|path| !path.is_empty()).map(PathBuf::from),
        }))
    }
}

fn format(
    format: Option<&str>,
    compression: Option<&str>,
    key: &impl Fn(&str) -> String,
) -> Result<ObjectFormat, ConfigError> {
    match (format.unwrap_or("jsonl"), compression) {
        ("jsonl", compression) => Ok(ObjectFormat::JsonLines(match compression.unwrap_or("gzip") {
            "gzip" => JsonCompression::Gzip,
            "zstd" => JsonCompression::Zstd,
            "none" => JsonCompression::None,
            other => return Err(one_of(&key("compression"), other, &["gzip", "zstd", "none"])),
        })),
        ("parquet", Some(_)) => {
            Err(ConfigError::value(key("compression"), "concerns JSON lines; Parquet always has zstd; remove it"))
        }
        #[cfg(feature = "parquet")]
        ("parquet", None) => Ok(ObjectFormat::Parquet),
        #[cfg(not(feature = "parquet"))]
        ("parquet", None) => {
            let problem =
                "this dynacrawl was built without Parquet: build it with --features parquet, or use \"jsonl\"";
            Err(ConfigError::value(key("format"), problem))
        }
        (other, _) => Err(one_of(&key("format"), other, &["jsonl", "parquet"])),
    }
}

impl RawS3 {
    fn validate(self, bucket: String, key: &impl Fn(&str) -> String) -> Result<S3Location, ConfigError> {
        let key = |field: &str| key(&format!("s3.{field}"));
        let region = self.region.as_deref().filter(|region| !region.is_empty());
        let region =
            region.ok_or_else(|| ConfigError::value(key("region"), "is missing; expected the bucket's Region"))?;
        let region = region.parse().map_err(|error| ConfigError::value(key("region"), error))?;
        let endpoint = url(&key("endpoint"), self.endpoint)?;
        let identity = RawIdentity {
            profile: self.profile,
            role_arn: self.role_arn,
            external_id: self.external_id,
            access_key_id: self.access_key_id,
            secret_access_key: self.secret_access_key,
        };
        let identity = identity.validate(&key)?;
        let kms_key = self.kms_key.filter(|kms_key| !kms_key.is_empty());
        let needs_key = || ConfigError::value(key("kms_key"), "is missing; expected the key's ARN, id or alias");
        let encryption = match self.encryption.as_deref() {
            None | Some("") if kms_key.is_some() => {
                return Err(ConfigError::value(key("kms_key"), "needs encryption = \"kms\" or \"kms-dual\""));
            }
            None | Some("") => None,
            Some("s3") if kms_key.is_some() => {
                return Err(ConfigError::value(key("kms_key"), "needs encryption = \"kms\" or \"kms-dual\""));
            }
            Some("s3") => Some(S3Encryption::S3),
            Some("kms") => Some(S3Encryption::Kms {
                key: kms_key.ok_or_else(needs_key)?,
                bucket_key: self.bucket_key.unwrap_or_default(),
            }),
            Some("kms-dual") => Some(S3Encryption::KmsDual { key: kms_key.ok_or_else(needs_key)? }),
            Some(other) => return Err(one_of(&key("encryption"), other, &["s3", "kms", "kms-dual"])),
        };
        if self.bucket_key.is_some() && !matches!(encryption, Some(S3Encryption::Kms { .. })) {
            return Err(ConfigError::value(key("bucket_key"), "needs encryption = \"kms\""));
        }
        let path_style = self.path_style.unwrap_or(endpoint.is_some());
        Ok(S3Location { bucket, region, endpoint, path_style, identity, encryption })
    }
}

impl RawAzure {
    fn validate(self, container: String, key: &impl Fn(&str) -> String) -> Result<StoreLocation, ConfigError> {
        let key = |field: &str| key(&format!("azure.{field}"));
        let missing = || ConfigError::value(key("account"), "is missing; expected the name of the storage account");
        Ok(StoreLocation::Azure {
            account: self.account.filter(|account| !account.is_empty()).ok_or_else(missing)?,
            container,
            access_key: self.access_key.map(|raw| raw.validate(&key("access_key"))).transpose()?,
            endpoint: url(&key("endpoint"), self.endpoint)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use dynacrawl_sinks::{AwsIdentity, JsonCompression, ObjectFormat, S3Encryption, SinkKind, StoreLocation};

    use crate::config::Config;

    fn config(text: &str) -> Result<SinkKind, String> {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("test.toml");
        std::fs::write(&file, format!("[sink.lake.object_store]\n{text}")).expect("written");
        let error = |error: crate::config::ConfigError| error.to_string();
        let config = Config::check_file(&file)
            .map_err(error)
            .map_err(|error| error.split_once(": ").expect("a file").1.to_owned())?;
        Ok(config.run.sinks[0].sink.kind.clone())
    }

    #[test]
    fn a_bucket_has_defaults() {
        let kind = config("url = \"s3://lake/dynamodb/\"\ns3.region = \"eu-west-1\"\n").expect("valid");
        let SinkKind::ObjectStore(store) = kind else { panic!("an object store") };
        assert_eq!(store.format, ObjectFormat::JsonLines(JsonCompression::Gzip));
        assert_eq!((store.keep_runs, store.prefix.to_string()), (0, "dynamodb".to_owned()));
        let StoreLocation::S3(s3) = store.location else { panic!("S3") };
        assert_eq!((s3.bucket.as_str(), s3.path_style, s3.encryption), ("lake", false, None));
        assert_eq!(s3.identity, AwsIdentity::Ambient { profile: None, role: None });
        let kind = config(
            "url = \"s3://lake\"\ns3 = { region = \"eu-west-1\", endpoint = \"http://127.0.0.1:1\", encryption = \"kms\", \
             kms_key = \"alias/lake\" }\n",
        );
        let Ok(SinkKind::ObjectStore(store)) = kind else { panic!("an object store") };
        let StoreLocation::S3(s3) = store.location else { panic!("S3") };
        assert!(s3.path_style);
        assert_eq!(s3.encryption, Some(S3Encryption::Kms { key: "alias/lake".to_owned(), bucket_key: false }));
    }

    #[test]
    fn an_error_names_the_key_and_what_would_be_right() {
        let s3 = "url = \"s3://lake\"\ns3.region = \"eu-west-1\"\n";
        for (text, problem) in [
            ("", "sink.lake.object_store.url: is missing; expected the form s3://bucket/prefix"),
            ("url = \"lake\"\n", "sink.lake.object_store.url: 'lake' is not a URL"),
            ("url = \"ftp://lake\"\n", "sink.lake.object_store.url: 'ftp://lake' is not the URL of an object store"),
            ("url = \"file://lake\"\n", "sink.lake.object_store.url: 'file://lake' is not the URL"),
            ("url = \"s3:///x\"\n", "sink.lake.object_store.url: '' is not the name of a bucket"),
            (
                "url = \"s3://lake/a/../b\"\ns3.region = \"eu-west-1\"\n",
                "sink.lake.object_store.url: 'a/../b' is not a path",
            ),
            ("url = \"s3://lake\"\n", "sink.lake.object_store.s3.region: is missing"),
            ("url = \"gs://lake\"\ns3.region = \"eu-west-1\"\n", "sink.lake.object_store.s3: does not belong"),
            ("url = \"az://lake\"\n", "sink.lake.object_store.azure.account: is missing"),
            (&format!("{s3}format = \"csv\"\n"), "sink.lake.object_store.format: 'csv' is unknown"),
            (&format!("{s3}compression = \"xz\"\n"), "sink.lake.object_store.compression: 'xz' is unknown"),
            (&format!("{s3}s3.kms_key = \"x\"\n"), "sink.lake.object_store.s3.kms_key: needs encryption"),
            (&format!("{s3}s3.encryption = \"kms\"\n"), "sink.lake.object_store.s3.kms_key: is missing"),
            (&format!("{s3}s3.role_arn = \"x\"\n"), "sink.lake.object_store.s3.role_arn: 'x' is not the ARN"),
            (&format!("{s3}s3.external_id = \"x\"\n"), "sink.lake.object_store.s3.external_id: needs role_arn"),
            (
                &format!("{s3}s3.access_key_id = {{ env = \"A\" }}\n"),
                "sink.lake.object_store.s3.secret_access_key: is missing",
            ),
            (&format!("{s3}[sink.lake]\nbatch = 3\n"), "sink.lake.batch: concerns single events"),
            (
                &format!("{s3}[sink.other.object_store]\n{s3}"),
                "sink.other.object_store.url: is in the place of sink.lake",
            ),
        ] {
            let error = config(text).map(drop).expect_err(text);
            assert!(error.starts_with(problem), "{error}");
        }
    }

    #[test]
    fn a_secret_in_the_file_is_not_repeated() {
        let text = "url = \"s3://lake\"\ns3 = { region = \"eu-west-1\", secret_access_key = \"hunter2\" }\n";
        let error = config(text).map(drop).expect_err("a secret");
        assert!(!error.contains("hunter2"), "{error}");
    }
}
