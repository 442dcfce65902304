//! `[sink.NAME.KIND]`: where dynacrawl delivers settled runs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use dynacrawl_engine::settings::{ConfiguredSink, Destination, EventFilter, StateSettings};
use dynacrawl_model::{Escaped, RecordKind};
use dynacrawl_sinks::{Backoff, FileSettings, Output, SinkKind, SinkSettings, Start};
use dynacrawl_walker::InvalidPattern;
use serde::Deserialize;

use super::error::ConfigError;
use super::sink_catalogs::{RawAtlan, RawDataHub, RawOpenMetadata};
use super::sink_eventbridge::RawEventBridge;
use super::sink_http::RawHttp;
#[cfg(feature = "kafka")]
use super::sink_kafka::RawKafka;
use super::sink_nats::RawNats;
use super::sink_object_store::RawObjectStore;
use super::values::{duration, in_range, one_of};

/// The default size in bytes from which a file is rotated.
const MAX_BYTES: u64 = 100 * 1024 * 1024;

/// The default number of events that are delivered at once.
const BATCH: usize = 500;

/// Without Kafka, the section is known but refused.
#[cfg(not(feature = "kafka"))]
type RawKafka = serde::de::IgnoredAny;

/// `[sink.NAME]`: the keys that all sinks have, and a section for the sink's kind.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawSink {
    batch: Option<usize>,
    backoff: Option<String>,
    max_backoff: Option<String>,
    targets: Option<Vec<String>>,
    records: Option<Vec<String>>,
    start: Option<String>,
    include: Option<Vec<String>>,
    exclude: Option<Vec<String>>,
    dead_letters: Option<String>,
    file: Option<RawFile>,
    http: Option<RawHttp>,
    nats: Option<RawNats>,
    kafka: Option<RawKafka>,
    eventbridge: Option<RawEventBridge>,
    object_store: Option<RawObjectStore>,
    datahub: Option<RawDataHub>,
    openmetadata: Option<RawOpenMetadata>,
    atlan: Option<RawAtlan>,
}

/// `[sink.NAME.file]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    path: Option<String>,
    max_bytes: Option<u64>,
    daily: Option<bool>,
}

/// All sinks. Refuses a file that another sink, the output or the state uses.
pub(super) fn sinks(
    raw: BTreeMap<String, RawSink>,
    state: Option<&StateSettings>,
    output: &Destination,
    target_names: &[String],
) -> Result<Vec<ConfiguredSink>, ConfigError> {
    let mut sinks: Vec<ConfiguredSink> = Vec::with_capacity(raw.len());
    let mut files: Vec<PathBuf> = Vec::new();
    if let Destination::File(output) = output {
        let path = PathBuf::from(&output.template);
        files.extend(Output::files(&path).ok().flatten().into_iter().flatten());
        files.push(path);
    }
    for (name, raw) in raw {
        let filter = raw.filter(&name, target_names)?;
        let sink = raw.validate(&name, state)?;
        let file = match &sink.kind {
            SinkKind::File(file) => Some((&file.path, "file.path")),
            _ => None,
        };
        let places = [file, sink.dead_letters.as_ref().map(|path| (path, "dead_letters"))];
        for (path, key) in places.into_iter().flatten() {
            let key = format!("sink.{name}.{key}");
            if state.is_some_and(|state| dynacrawl_state::has_file(&state.path, path)) {
                let problem = format!("{} is a file of the state; choose another name", shown(path));
                return Err(ConfigError::value(key, problem));
            }
            if files.iter().any(|other| dynacrawl_state::is_same_file(other, path)) {
                let problem =
                    format!("{} is written by crawl.output or another sink; choose another name", shown(path));
                return Err(ConfigError::value(key, problem));
            }
            files.push(path.clone());
        }
        if let SinkKind::ObjectStore(store) = &sink.kind {
            let is_same = |other: &&ConfiguredSink| match &other.sink.kind {
                SinkKind::ObjectStore(other) => other.overlaps(store),
                _ => false,
            };
            if let Some(other) = sinks.iter().find(is_same) {
                let problem = format!(
                    "is in the place of sink.{}, or contains it; each sink needs a prefix of its own",
                    other.sink.name
                );
                return Err(ConfigError::value(format!("sink.{name}.object_store.url"), problem));
            }
        }
        sinks.push(ConfiguredSink { sink, filter });
    }
    Ok(sinks)
}

fn shown(path: &Path) -> String {
    Escaped(&path.display().to_string()).to_string()
}

/// The record types that sinks get.
const DELIVERED: [RecordKind; 10] = [
    RecordKind::Table,
    RecordKind::TableAdded,
    RecordKind::TableChanged,
    RecordKind::TableRecreated,
    RecordKind::TableRemoved,
    RecordKind::TableUnselected,
    RecordKind::ScopeRetired,
    RecordKind::ScopeCompleted,
    RecordKind::TargetFailed,
    RecordKind::RunCompleted,
];

impl RawSink {
    /// The sink for a demo, which has other targets.
    pub(super) fn of_all_targets(self) -> Self {
        Self { targets: None, start: None, ..self }
    }

    /// Which events the sink gets.
    fn filter(&self, name: &str, target_names: &[String]) -> Result<EventFilter, ConfigError> {
        let key = |field: &str| format!("sink.{name}.{field}");
        let targets = self.targets.clone().unwrap_or_default();
        if let Some(unknown) = targets.iter().find(|target| !target_names.contains(target)) {
            let known: Vec<_> = target_names.iter().map(String::as_str).collect();
            return Err(one_of(&key("targets"), unknown, &known));
        }
        let mut records = Vec::new();
        for text in self.records.iter().flatten() {
            let names = DELIVERED.map(RecordKind::as_str);
            let known = DELIVERED.into_iter().find(|kind| kind.as_str() == text);
            records.push(known.ok_or_else(|| one_of(&key("records"), text, &names))?);
        }
        let (include, exclude) = (self.include.clone().unwrap_or_default(), self.exclude.clone().unwrap_or_default());
        let wrong = |field: &str, error: &InvalidPattern| ConfigError::value(key(field), error);
        EventFilter::new(Vec::new(), Vec::new(), include.clone(), Vec::new())
            .map_err(|error| wrong("include", &error))?;
        EventFilter::new(targets, records, include, exclude).map_err(|error| wrong("exclude", &error))
    }

    fn backoff(&self, key: &impl Fn(&str) -> String) -> Result<Backoff, ConfigError> {
        let default = Backoff::default();
        let of = |field: &str, text: &Option<String>, default| match text {
            Some(text) => duration(&key(field), Some(text)),
            None => Ok(default),
        };
        let backoff = Backoff {
            first: of("backoff", &self.backoff, default.first)?,
            longest: of("max_backoff", &self.max_backoff, default.longest)?,
        };
        if backoff.longest < backoff.first {
            let problem = format!("{:?} is shorter than backoff, {:?}", backoff.longest, backoff.first);
            return Err(ConfigError::value(key("max_backoff"), problem));
        }
        Ok(backoff)
    }

    fn validate(self, name: &str, state: Option<&StateSettings>) -> Result<SinkSettings, ConfigError> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if name.is_empty() || name.len() > 64 || !name.chars().all(is_plain) {
            let problem = format!("'{}' is not a name for a sink; expected letters, digits, - and _", Escaped(name));
            return Err(ConfigError::value("sink", problem));
        }
        let key = |field: &str| format!("sink.{name}.{field}");
        let backoff = self.backoff(&key)?;
        let file = self.file.map(|file| file.validate(&key).map(SinkKind::File));
        let http = self.http.map(|http| http.validate(&key).map(SinkKind::Http));
        let nats = self.nats.map(|nats| nats.validate(&key).map(SinkKind::Nats));
        #[cfg(feature = "kafka")]
        let kafka = self.kafka.map(|kafka| kafka.validate(&key));
        #[cfg(not(feature = "kafka"))]
        let kafka = self.kafka.map(|_| {
            let problem = "this dynacrawl was built without Kafka: build it with --features kafka";
            Err(ConfigError::value(key("kafka"), problem))
        });
        let eventbridge = self.eventbridge.map(|bus| bus.validate(&key).map(SinkKind::EventBridge));
        let object_store = self.object_store.map(|store| store.validate(&key).map(SinkKind::ObjectStore));
        let datahub = self.datahub.map(|raw| raw.validate(&key).map(SinkKind::DataHub));
        let openmetadata = self.openmetadata.map(|raw| raw.validate(&key).map(SinkKind::OpenMetadata));
        let atlan = self.atlan.map(|raw| raw.validate(&key).map(SinkKind::Atlan));
        let mut kinds =
            [file, http, nats, kafka, eventbridge, object_store, datahub, openmetadata, atlan].into_iter().flatten();
        let kind = match (kinds.next(), kinds.next()) {
            (Some(kind), None) => kind?,
            (None, _) => {
                let problem = format!("has no kind; add a section such as [sink.{name}.file]");
                return Err(ConfigError::value(format!("sink.{name}"), problem));
            }
            (Some(_), Some(_)) => {
                let problem = "has several kinds; give each a sink of its own";
                return Err(ConfigError::value(format!("sink.{name}"), problem));
            }
        };
        let start = match self.start.as_deref().unwrap_or("now") {
            "now" => Start::Now,
            "snapshot" => Start::Snapshot,
            "beginning" => Start::Beginning,
            other => return Err(one_of(&key("start"), other, &["now", "snapshot", "beginning"])),
        };
        if !kind.takes_events() {
            let of_events = [
                ("records", self.records.is_some()),
                ("start", self.start.is_some()),
                ("batch", kind.takes_snapshots() && self.batch.is_some()),
                ("dead_letters", kind.takes_snapshots() && self.dead_letters.is_some()),
            ];
            if let Some((field, _)) = of_events.into_iter().find(|(_, is_set)| *is_set) {
                let problem = "concerns single events, and this sink follows the state instead; remove it";
                return Err(ConfigError::value(key(field), problem));
            }
        }
        if self.start.is_some() && state.is_none() {
            let problem = "needs a state (state.path): without one, each run sends all tables; remove it";
            return Err(ConfigError::value(key("start"), problem));
        }
        let has_tables = |records: &Vec<String>| records.iter().any(|record| record == RecordKind::Table.as_str());
        if start == Start::Snapshot && !self.records.as_ref().is_none_or(has_tables) {
            let problem = "\"snapshot\" sends records of the type table, which records leaves out; add it to them";
            return Err(ConfigError::value(key("start"), problem));
        }
        let state = state.filter(|_| !kind.takes_snapshots());
        let beside = |state: &StateSettings| dead_letters_beside(&state.path, name);
        let dead_letters = self.dead_letters.filter(|path| !path.is_empty());
        Ok(SinkSettings {
            name: name.to_owned(),
            kind,
            batch: in_range(&key("batch"), Some(self.batch.unwrap_or(BATCH)), 1, 10_000)?,
            backoff,
            dead_letters: dead_letters.map(|path| absolute(&path)).or(state.map(beside)),
            start,
        })
    }
}

/// The file for dead letters of a sink for which the configuration names none.
pub(crate) fn dead_letters_beside(state: &Path, sink: &str) -> PathBuf {
    let mut path = state.as_os_str().to_owned();
    path.push(format!(".{sink}.refused.jsonl"));
    PathBuf::from(path)
}

impl RawFile {
    fn validate(self, key: &impl Fn(&str) -> String) -> Result<FileSettings, ConfigError> {
        let path = self.path.filter(|path| !path.is_empty());
        let path = path.ok_or_else(|| ConfigError::value(key("file.path"), "is missing; expected a file"))?;
        Ok(FileSettings {
            path: absolute(&path),
            max_bytes: self.max_bytes.unwrap_or(MAX_BYTES),
            daily: self.daily.unwrap_or_default(),
        })
    }
}

/// Makes a path independent of the directory that dynacrawl is started in.
fn absolute(path: &str) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.into())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use dynacrawl_sinks::{FileSettings, SinkKind};

    use crate::config::Config;

    fn config(text: &str) -> Result<Config, String> {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("test.toml");
        std::fs::write(&file, text).expect("written");
        let error = |error: crate::config::ConfigError| error.to_string();
        Config::check_file(&file).map_err(error).map_err(|error| error.split_once(": ").expect("a file").1.to_owned())
    }

    #[test]
    fn a_file_is_a_sink_with_defaults() {
        let text = "[state]\npath = \"/s/state.db\"\n[sink.audit.file]\npath = \"/s/events.jsonl\"\n";
        let [configured] = &config(text).expect("valid").run.sinks[..] else { panic!("one sink") };
        let audit = &configured.sink;
        let file = FileSettings { path: "/s/events.jsonl".into(), max_bytes: 100 << 20, daily: false };
        assert_eq!((audit.name.as_str(), &audit.kind, audit.batch), ("audit", &SinkKind::File(file), 500));
        assert_eq!(audit.dead_letters.as_deref(), Some(Path::new("/s/state.db.audit.refused.jsonl")));
    }

    #[test]
    fn an_error_of_a_sink_names_the_sink() {
        let state = "[state]\npath = \"/s/state.db\"\n";
        for (text, problem) in [
            ("[sink.a]\ntargets = [\"x\"]\n[sink.a.file]\npath = \"/x\"\n", "sink.a.targets: 'x' is unknown"),
            ("[sink.a]\nrecords = [\"index\"]\n[sink.a.file]\npath = \"/x\"\n", "sink.a.records: 'index' is unknown"),
            (
                "[sink.a]\nstart = \"snapshot\"\nrecords = [\"table_added\"]\n[sink.a.file]\npath = \"/x\"\n",
                "sink.a.start: \"snapshot\" sends records of the type table",
            ),
            ("[sink.a]\nstart = \"then\"\n[sink.a.file]\npath = \"/x\"\n", "sink.a.start: 'then' is unknown"),
            (
                "[sink.a]\nstart = \"now\"\n[sink.a.datahub]\nurl = \"http://a\"\n",
                "sink.a.start: concerns single events",
            ),
            ("[sink.a]\ninclude = [\"[\"]\n[sink.a.file]\npath = \"/x\"\n", "sink.a.include: '[' is not"),
            ("[sink.a]\nexclude = [\"[\"]\n[sink.a.file]\npath = \"/x\"\n", "sink.a.exclude: '[' is not"),
            ("[sink.a]\nmax_backoff = \"1ms\"\n[sink.a.file]\npath = \"/x\"\n", "sink.a.max_backoff: 1ms is shorter"),
            ("[sink.audit]\nbatch = 3\n", "sink.audit: has no kind; add a section such as [sink.audit.file]"),
            ("[sink.audit.file]\ndaily = true\n", "sink.audit.file.path: is missing; expected a file"),
            (
                "[sink.a.file]\npath = \"/x\"\n[sink.a.http]\nurl = \"https://a\"\n",
                "sink.a: has several kinds; give each a sink of its own",
            ),
            ("[sink.audit]\nbatch = 0\n[sink.audit.file]\npath = \"x\"\n", "sink.audit.batch: 0 is out of range"),
            ("[sink.\"a b\".file]\npath = \"x\"\n", "sink: 'a b' is not a name for a sink"),
            ("[sink.a.file]\npath = \"/x\"\n[sink.b.file]\npath = \"/x\"\n", "sink.b.file.path: /x is written by"),
            ("[sink.a.file]\npath = \"/s/state.db\"\n", "sink.a.file.path: /s/state.db is a file of the state"),
            ("[crawl]\noutput = \"/x\"\n[sink.a.file]\npath = \"/x\"\n", "sink.a.file.path: /x is written by"),
            (
                "[crawl]\noutput = \"/x\"\n[sink.a.file]\npath = \"/x.partial\"\n",
                "sink.a.file.path: /x.partial is written",
            ),
            (
                "[crawl]\noutput = \"/x\"\n[sink.a.file]\npath = \"/tmp/../x\"\n",
                "sink.a.file.path: /tmp/../x is written",
            ),
        ] {
            let error = config(&format!("{state}{text}")).map(drop).expect_err(text);
            assert!(error.starts_with(problem), "{error}");
        }
        let error =
            config("[sink.a]\nstart = \"now\"\n[sink.a.file]\npath = \"/x\"\n").map(drop).expect_err("no state");
        assert!(error.starts_with("sink.a.start: needs a state"), "{error}");
    }
}
