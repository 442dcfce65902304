//! Where an object store is, and with which credentials it is written.

use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use object_store::aws::{AmazonS3Builder, AwsCredential};
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::{GcpCredential, GoogleCloudStorageBuilder};
use object_store::local::LocalFileSystem;
use object_store::{
    BackoffConfig, Certificate, ClientOptions, CredentialProvider, ObjectStore, Result, RetryConfig,
    StaticCredentialProvider,
};
use secrecy::ExposeSecret;
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::aws::AwsIdentity;
use crate::causes::with_causes;
use crate::secret::SecretRef;

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long one request may take. A part has up to about 20 MB.
const TIMEOUT: Duration = Duration::from_secs(120);
/// How long failed requests are repeated before the attempt fails.
const RETRY_TIMEOUT: Duration = Duration::from_secs(60);
/// How long credentials may take, as with a process that asks for a code.
const CREDENTIALS_TIMEOUT: Duration = Duration::from_secs(60);
/// How long before they expire credentials are fetched again.
const EARLY: Duration = Duration::from_secs(300);

/// Where an object store is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreLocation {
    /// A directory of this machine.
    Local {
        /// The directory. dynacrawl creates it.
        directory: PathBuf,
    },
    /// Amazon S3, or a server with its API.
    S3(Box<S3Location>),
    /// Google Cloud Storage.
    Gcs {
        /// The bucket.
        bucket: String,
        /// The key file of a service account. Without it, the credentials of the environment.
        service_account: Option<PathBuf>,
        /// The endpoint, instead of Google's. Requests to it are not signed.
        endpoint: Option<String>,
    },
    /// Azure Blob Storage.
    Azure {
        /// The storage account.
        account: String,
        /// The container.
        container: String,
        /// The account's key. Without it, the credentials of the environment.
        access_key: Option<SecretRef>,
        /// The endpoint, instead of Azure's.
        endpoint: Option<String>,
    },
}

/// A bucket of Amazon S3, or of a server with its API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct S3Location {
    /// The bucket.
    pub bucket: String,
    /// Its Region.
    pub region: dynacrawl_model::Region,
    /// The endpoint, instead of the Region's.
    pub endpoint: Option<String>,
    /// Whether the bucket is the first part of the path, and not of the host.
    pub path_style: bool,
    /// Who writes.
    pub identity: AwsIdentity,
    /// How S3 encrypts the objects, instead of the bucket's default.
    pub encryption: Option<S3Encryption>,
}

/// How S3 encrypts objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum S3Encryption {
    /// With keys of S3 (`AES256`).
    S3,
    /// With a key of KMS (`aws:kms`).
    Kms {
        /// The key's ARN, id or alias.
        key: String,
        /// Whether S3 may use a bucket key, which saves requests to KMS.
        bucket_key: bool,
    },
    /// Twice, with a key of KMS (`aws:kms:dsse`).
    KmsDual {
        /// The key's ARN, id or alias.
        key: String,
    },
}

impl StoreLocation {
    /// The secrets, each with its key in `[sink.NAME.object_store]`.
    pub(crate) fn secrets(&self) -> Vec<(&'static str, &SecretRef)> {
        match self {
            Self::S3(location) => match &location.identity {
                AwsIdentity::Keys { access_key_id, secret_access_key } => vec![
                    ("object_store.s3.access_key_id", access_key_id),
                    ("object_store.s3.secret_access_key", secret_access_key),
                ],
                AwsIdentity::Ambient { .. } => Vec::new(),
            },
            Self::Azure { access_key: Some(key), .. } => vec![("object_store.azure.access_key", key)],
            _ => Vec::new(),
        }
    }

    /// Whether objects have attributes, such as a content type.
    pub(super) fn has_attributes(&self) -> bool {
        !matches!(self, Self::Local { .. })
    }

    /// A client of the store. Nothing has been requested yet.
    pub(super) fn open(&self, ca_bundle: Option<&FilePath>) -> Result<Box<dyn ObjectStore>> {
        let client = |endpoint: &Option<String>| client_options(ca_bundle, endpoint.as_deref());
        Ok(match self {
            Self::Local { directory } => {
                let failed = |error| other(format!("cannot create {}: {error}", directory.display()));
                std::fs::create_dir_all(directory).map_err(failed)?;
                Box::new(LocalFileSystem::new_with_prefix(directory)?.with_fsync(true).with_automatic_cleanup(true))
            }
            Self::S3(location) => location.open(client(&location.endpoint)?, ca_bundle)?,
            Self::Gcs { bucket, service_account, endpoint } => {
                // Variables of the environment would be used instead of the configured key.
                let builder = match service_account {
                    Some(_) => GoogleCloudStorageBuilder::new(),
                    None => GoogleCloudStorageBuilder::from_env(),
                };
                let mut builder =
                    builder.with_bucket_name(bucket).with_client_options(client(endpoint)?).with_retry(retries());
                if let Some(path) = service_account {
                    builder = builder.with_service_account_path(path.to_string_lossy());
                }
                if let Some(endpoint) = endpoint {
                    builder = builder.with_base_url(endpoint);
                    if service_account.is_none() {
                        // An emulator.
                        let none = GcpCredential { bearer: String::new() };
                        builder = builder
                            .with_skip_signature(true)
                            .with_credentials(Arc::new(StaticCredentialProvider::new(none)));
                    }
                }
                Box::new(builder.build()?)
            }
            Self::Azure { account, container, access_key, endpoint } => {
                let builder = match access_key {
                    Some(_) => MicrosoftAzureBuilder::new(),
                    None => MicrosoftAzureBuilder::from_env(),
                };
                let mut builder = builder
                    .with_account(account)
                    .with_container_name(container)
                    .with_client_options(client(endpoint)?)
                    .with_retry(retries());
                if let Some(key) = access_key {
                    builder = builder.with_access_key(read("azure.access_key", key)?);
                }
                if let Some(endpoint) = endpoint {
                    builder = builder.with_endpoint(endpoint.clone());
                }
                Box::new(builder.build()?)
            }
        })
    }
}

impl S3Location {
    fn open(&self, client: ClientOptions, ca_bundle: Option<&FilePath>) -> Result<Box<dyn ObjectStore>> {
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(&self.bucket)
            .with_region(self.region.as_str())
            .with_virtual_hosted_style_request(!self.path_style)
            .with_allow_http(self.endpoint.as_deref().is_some_and(is_plain))
            .with_client_options(client)
            .with_retry(retries());
        if let Some(endpoint) = &self.endpoint {
            builder = builder.with_endpoint(self.address(endpoint));
        }
        builder = match &self.identity {
            AwsIdentity::Keys { access_key_id, secret_access_key } => builder
                .with_access_key_id(read("s3.access_key_id", access_key_id)?)
                .with_secret_access_key(read("s3.secret_access_key", secret_access_key)?),
            identity @ AwsIdentity::Ambient { .. } => {
                let chain = Chain {
                    identity: identity.clone(),
                    region: self.region.clone(),
                    ca_bundle: ca_bundle.map(FilePath::to_owned),
                    provider: Mutex::new(None),
                };
                builder.with_credentials(Arc::new(chain))
            }
        };
        builder = match &self.encryption {
            None => builder,
            Some(S3Encryption::S3) => builder.with_config("aws_server_side_encryption".parse()?, "AES256"),
            Some(S3Encryption::Kms { key, bucket_key }) => {
                builder.with_sse_kms_encryption(key).with_bucket_key(*bucket_key)
            }
            Some(S3Encryption::KmsDual { key }) => builder.with_dsse_kms_encryption(key),
        };
        Ok(Box::new(builder.build()?))
    }
}

impl S3Location {
    /// The endpoint as requests need it: with the bucket in its host, unless it is in the path.
    fn address(&self, endpoint: &str) -> String {
        match endpoint.split_once("://") {
            Some((scheme, rest)) if !self.path_style => format!("{scheme}://{}.{rest}", self.bucket),
            _ => endpoint.to_owned(),
        }
    }
}

fn is_plain(endpoint: &str) -> bool {
    endpoint.starts_with("http://")
}

fn retries() -> RetryConfig {
    RetryConfig { backoff: BackoffConfig::default(), max_retries: 5, retry_timeout: RETRY_TIMEOUT }
}

fn client_options(ca_bundle: Option<&FilePath>, endpoint: Option<&str>) -> Result<ClientOptions> {
    let mut options = ClientOptions::new()
        .with_timeout(TIMEOUT)
        .with_connect_timeout(CONNECT_TIMEOUT)
        .with_allow_http(endpoint.is_some_and(is_plain))
        .with_user_agent(http::HeaderValue::from_static(concat!("dynacrawl/", env!("CARGO_PKG_VERSION"))));
    if let Some(path) = ca_bundle {
        let pem = std::fs::read(path).map_err(|error| other(format!("ca_bundle: {}: {error}", path.display())))?;
        for certificate in Certificate::from_pem_bundle(&pem)? {
            options = options.with_root_certificate(certificate);
        }
        options = options.with_no_system_certificates(true);
    }
    Ok(options)
}

fn read(key: &str, secret: &SecretRef) -> Result<String> {
    let read = secret.read().map_err(|error| other(format!("object_store.{key}: {error}")))?;
    Ok(read.expose_secret().to_owned())
}

fn other(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> object_store::Error {
    object_store::Error::Generic { store: "configuration", source: error.into() }
}

/// AWS's default chain, or a profile; object_store's own reads neither profiles nor single sign-on.
#[derive(Debug)]
struct Chain {
    identity: AwsIdentity,
    region: dynacrawl_model::Region,
    ca_bundle: Option<PathBuf>,
    provider: Mutex<Option<(SharedCredentialsProvider, Option<Credentials>)>>,
}

impl Chain {
    async fn new_provider(&self) -> Result<SharedCredentialsProvider> {
        let config = self.identity.sdk_config(&self.region, self.ca_bundle.as_deref(), TIMEOUT).await.map_err(other)?;
        config.credentials_provider().ok_or_else(|| other("there are no credentials"))
    }
}

#[async_trait]
impl CredentialProvider for Chain {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> Result<Arc<AwsCredential>> {
        let mut kept = self.provider.lock().await;
        let (provider, last) = match kept.take() {
            Some(kept) => kept,
            None => (self.new_provider().await?, None),
        };
        let is_valid = |credentials: &Credentials, early: Duration| {
            credentials.expiry().is_none_or(|expiry| expiry > SystemTime::now() + early)
        };
        let credentials = match last.clone().filter(|last| is_valid(last, EARLY)) {
            Some(credentials) => Ok(credentials),
            None => match timeout(CREDENTIALS_TIMEOUT, provider.provide_credentials()).await {
                Ok(Ok(credentials)) => Ok(credentials),
                // Those at hand are good for some more minutes.
                Ok(Err(error)) => last.filter(|last| is_valid(last, Duration::ZERO)).ok_or_else(|| with_causes(&error)),
                Err(_) => Err(format!("there are none after {CREDENTIALS_TIMEOUT:?}")),
            },
        };
        *kept = Some((provider, credentials.as_ref().ok().cloned()));
        let credentials = credentials.map_err(|error| other(format!("credentials of {}: {error}", self.identity)))?;
        Ok(Arc::new(AwsCredential {
            key_id: credentials.access_key_id().to_owned(),
            secret_key: credentials.secret_access_key().to_owned(),
            token: credentials.session_token().map(str::to_owned),
        }))
    }
}
