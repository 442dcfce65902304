//! Credentials that targets share.
//!
//! A thousand accounts are reached with the same base credentials and often through the same first
//! role. Each of these has one cache for the process. So the base is found once (and not by a
//! thousand calls of a metadata service or a credential process), and a role is assumed once per
//! session.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use aws_smithy_async::time::SharedTimeSource;
use aws_types::SdkConfig;
use dynacrawl_aws::{Quota, Rate};
use dynacrawl_model::QuotaName;
use dynacrawl_model::Region;
use sha2::{Digest, Sha256};

use crate::provider::{Role, base_source};
use crate::{AssumeRole, BaseCredentials, CachedCredentials, CredentialSpec, StsClient};

/// The credentials of a process, each with one cache.
#[derive(Debug)]
pub struct CredentialPool {
    steps: Mutex<HashMap<Key, Arc<Step>>>,
    quota: Quota,
    timeout: Duration,
}

/// What identifies credentials.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key([u8; 32]);

/// A source of credentials, and the STS client that signs with them.
#[derive(Debug)]
pub struct Step {
    /// The credentials.
    pub credentials: CachedCredentials,
    sts: OnceLock<StsClient>,
    config: SdkConfig,
    sts_url: Option<String>,
    quota: Quota,
    timeout: Duration,
}

/// The credentials of a target, step by step.
#[derive(Clone, Debug)]
pub struct CredentialChain {
    /// Credentials for the first role or, without roles, for DynamoDB.
    pub base: Arc<Step>,
    /// The credentials of each role, in order.
    pub roles: Vec<Arc<Step>>,
}

impl CredentialChain {
    /// The credentials for DynamoDB.
    pub fn last(&self) -> &Arc<Step> {
        self.roles.last().unwrap_or(&self.base)
    }

    /// The credentials for assuming the role at this index.
    pub fn before(&self, role: usize) -> &Arc<Step> {
        role.checked_sub(1).and_then(|previous| self.roles.get(previous)).unwrap_or(&self.base)
    }
}

impl Step {
    /// The STS client for these credentials.
    pub fn sts(&self) -> &StsClient {
        self.sts.get_or_init(|| {
            let url = self.sts_url.as_deref();
            StsClient::new(&self.config, url, self.credentials.clone(), self.quota, self.timeout)
        })
    }
}

impl CredentialPool {
    /// An empty pool. `quota` applies to each caller of STS; `timeout` is how long each source of
    /// credentials may take.
    pub fn new(quota: Quota, timeout: Duration) -> Self {
        Self { steps: Mutex::default(), quota, timeout }
    }

    /// The credentials of `spec`. Specs that name the same base or the same roles share their
    /// caches. `profile` is the profile that `config` was loaded with. Nothing is called yet.
    pub fn chain(
        &self,
        spec: &CredentialSpec,
        profile: Option<&str>,
        config: &SdkConfig,
        sts_url: Option<&str>,
    ) -> CredentialChain {
        let clock = config.time_source().unwrap_or_default();
        // STS's sessions are valid in the whole partition, whichever Region issues them.
        let region = config.region().and_then(|region| region.as_ref().parse::<Region>().ok());
        let partition = region.map(|region| region.partition().to_string()).unwrap_or_default();
        let mut key = match &spec.base {
            BaseCredentials::DefaultChain => Key::of(&["chain", profile.unwrap_or_default(), &partition]),
            BaseCredentials::Keys(keys) => keys.with_secrets(|id, secret, token| {
                Key::of(&["keys", id, secret, token.unwrap_or_default(), &partition])
            }),
        };
        let base = self.step(&key, || {
            let source = base_source(&spec.base, config, self.timeout);
            self.new_step(CachedCredentials::new(source, clock.clone()), config, sts_url)
        });
        let mut chain = CredentialChain { base, roles: Vec::new() };
        for role in &spec.chain {
            key = key.then(role);
            let assume = || self.assume(chain.last(), role, clock.clone());
            let step = self.step(&key, assume);
            chain.roles.push(step);
        }
        chain
    }

    fn assume(&self, before: &Arc<Step>, role: &AssumeRole, clock: SharedTimeSource) -> Arc<Step> {
        let source = Role { sts: before.sts().clone(), step: role.clone() };
        self.new_step(CachedCredentials::new(source, clock), &before.config, before.sts_url.as_deref())
    }

    fn new_step(&self, credentials: CachedCredentials, config: &SdkConfig, sts_url: Option<&str>) -> Arc<Step> {
        let sts_url = sts_url.map(str::to_owned);
        let (quota, timeout, config) = (self.quota, self.timeout, config.clone());
        Arc::new(Step { credentials, sts: OnceLock::new(), config, sts_url, quota, timeout })
    }

    fn step(&self, key: &Key, make: impl FnOnce() -> Arc<Step>) -> Arc<Step> {
        let mut steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        steps.entry(key.clone()).or_insert_with(make).clone()
    }
}

impl Default for CredentialPool {
    /// Half of STS's 600 requests a second, because other programs call it, too; and half a minute.
    fn default() -> Self {
        let quota = Quota { name: QuotaName::Sts, rate: NonZeroU32::new(300).map(Rate::per_second), concurrency: 16 };
        Self::new(quota, Duration::from_secs(30))
    }
}

impl Key {
    /// A hash, so that no secret stays in memory as a key.
    fn of(parts: &[&str]) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        Self(hash.finalize().into())
    }

    fn then(&self, role: &AssumeRole) -> Self {
        let external_id = role.external_id.as_ref().map_or("", |id| id.as_str());
        let seconds = role.duration().as_secs().to_string();
        let step = Self::of(&[role.arn.as_str(), external_id, role.session_name.as_str(), &seconds]);
        let mut hash = Sha256::new();
        hash.update(self.0);
        hash.update(step.0);
        Self(hash.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use aws_types::SdkConfig;
    use aws_types::region::Region as SdkRegion;

    use super::CredentialPool;
    use crate::{AssumeRole, BaseCredentials, CredentialSpec, DEFAULT_DURATION, SessionName, UserKeys};

    fn role(name: &str, external_id: Option<&str>) -> AssumeRole {
        let arn = format!("arn:aws:iam::123456789012:role/{name}").parse().expect("an ARN");
        let external_id = external_id.map(|id| id.parse().expect("an external id"));
        AssumeRole::new(arn, external_id, SessionName::default(), DEFAULT_DURATION).expect("a role")
    }

    fn keys(secret: &str) -> BaseCredentials {
        let secret_access_key = secret.to_owned().into();
        BaseCredentials::Keys(UserKeys { access_key_id: "AKIA".to_owned(), secret_access_key, session_token: None })
    }

    #[test]
    fn only_identical_credentials_share_a_cache() {
        let pool = CredentialPool::default();
        let config = SdkConfig::builder()
            .behavior_version(dynacrawl_aws::behavior_version())
            .region(SdkRegion::new("eu-west-1"))
            .build();
        let chain = |base: &BaseCredentials, roles: &[AssumeRole]| {
            let spec = CredentialSpec { base: base.clone(), chain: roles.to_vec() };
            pool.chain(&spec, None, &config, None)
        };
        let hub = role("Hub", None);
        let one = chain(&keys("a"), &[hub.clone(), role("One", None)]);
        let two = chain(&keys("a"), &[hub.clone(), role("Two", None)]);
        assert!(Arc::ptr_eq(&one.base, &two.base) && Arc::ptr_eq(&one.roles[0], &two.roles[0]));
        assert!(!Arc::ptr_eq(&one.roles[1], &two.roles[1]));
        let again = chain(&keys("a"), &[hub.clone(), role("One", None)]);
        assert!(Arc::ptr_eq(again.last(), one.last()));
        let other_key = chain(&keys("b"), std::slice::from_ref(&hub));
        assert!(!Arc::ptr_eq(&other_key.base, &one.base) && !Arc::ptr_eq(&other_key.roles[0], &one.roles[0]));
        let guarded = chain(&keys("a"), &[role("Hub", Some("acme"))]);
        assert!(!Arc::ptr_eq(&guarded.roles[0], &one.roles[0]));
    }
}
