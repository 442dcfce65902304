//! What the user typed: the shape of the configuration file. Every key is optional here. The
//! defaults are in the reference configuration, which is read in the same way.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::de::{Error, SeqAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};

use super::concurrency::ConcurrencySetting;
use super::secret::Reference;
use super::sink::RawSink;

/// Defines a section. Another layer can override each of its keys.
macro_rules! section {
    ($(#[$doc:meta])* $name:ident { $($field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub(crate) struct $name {
            $(pub(crate) $field: Option<$type>,)*
        }

        impl $name {
            /// Overrides the keys that `above` sets.
            fn overlay(&mut self, above: Self) {
                $(if above.$field.is_some() { self.$field = above.$field; })*
            }
        }
    };
}

section! {
    /// `[crawl]`
    Crawl {
        rate: u32,
        burst: u32,
        concurrency: ConcurrencySetting,
        scopes: usize,
        requests: usize,
        connections: usize,
        max_attempts: u32,
        patience: String,
        probes: Vec<String>,
        include: Vec<String>,
        exclude: Vec<String>,
        layout: String,
        records: Vec<String>,
        output: String,
        keep_files: u32,
        grace: String,
        deliver_within: String,
        dry_run: bool,
        quiet: bool,
    }
}
section! {
    /// `[aws]`
    Aws {
        connect_timeout: String,
        attempt_timeout: String,
        credentials_timeout: String,
        ca_bundle: String,
        endpoint_url: String,
        fips: bool,
        dual_stack: bool,
        account_id_endpoints: String,
    }
}
section! {
    /// `[sts]`
    Sts {
        endpoint_url: String,
        regions: BTreeMap<String, String>,
    }
}
section! {
    /// `[discovery]`
    Discovery {
        organizations_endpoint_url: String,
        account_endpoint_url: String,
        ec2_endpoint_url: String,
    }
}
section! {
    /// `[state]`
    State {
        path: String,
        resume_within: String,
        keep_days: u32,
        undelivered_days: u32,
        undelivered_events: u64,
    }
}
section! {
    /// `[changes]`
    Changes {
        emit: String,
        drift: bool,
        fail_safe_percent: u32,
        fail_safe_from: u64,
        accept_removals: Vec<String>,
        accept_retirements: Vec<String>,
    }
}
section! {
    /// `[budget.NAME]`
    Budget {
        rate: u32,
        burst: u32,
        concurrency: usize,
    }
}

/// `[budget]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Budgets {
    #[serde(default)]
    pub(crate) sts: Budget,
    #[serde(default)]
    pub(crate) organizations: Budget,
    #[serde(default)]
    pub(crate) account: Budget,
}

impl Budgets {
    fn overlay(&mut self, above: Self) {
        let Self { sts, organizations, account } = above;
        self.sts.overlay(sts);
        self.organizations.overlay(organizations);
        self.account.overlay(account);
    }
}

section! {
    /// `[check]`
    Check {
        tables: usize,
        all: bool,
        format: String,
        external_id_probe: bool,
    }
}
section! {
    /// `[log]`
    Log {
        level: String,
        format: String,
    }
}

section! {
    /// `[telemetry]`
    Telemetry {
        otlp_endpoint: String,
    }
}
section! {
    /// `[serve]`
    Serve {
        listen: String,
        token: Reference,
        allowed_hosts: Vec<String>,
        run_at_start: bool,
        reload_every: String,
    }
}

/// `[[schedule]]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Schedule {
    pub(crate) name: Option<String>,
    pub(crate) cron: Option<String>,
    pub(crate) time_zone: Option<String>,
    pub(crate) jitter: Option<String>,
    pub(crate) targets: Option<Vec<String>>,
}

/// A layer of the configuration.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Layer {
    #[serde(default)]
    pub(crate) crawl: Crawl,
    #[serde(default)]
    pub(crate) aws: Aws,
    #[serde(default)]
    pub(crate) sts: Sts,
    #[serde(default)]
    pub(crate) budget: Budgets,
    #[serde(default)]
    pub(crate) discovery: Discovery,
    #[serde(default)]
    pub(crate) state: State,
    #[serde(default)]
    pub(crate) changes: Changes,
    #[serde(default)]
    pub(crate) check: Check,
    #[serde(default)]
    pub(crate) log: Log,
    #[serde(default)]
    pub(crate) telemetry: Telemetry,
    #[serde(default)]
    pub(crate) serve: Serve,
    #[serde(default)]
    pub(crate) schedule: Vec<Schedule>,
    #[serde(default)]
    pub(crate) target: Vec<Target>,
    #[serde(default)]
    pub(crate) sink: BTreeMap<String, RawSink>,
    #[serde(default)]
    pub(crate) export: Export,
    /// The environment variables that the file names as `{ env = "NAME" }`.
    #[serde(skip)]
    pub(crate) variables: BTreeSet<String>,
}

impl Layer {
    /// Overrides the keys that `above` sets. Targets, schedules and sinks are replaced as a whole.
    pub(crate) fn overlay(&mut self, above: Self) {
        let Self {
            crawl,
            aws,
            sts,
            budget,
            discovery,
            state,
            changes,
            check,
            log,
            telemetry,
            serve,
            schedule,
            target,
            sink,
            export,
            variables,
        } = above;
        self.variables.extend(variables);
        self.crawl.overlay(crawl);
        self.aws.overlay(aws);
        self.sts.overlay(sts);
        self.budget.overlay(budget);
        self.discovery.overlay(discovery);
        self.state.overlay(state);
        self.changes.overlay(changes);
        self.check.overlay(check);
        self.log.overlay(log);
        self.telemetry.overlay(telemetry);
        self.serve.overlay(serve);
        self.export.overlay(export);
        if !schedule.is_empty() {
            self.schedule = schedule;
        }
        if !target.is_empty() {
            self.target = target;
        }
        if !sink.is_empty() {
            self.sink = sink;
        }
    }
}

section! {
    /// `[export.datahub]`
    ExportDataHub {
        env: String,
        platform_instance: String,
    }
}
section! {
    /// `[export.openmetadata]`
    ExportOpenMetadata {
        names: String,
        service: String,
    }
}
section! {
    /// `[export.atlan]`
    ExportAtlan {
        connections: BTreeMap<String, String>,
    }
}

/// `[export]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Export {
    #[serde(default)]
    pub(crate) datahub: ExportDataHub,
    #[serde(default)]
    pub(crate) openmetadata: ExportOpenMetadata,
    #[serde(default)]
    pub(crate) atlan: ExportAtlan,
}

impl Export {
    /// Overrides the keys that `above` sets.
    fn overlay(&mut self, above: Self) {
        self.datahub.overlay(above.datahub);
        self.openmetadata.overlay(above.openmetadata);
        self.atlan.overlay(above.atlan);
    }
}

/// `[[target]]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Target {
    pub(crate) name: Option<String>,
    pub(crate) regions: Option<Regions>,
    pub(crate) partition: Option<String>,
    pub(crate) account_id: Option<String>,
    pub(crate) accounts: Option<Vec<String>>,
    pub(crate) organizations: Option<bool>,
    pub(crate) include_accounts: Option<Vec<String>>,
    pub(crate) exclude_accounts: Option<Vec<String>>,
    pub(crate) include_ous: Option<Vec<String>>,
    pub(crate) exclude_ous: Option<Vec<String>>,
    pub(crate) profile: Option<String>,
    pub(crate) credentials: Option<Credentials>,
    pub(crate) assume_role: Option<Vec<AssumeRole>>,
}

impl Target {
    /// The target's name, or one made from its position.
    pub(crate) fn name_or_number(&self, number: usize) -> String {
        self.name.clone().unwrap_or_else(|| format!("target-{}", number + 1))
    }
}

/// `regions` of a target: a list, or the word `all`, which becomes a list with that word.
#[derive(Clone, Debug, Default)]
pub(crate) struct Regions(pub(crate) Vec<String>);

impl<'de> Deserialize<'de> for Regions {
    /// By hand, so that the message names the allowed values.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Names;
        impl<'de> Visitor<'de> for Names {
            type Value = Regions;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of Regions, or \"all\"")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Regions, E> {
                match text {
                    "all" => Ok(Regions(vec![text.to_owned()])),
                    _ => Err(E::invalid_value(Unexpected::Str(text), &self)),
                }
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Regions, A::Error> {
                let mut names = Vec::new();
                while let Some(name) = list.next_element()? {
                    names.push(name);
                }
                Ok(Regions(names))
            }
        }
        deserializer.deserialize_any(Names)
    }
}

/// `credentials` of a target.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Credentials {
    pub(crate) access_key_id: Reference,
    pub(crate) secret_access_key: Reference,
    pub(crate) session_token: Option<Reference>,
}

/// One step of a target's `assume_role`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AssumeRole {
    pub(crate) arn: String,
    pub(crate) external_id: Option<String>,
    pub(crate) session_name: Option<String>,
    pub(crate) duration: Option<String>,
}
