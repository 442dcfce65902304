//! What is valid.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use aws_types::endpoint_config::AccountIdEndpointMode;
use dynacrawl_auth::{AssumeRole, BaseCredentials, CredentialSpec, DEFAULT_DURATION, RoleArn, SessionName, UserKeys};
use dynacrawl_aws::{EndpointSettings, HttpSettings, default_sts_region};
use dynacrawl_client::{Rate, RetryPolicy};
use dynacrawl_model::{AccountId, Partition, Region, TargetSummary};
use dynacrawl_sinks::Layout;
use dynacrawl_walker::TableFilter;
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};

use super::ConfigError;
use super::raw::{self, Layer};
use super::secret::SecretRef;

/// A configuration that can be used.
#[derive(Clone, Debug)]
pub struct Config {
    /// How to crawl.
    pub crawl: CrawlSettings,
    /// How connections are made.
    pub http: HttpSettings,
    /// How long one attempt of a call may take.
    pub attempt_timeout: Duration,
    /// Which endpoints are called.
    pub endpoints: EndpointSettings,
    /// The Region whose STS is asked, by partition.
    pub sts_regions: BTreeMap<Partition, Region>,
    /// How to check.
    pub check: CheckSettings,
    /// Which messages are shown.
    pub log_level: LogLevel,
    /// How messages are shown.
    pub log_format: LogFormat,
    /// What to crawl.
    pub targets: Vec<Target>,
}

/// How to crawl.
#[derive(Clone, Debug)]
pub struct CrawlSettings {
    /// Requests a second and scope; `None`: no limit.
    pub rate: Option<Rate>,
    /// Tables described at once in a scope.
    pub concurrency: usize,
    /// Scopes crawled at once.
    pub scopes: usize,
    /// How often a call is tried.
    pub retry: RetryPolicy,
    /// How long after `ResourceNotFoundException` a listed table is asked for once more.
    pub recheck_after: Duration,
    /// Include expressions.
    pub include: Vec<String>,
    /// Exclude expressions.
    pub exclude: Vec<String>,
    /// Both, compiled.
    pub filter: TableFilter,
    /// How a table is laid out over lines.
    pub layout: Layout,
    /// Where the records go.
    pub output: Destination,
    /// How long what is under way may take to end after an interrupt.
    pub grace: Duration,
    /// Whether tables are only listed.
    pub dry_run: bool,
    /// Whether nothing but messages goes to standard error.
    pub quiet: bool,
}

/// Where the records go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// Standard output.
    Stdout,
    /// A file.
    File(PathBuf),
}

/// How to check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckSettings {
    /// How many tables of a scope are described.
    pub tables: usize,
    /// How what was found is shown.
    pub format: CheckFormat,
    /// Whether roles are also assumed without their external id.
    pub external_id_probe: bool,
}

/// How `dynacrawl check` shows what it found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckFormat {
    /// For people.
    Text,
    /// One JSON object.
    Json,
}

/// Which messages are shown.
pub type LogLevel = tracing::level_filters::LevelFilter;

/// How messages are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// An account, and a way to get credentials for it.
#[derive(Clone, Debug)]
pub struct Target {
    /// The target's name.
    pub name: String,
    /// The account, as far as the configuration tells it.
    pub account_id: Option<AccountId>,
    /// The Regions; empty until [`Config::prepare`] where they are left to AWS's own settings.
    pub regions: Vec<Region>,
    /// Where credentials begin.
    pub base: TargetBase,
    /// The roles to assume, in order.
    pub chain: Vec<AssumeRole>,
}

/// Where a target's credentials begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetBase {
    /// AWS's default chain, in this profile if one is named.
    Chain {
        /// The profile.
        profile: Option<String>,
    },
    /// An IAM user's keys.
    Keys {
        /// The access key's id.
        access_key_id: SecretRef,
        /// The secret access key.
        secret_access_key: SecretRef,
        /// The session token, for temporary credentials.
        session_token: Option<SecretRef>,
    },
}

impl Config {
    /// Checks what was typed.
    pub(crate) fn validate(layer: Layer) -> Result<Self, ConfigError> {
        let mut names = BTreeSet::new();
        let mut targets = Vec::new();
        for (number, raw) in layer.target.into_iter().enumerate() {
            let target = Target::validate(raw, number)?;
            if !names.insert(target.name.clone()) {
                let problem = format!("the name '{}' is taken by another target", target.name);
                return Err(ConfigError::value("target.name", problem));
            }
            targets.push(target);
        }
        reject_twice(&targets)?;
        let mut sts_regions = BTreeMap::new();
        for (partition, region) in layer.sts.regions.unwrap_or_default() {
            let key = format!("sts.regions.{partition}");
            let region: Region = region.parse().map_err(|e| ConfigError::value(&*key, e))?;
            if region.partition().as_str() != partition {
                let problem = format!("{region} is a Region of the partition {}", region.partition());
                return Err(ConfigError::value(key, problem));
            }
            sts_regions.insert(region.partition(), region);
        }
        let attempt_timeout = duration("aws.attempt_timeout", layer.aws.attempt_timeout.as_deref())?;
        Ok(Self {
            crawl: CrawlSettings::validate(layer.crawl)?,
            http: HttpSettings {
                connect_timeout: duration("aws.connect_timeout", layer.aws.connect_timeout.as_deref())?,
                read_timeout: attempt_timeout,
                ca_bundle: layer.aws.ca_bundle.map(PathBuf::from),
                use_proxies: true,
                plain: false,
            },
            attempt_timeout,
            endpoints: EndpointSettings {
                dynamodb_url: url("aws.endpoint_url (--endpoint-url)", layer.aws.endpoint_url)?,
                sts_url: url("sts.endpoint_url (--sts-endpoint-url)", layer.sts.endpoint_url)?,
                use_fips: layer.aws.fips,
                use_dual_stack: layer.aws.dual_stack,
                account_id_endpoint_mode: layer
                    .aws
                    .account_id_endpoints
                    .map(|mode| account_id_endpoint_mode(&mode))
                    .transpose()?,
            },
            sts_regions,
            check: CheckSettings {
                tables: match (required("check.all", layer.check.all)?, layer.check.tables) {
                    (true, _) => usize::MAX,
                    (false, tables) => in_range("check.tables", tables, 1, 10_000)?,
                },
                format: match required("check.format (--format)", layer.check.format)?.as_str() {
                    "text" => CheckFormat::Text,
                    "json" => CheckFormat::Json,
                    other => return Err(one_of("check.format (--format)", other, &["text", "json"])),
                },
                external_id_probe: required("check.external_id_probe", layer.check.external_id_probe)?,
            },
            log_level: log_level(&required("log.level (--log-level)", layer.log.level)?)?,
            log_format: match required("log.format (--log-format)", layer.log.format)?.as_str() {
                "text" => LogFormat::Text,
                "json" => LogFormat::Json,
                other => return Err(one_of("log.format (--log-format)", other, &["text", "json"])),
            },
            targets,
        })
    }

    /// Completes the targets from AWS's own settings: Regions that the configuration leaves to them.
    ///
    /// # Errors
    /// When a target has no Region at all, or there is no target.
    pub async fn prepare(&mut self) -> Result<(), ConfigError> {
        if self.http.ca_bundle.is_none() {
            self.http.ca_bundle = std::env::var_os("AWS_CA_BUNDLE").filter(|v| !v.is_empty()).map(PathBuf::from);
        }
        for target in &mut self.targets {
            target.prepare().await?;
        }
        reject_twice(&self.targets)
    }

    /// The Region whose STS is asked for a target.
    pub fn sts_region(&self, target: &Target) -> Region {
        let partition = target.partition();
        match self.sts_regions.get(&partition) {
            Some(region) => region.clone(),
            None => default_sts_region(&partition, &target.regions),
        }
    }

    /// A hash of the settings that decide what the output holds. Keys and external ids are not part of it.
    pub fn digest(&self) -> String {
        let targets: Vec<_> = self
            .targets
            .iter()
            .map(|t| {
                let chain: Vec<_> = t.chain.iter().map(|step| step.arn.as_str()).collect();
                serde_json::json!([t.name, t.account_id, t.regions, format!("{:?}", t.base), chain])
            })
            .collect();
        let settings = serde_json::json!({
            "targets": targets,
            "include": self.crawl.include,
            "exclude": self.crawl.exclude,
            "layout": format!("{:?}", self.crawl.layout),
            "endpoint_url": self.endpoints.dynamodb_url,
        });
        let hash = Sha256::digest(settings.to_string());
        hash[..16].iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl CrawlSettings {
    fn validate(raw: raw::Crawl) -> Result<Self, ConfigError> {
        let include = raw.include.unwrap_or_default();
        let exclude = raw.exclude.unwrap_or_default();
        let compile = |key: &str, include: &[String], exclude: &[String]| {
            TableFilter::new(include, exclude).map_err(|error| ConfigError::value(key, error))
        };
        compile("crawl.include (--include)", &include, &[])?;
        compile("crawl.exclude (--exclude)", &[], &exclude)?;
        let max_attempts = in_range("crawl.max_attempts (--max-attempts)", raw.max_attempts, 1, 100)?;
        Ok(Self {
            rate: NonZeroU32::new(required("crawl.rate (--rate)", raw.rate)?).map(Rate::per_second),
            concurrency: in_range("crawl.concurrency (--concurrency)", raw.concurrency, 1, 1000)?,
            scopes: in_range("crawl.scopes (--scopes)", raw.scopes, 1, 1000)?,
            retry: RetryPolicy { max_attempts, ..RetryPolicy::default() },
            recheck_after: Duration::from_secs(1),
            filter: compile("crawl.include", &include, &exclude)?,
            include,
            exclude,
            layout: match required("crawl.layout (--layout)", raw.layout)?.as_str() {
                "table" => Layout::Table,
                "entities" => Layout::Entities,
                other => return Err(one_of("crawl.layout (--layout)", other, &["table", "entities"])),
            },
            output: match required("crawl.output (--output)", raw.output)?.as_str() {
                "-" => Destination::Stdout,
                "" => return Err(ConfigError::value("crawl.output (--output)", "is empty; expected a file or -")),
                path => Destination::File(path.into()),
            },
            grace: duration("crawl.grace (--grace)", raw.grace.as_deref())?,
            dry_run: required("crawl.dry_run", raw.dry_run)?,
            quiet: required("crawl.quiet", raw.quiet)?,
        })
    }
}

impl Target {
    fn validate(raw: raw::Target, number: usize) -> Result<Self, ConfigError> {
        let name = raw.name.unwrap_or_else(|| format!("target-{}", number + 1));
        let key = |field: &str| format!("target '{}': {field}", dynacrawl_model::Escaped(&name));
        if name.is_empty() || name.len() > 128 {
            return Err(ConfigError::value("target.name", "must have 1 to 128 characters"));
        }
        let parse_region = |text: String| text.parse::<Region>().map_err(|e| ConfigError::value(key("regions"), e));
        let regions = raw.regions.unwrap_or_default().into_iter().map(parse_region).collect::<Result<Vec<_>, _>>()?;
        if let Some(twice) = regions.iter().enumerate().find(|(i, region)| regions[..*i].contains(region)) {
            return Err(ConfigError::value(key("regions"), format!("{} stands there twice", twice.1)));
        }
        let mut chain = Vec::new();
        for step in raw.assume_role.unwrap_or_default() {
            chain.push(role(step).map_err(|e| ConfigError::value(key("assume_role"), e))?);
        }
        let account_id = raw.account_id.map(|id| id.parse::<AccountId>()).transpose();
        let mut account_id = account_id.map_err(|e| ConfigError::value(key("account_id"), e))?;
        if let Some(last) = chain.last() {
            let roles = last.arn.account_id();
            if account_id.as_ref().is_some_and(|id| id != roles) {
                let problem = format!("the last role belongs to the account {roles}");
                return Err(ConfigError::value(key("account_id"), problem));
            }
            account_id = Some(roles.clone());
        }
        if chain.len() > 1 && chain[1..].iter().any(|step| step.duration() > DEFAULT_DURATION) {
            let problem = "a role that is assumed with another role's session can last one hour (1h) at most";
            return Err(ConfigError::value(key("assume_role"), problem));
        }
        let base = match (raw.credentials, raw.profile) {
            (Some(_), Some(_)) => {
                return Err(ConfigError::value(key("credentials"), "cannot be used together with profile"));
            }
            (None, profile) => TargetBase::Chain { profile: profile.filter(|p| !p.is_empty()) },
            (Some(keys), None) => {
                let secret = |field: &str, raw| SecretRef::validate(&key(&format!("credentials.{field}")), raw);
                TargetBase::Keys {
                    access_key_id: secret("access_key_id", keys.access_key_id)?,
                    secret_access_key: secret("secret_access_key", keys.secret_access_key)?,
                    session_token: keys.session_token.map(|raw| secret("session_token", raw)).transpose()?,
                }
            }
        };
        let target = Self { name, account_id, regions, base, chain };
        target.check_partitions()?;
        Ok(target)
    }

    async fn prepare(&mut self) -> Result<(), ConfigError> {
        if self.regions.is_empty() {
            let key = format!("target '{}': regions (--region)", dynacrawl_model::Escaped(&self.name));
            let profile = match &self.base {
                TargetBase::Chain { profile } => profile.as_deref(),
                TargetBase::Keys { .. } => None,
            };
            let Some(region) = dynacrawl_aws::ambient_region(profile).await else {
                let problem = "no Region: name one or more, or set AWS_REGION, or a region in the profile";
                return Err(ConfigError::value(key, problem));
            };
            self.regions.push(region.parse().map_err(|e| ConfigError::value(key, e))?);
        }
        self.check_partitions()
    }

    /// Regions and roles of one target belong to one partition: credentials do not cross it.
    fn check_partitions(&self) -> Result<(), ConfigError> {
        let regions = self.regions.iter().map(|region| (region.partition(), region.to_string()));
        let roles = self.chain.iter().map(|step| (step.arn.partition().clone(), step.arn.to_string()));
        let mut places = regions.chain(roles);
        let Some((partition, first)) = places.next() else { return Ok(()) };
        match places.find(|(other, _)| *other != partition) {
            None => Ok(()),
            Some((other, place)) => Err(ConfigError::value(
                format!("target '{}'", dynacrawl_model::Escaped(&self.name)),
                format!("{first} belongs to the partition {partition}, {place} to {other}; make them two targets"),
            )),
        }
    }

    /// The partition of the target's Regions.
    pub fn partition(&self) -> Partition {
        let role = || self.chain.last().map(|step| step.arn.partition().clone());
        self.regions.first().map(Region::partition).or_else(role).unwrap_or_else(|| "aws".into())
    }

    /// The target as `run_started` tells it.
    pub fn summary(&self) -> TargetSummary {
        TargetSummary {
            name: self.name.clone(),
            account_id: self.account_id.clone(),
            role_arn: self.chain.last().map(|step| step.arn.to_string()),
            regions: self.regions.clone(),
        }
    }

    /// The profile that the target's settings come from, if it names one.
    pub fn profile(&self) -> Option<&str> {
        match &self.base {
            TargetBase::Chain { profile } => profile.as_deref(),
            TargetBase::Keys { .. } => None,
        }
    }

    /// Reads the target's secrets.
    ///
    /// # Errors
    /// When one is not where the configuration says.
    pub fn credentials(&self) -> Result<CredentialSpec, ConfigError> {
        let key = |field: &str| format!("target '{}': credentials.{field}", dynacrawl_model::Escaped(&self.name));
        let base = match &self.base {
            TargetBase::Chain { .. } => BaseCredentials::DefaultChain,
            TargetBase::Keys { access_key_id, secret_access_key, session_token } => BaseCredentials::Keys(UserKeys {
                access_key_id: access_key_id.read(&key("access_key_id"))?.expose_secret().to_owned(),
                secret_access_key: secret_access_key.read(&key("secret_access_key"))?,
                session_token: session_token.as_ref().map(|token| token.read(&key("session_token"))).transpose()?,
            }),
        };
        Ok(CredentialSpec { base, chain: self.chain.clone() })
    }
}

/// The same account and Region twice would be two scopes with one name.
fn reject_twice(targets: &[Target]) -> Result<(), ConfigError> {
    let mut seen = BTreeMap::new();
    for target in targets {
        for region in target.account_id.iter().flat_map(|account| target.regions.iter().map(move |r| (account, r))) {
            if let Some(first) = seen.insert(region, &target.name) {
                let place = format!("target '{}': regions", dynacrawl_model::Escaped(&target.name));
                let problem = format!(
                    "{}/{} is part of target '{}' already",
                    region.0,
                    region.1,
                    dynacrawl_model::Escaped(first)
                );
                return Err(ConfigError::value(place, problem));
            }
        }
    }
    Ok(())
}

fn role(raw: raw::AssumeRole) -> Result<AssumeRole, String> {
    let arn: RoleArn = raw.arn.parse().map_err(|e| format!("arn (--role-arn): {e}"))?;
    let external_id = raw.external_id.map(|id| id.parse()).transpose();
    let session_name = raw.session_name.map_or_else(|| Ok(SessionName::default()), |name| name.parse());
    let length = match raw.duration.as_deref() {
        None => DEFAULT_DURATION,
        text => duration("duration (--duration)", text).map_err(|e| e.to_string())?,
    };
    AssumeRole::new(
        arn,
        external_id.map_err(|e| format!("external_id (--external-id): {e}"))?,
        session_name.map_err(|e| format!("session_name (--session-name): {e}"))?,
        length,
    )
    .map_err(|e| format!("duration (--duration): {e}"))
}

/// A value that the reference configuration gives a default.
fn required<T>(key: &str, value: Option<T>) -> Result<T, ConfigError> {
    value.ok_or_else(|| ConfigError::value(key, "is missing"))
}

fn in_range<T: Copy + PartialOrd + std::fmt::Display>(
    key: &str,
    value: Option<T>,
    min: T,
    max: T,
) -> Result<T, ConfigError> {
    let value = required(key, value)?;
    if value < min || value > max {
        return Err(ConfigError::value(key, format!("{value} is out of range; expected {min} to {max}")));
    }
    Ok(value)
}

fn one_of(key: &str, value: &str, allowed: &[&str]) -> ConfigError {
    let value = dynacrawl_model::Escaped(value);
    ConfigError::value(key, format!("'{value}' is unknown; expected one of {}", allowed.join(", ")))
}

fn duration(key: &str, text: Option<&str>) -> Result<Duration, ConfigError> {
    let text = required(key, text)?;
    let parsed = text.parse::<jiff::SignedDuration>().ok().and_then(|d| Duration::try_from(d).ok());
    match parsed {
        Some(duration) if duration > Duration::ZERO && duration <= Duration::from_secs(24 * 3600) => Ok(duration),
        _ => {
            let problem = format!(
                "'{}' is not a duration of up to a day; expected the form 500ms, 20s, 15m or 1h",
                dynacrawl_model::Escaped(text)
            );
            Err(ConfigError::value(key, problem))
        }
    }
}

fn url(key: &str, text: Option<String>) -> Result<Option<String>, ConfigError> {
    let Some(text) = text.filter(|t| !t.is_empty()) else { return Ok(None) };
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    let valid = rest.is_some_and(|rest| {
        let authority = rest.split('/').next().unwrap_or_default();
        !authority.is_empty() && !authority.contains('@') && rest.bytes().all(|b| b.is_ascii_graphic())
    });
    if valid {
        Ok(Some(text))
    } else {
        // It may hold a password, so it is not repeated.
        Err(ConfigError::value(key, "not a URL; expected the form http://host:port or https://host, without a user"))
    }
}

fn account_id_endpoint_mode(mode: &str) -> Result<AccountIdEndpointMode, ConfigError> {
    mode.parse().map_err(|_| {
        let key = "aws.account_id_endpoints (--account-id-endpoints)";
        one_of(key, mode, &["disabled", "preferred", "required"])
    })
}

fn log_level(level: &str) -> Result<LogLevel, ConfigError> {
    match level {
        "error" => Ok(LogLevel::ERROR),
        "warn" => Ok(LogLevel::WARN),
        "info" => Ok(LogLevel::INFO),
        "debug" => Ok(LogLevel::DEBUG),
        "trace" => Ok(LogLevel::TRACE),
        other => Err(one_of("log.level (--log-level)", other, &["error", "warn", "info", "debug", "trace"])),
    }
}
