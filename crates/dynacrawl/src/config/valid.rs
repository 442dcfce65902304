//! What is valid.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use dynacrawl_aws::{EndpointSettings, HttpSettings, default_sts_region};
use dynacrawl_client::{Rate, RetryPolicy};
use dynacrawl_discovery::DiscoveryUrls;
use dynacrawl_fetcher::Concurrency;
use dynacrawl_model::{Partition, Region};
use dynacrawl_sinks::Layout;
use dynacrawl_walker::TableFilter;
use sha2::{Digest, Sha256};

use super::ConfigError;
use super::changes::ChangeSettings;
use super::group::{Expanded, Group, expand};
use super::limits::{Budgets, StateSettings, rate};
use super::output::Destination;
use super::raw::{self, Layer};
use super::serve::ServeSettings;
use super::target::{Target, UnselectedTarget, reject_twice};
use super::values::{account_id_endpoint_mode, duration, in_range, log_level, one_of, required, url};

/// A configuration that can be used.
#[derive(Clone, Debug)]
pub struct Config {
    /// How to crawl.
    pub crawl: CrawlSettings,
    /// How connections are made.
    pub http: HttpSettings,
    /// How long each source of credentials may take.
    pub credentials_timeout: Duration,
    /// Which endpoints are called.
    pub endpoints: EndpointSettings,
    /// The Region whose STS is asked, by partition.
    pub sts_regions: BTreeMap<Partition, Region>,
    /// How to check.
    pub check: CheckSettings,
    /// Which messages are shown; `None`: as the command thinks best.
    pub log_level: Option<LogLevel>,
    /// How messages are shown.
    pub log_format: LogFormat,
    /// Where OpenTelemetry's spans go.
    pub otlp_endpoint: Option<String>,
    /// How AWS's other quotas are used.
    pub budgets: Budgets,
    /// Where to ask for accounts and Regions.
    pub discovery: DiscoveryUrls,
    /// What is remembered between processes; `None`: nothing.
    pub state: Option<StateSettings>,
    /// What is told about changes.
    pub changes: ChangeSettings,
    /// What the daemon does.
    pub serve: ServeSettings,
    /// The names of the targets, as they are configured.
    pub target_names: Vec<String>,
    /// The targets that the run is restricted to, as they were named; `None`: all.
    pub only: Option<Vec<String>>,
    /// What is configured, and not part of the run.
    pub unselected_targets: Vec<UnselectedTarget>,
    /// Whether flags or environment variables describe the target, and not a file.
    pub described_by_flags: bool,
    /// The schedule that begins the run, if one does.
    pub schedule: Option<String>,
    /// What to crawl.
    pub targets: Vec<Target>,
    /// The organizations whose accounts are to be crawled.
    pub groups: Vec<Group>,
}

/// How to crawl.
#[derive(Clone, Debug)]
pub struct CrawlSettings {
    /// Requests a second and scope; `None`: no limit.
    pub rate: Option<Rate>,
    /// Tables described at once in a scope.
    pub concurrency: Concurrency,
    /// Scopes crawled at once.
    pub scopes: usize,
    /// Requests to DynamoDB in flight at once, over all scopes.
    pub requests: usize,
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
    /// How many finished files of a template are kept; 0: all.
    pub keep_files: u32,
    /// How long what is under way may take to end after an interrupt.
    pub grace: Duration,
    /// Whether tables are only listed.
    pub dry_run: bool,
    /// Whether nothing but messages goes to standard error.
    pub quiet: bool,
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

impl Config {
    /// Checks what was typed.
    pub(crate) fn validate(layer: Layer) -> Result<Self, ConfigError> {
        let mut names = BTreeSet::new();
        let target_names: Vec<_> =
            layer.target.iter().enumerate().map(|(number, raw)| raw.name_or_number(number)).collect();
        let (mut targets, mut groups) = (Vec::new(), Vec::new());
        for (number, raw) in layer.target.into_iter().enumerate() {
            match expand(raw, number)? {
                Expanded::Targets(some) => targets.extend(some),
                Expanded::Group(group) => groups.push(*group),
            }
        }
        for name in targets.iter().map(|target| &target.name).chain(groups.iter().map(|group| &group.discovery.name)) {
            if !names.insert(name) {
                let problem = format!("the name '{}' is taken by another target", dynacrawl_model::Escaped(name));
                return Err(ConfigError::value("target.name", problem));
            }
        }
        for group in &groups {
            let prefix = format!("{}/", group.name());
            if let Some(target) = targets.iter().find(|target| target.name.starts_with(&prefix)) {
                let problem = format!(
                    "'{}' may be the name of an account of the target '{}'; choose another one",
                    dynacrawl_model::Escaped(&target.name),
                    dynacrawl_model::Escaped(group.name())
                );
                return Err(ConfigError::value("target.name", problem));
            }
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
        let own_endpoint = layer.aws.endpoint_url.as_ref().is_some_and(|url| !url.is_empty());
        if own_endpoint && (layer.aws.fips == Some(true) || layer.aws.dual_stack == Some(true)) {
            let problem = "cannot be used together with FIPS or dual-stack endpoints (--fips, --dual-stack)";
            return Err(ConfigError::value("aws.endpoint_url (--endpoint-url)", problem));
        }
        let connections = in_range("crawl.connections (--connections)", layer.crawl.connections, 1, 10_000)?;
        let credentials_timeout = duration("aws.credentials_timeout", layer.aws.credentials_timeout.as_deref())?;
        let attempt_timeout = duration("aws.attempt_timeout", layer.aws.attempt_timeout.as_deref())?;
        let state = StateSettings::validate(layer.state)?;
        let changes = ChangeSettings::validate(layer.changes)?;
        let serve = ServeSettings::validate(layer.serve, layer.schedule, &target_names)?;
        Ok(Self {
            changes,
            state,
            serve,
            target_names,
            only: None,
            unselected_targets: Vec::new(),
            described_by_flags: false,
            schedule: None,
            crawl: CrawlSettings::validate(layer.crawl)?,
            http: HttpSettings {
                connect_timeout: duration("aws.connect_timeout", layer.aws.connect_timeout.as_deref())?,
                answer_timeout: attempt_timeout,
                connections,
                ca_bundle: layer.aws.ca_bundle.map(PathBuf::from),
                use_proxies: true,
                plain: false,
            },
            credentials_timeout,
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
            otlp_endpoint: url("telemetry.otlp_endpoint (--otlp-endpoint)", layer.telemetry.otlp_endpoint)?,
            sts_regions,
            budgets: Budgets::validate(&layer.budget)?,
            discovery: DiscoveryUrls {
                organizations: url(
                    "discovery.organizations_endpoint_url (--organizations-endpoint-url)",
                    layer.discovery.organizations_endpoint_url,
                )?,
                account: url(
                    "discovery.account_endpoint_url (--account-endpoint-url)",
                    layer.discovery.account_endpoint_url,
                )?,
                ec2: url("discovery.ec2_endpoint_url (--ec2-endpoint-url)", layer.discovery.ec2_endpoint_url)?,
            },
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
            log_level: layer.log.level.as_deref().map(log_level).transpose()?,
            log_format: match required("log.format (--log-format)", layer.log.format)?.as_str() {
                "text" => LogFormat::Text,
                "json" => LogFormat::Json,
                other => return Err(one_of("log.format (--log-format)", other, &["text", "json"])),
            },
            targets,
            groups,
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
        for target in self.all_targets_mut() {
            target.prepare().await?;
        }
        reject_twice(&self.targets)
    }

    /// Takes the Regions that the configuration leaves to AWS's own settings, where those name one.
    ///
    /// # Errors
    /// When that is not the name of a Region, or of another partition than the target's roles.
    pub async fn take_ambient_regions(&mut self) -> Result<(), ConfigError> {
        for target in self.all_targets_mut() {
            target.take_ambient_region().await?;
        }
        Ok(())
    }

    fn all_targets_mut(&mut self) -> impl Iterator<Item = &mut Target> {
        self.targets.iter_mut().chain(self.groups.iter_mut().map(|group| &mut group.discovery))
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
                serde_json::json!([t.name, t.account_id, t.regions, t.all_regions, format!("{:?}", t.base), chain])
            })
            .collect();
        let groups: Vec<_> = self
            .groups
            .iter()
            .map(|group| {
                let asked = &group.discovery;
                let roles: Vec<_> =
                    asked.chain.iter().map(|step| step.arn.as_str()).chain(group.role_templates()).collect();
                serde_json::json!([group.summary(), format!("{:?}", asked.base), format!("{:?}", group.filter), roles])
            })
            .collect();
        let ambient = ["AWS_PROFILE", "AWS_ROLE_ARN"].map(|name| std::env::var(name).ok());
        let settings = serde_json::json!({
            "targets": targets,
            "groups": groups,
            "include": self.crawl.include,
            "exclude": self.crawl.exclude,
            "layout": format!("{:?}", self.crawl.layout),
            "emit": format!("{:?}", (self.changes.emit, self.changes.drift)),
            "endpoint_url": self.endpoints.dynamodb_url,
            // What AWS's default chain begins with, as far as it stays the same from one session to the next.
            "ambient": ambient,
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
        let patience = duration("crawl.patience (--patience)", raw.patience.as_deref())?;
        let requests = in_range("crawl.requests (--requests)", raw.requests, 1, 10_000)?;
        let concurrency = required("crawl.concurrency (--concurrency)", raw.concurrency)?.validate(requests)?;
        let max_attempts = in_range("crawl.max_attempts (--max-attempts)", raw.max_attempts, 1, 100)?;
        Ok(Self {
            rate: rate("crawl", raw.rate, raw.burst)?,
            concurrency,
            scopes: in_range("crawl.scopes (--scopes)", raw.scopes, 1, 1000)?,
            requests,
            retry: RetryPolicy { max_attempts, patience, ..RetryPolicy::default() },
            recheck_after: Duration::from_secs(1),
            filter: compile("crawl.include", &include, &exclude)?,
            include,
            exclude,
            layout: match required("crawl.layout (--layout)", raw.layout)?.as_str() {
                "table" => Layout::Table,
                "entities" => Layout::Entities,
                other => return Err(one_of("crawl.layout (--layout)", other, &["table", "entities"])),
            },
            output: Destination::validate(&required("crawl.output (--output)", raw.output)?)?,
            keep_files: in_range("crawl.keep_files", raw.keep_files, 0, 1_000_000)?,
            grace: duration("crawl.grace (--grace)", raw.grace.as_deref())?,
            dry_run: required("crawl.dry_run", raw.dry_run)?,
            quiet: required("crawl.quiet", raw.quiet)?,
        })
    }
}
