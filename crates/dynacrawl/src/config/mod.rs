//! Configuration in two stages: what the user typed (`raw`), in layers, and what is valid
//! (`valid`), in types that cannot hold invalid values. Neither stage calls AWS or reads secrets.
//! [`Config::prepare`] reads AWS's own files.

mod aws;
mod aws_identity;
mod catalog_names;
mod changes;
mod check;
mod concurrency;
mod crawl;
mod error;
mod export;
mod group;
mod limits;
mod load;
mod log;
mod losses;
mod raw;
mod read;
mod secret;
mod serve;
mod sink;
mod sink_catalogs;
mod sink_eventbridge;
mod sink_http;
#[cfg(feature = "kafka")]
mod sink_kafka;
mod sink_nats;
mod sink_object_store;
mod target;
mod valid;
mod values;
mod warnings;

pub use check::{CheckFormat, CheckSettings};
pub use concurrency::ConcurrencySetting;
pub use error::ConfigError;
pub use export::ExportSettings;
pub(crate) use load::Flags;
pub use log::{LogFormat, LogLevel, LogSettings};
pub(crate) use raw::{AssumeRole as RawAssumeRole, Layer, Regions as RawRegions, Target as RawTarget};
pub(crate) use sink::dead_letters_beside;
pub use valid::Config;

/// The reference configuration: the defaults, and what they mean.
pub const REFERENCE: &str = include_str!("../../../../config/reference.toml");

#[cfg(test)]
mod tests {
    use dynacrawl_fetcher::Concurrency;

    use super::{Config, Layer, REFERENCE};

    #[test]
    fn the_defaults_are_valid_and_complete() {
        let config = Config::validate(Layer::reference()).expect("the reference configuration");
        assert!(config.run.targets.is_empty());
        assert_eq!(config.run.crawl.concurrency, Concurrency::auto(256));
    }

    /// The reference shows every key, and every example in a comment can be used as it is.
    #[test]
    fn the_reference_without_its_comment_signs_is_valid() {
        let is_setting = |line: &str| line.starts_with('[') || line.contains(" = ");
        let uncommented: String = REFERENCE
            .lines()
            .map(|line| match line.strip_prefix('#') {
                Some(rest) if !rest.starts_with(' ') && is_setting(rest) => rest,
                _ => line,
            })
            .map(|line| format!("{line}\n"))
            .collect();
        // A target has either a profile or keys.
        let uncommented = uncommented.replace("profile = \"payments\"\n", "");
        let layer = Layer::parse(&uncommented, "uncommented").expect("every key exists");
        let shown = format!("{layer:?}");
        for (before, _) in shown.match_indices(": None") {
            let key = shown[..before].rsplit([' ', '{']).next().unwrap_or_default();
            let elsewhere = key == "profile" || shown.contains(&format!("{key}: Some("));
            assert!(elsewhere, "{key} is missing in the reference: {shown}");
        }
        let config = Config::validate(layer).expect("valid");
        assert_eq!((config.run.targets.len(), config.run.groups.len()), (3, 1));
    }
}
