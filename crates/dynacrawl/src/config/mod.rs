//! Configuration in two stages: what was typed (`raw`), in layers; and what is valid (`valid`), in types that cannot
//! hold nonsense. Nothing is called in either; secrets and AWS's own files are read in [`Config::prepare`].

mod changes;
mod concurrency;
mod group;
mod limits;
mod load;
mod output;
mod raw;
mod secret;
mod serve;
mod target;
mod valid;
mod values;

use std::path::{Path, PathBuf};

pub(crate) use changes::scopes;
pub use changes::{Accepted, ChangeSettings, Emit, FailSafe};
pub use concurrency::ConcurrencySetting;
pub use group::Group;
pub use limits::{Budgets, StateSettings};
pub(crate) use load::{Flags, UnknownTarget};
pub(crate) use output::collision;
pub use output::{Destination, OutputPath, Placeholder};
pub(crate) use raw::{AssumeRole as RawAssumeRole, Layer, Regions as RawRegions, Target as RawTarget};
pub use serve::{NamedSchedule, ServeSettings};
pub use target::{Target, TargetBase, UnselectedTarget};
pub use valid::{CheckFormat, CheckSettings, Config, CrawlSettings, LogFormat, LogLevel};

/// The reference configuration: what the defaults are, and what they mean.
pub const REFERENCE: &str = include_str!("../../../../config/reference.toml");

/// Why a configuration cannot be used: what is wrong, where, and what would be right.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not TOML, or has a key or a type of value that does not exist.
    #[error("{place}: {problem}")]
    Syntax {
        /// File, line and column.
        place: String,
        /// What is wrong there.
        problem: String,
    },
    /// A value cannot be used.
    #[error("{key}: {problem}")]
    Value {
        /// The key, and the flag where there is one.
        key: String,
        /// What is wrong, and what would be right.
        problem: String,
    },
}

impl ConfigError {
    #[expect(clippy::needless_pass_by_value, reason = "errors are passed on, not kept")]
    pub(crate) fn value(key: impl Into<String>, problem: impl ToString) -> Self {
        Self::Value { key: key.into(), problem: problem.to_string() }
    }

    /// The same, with the file in which the value stands.
    fn in_file(self, path: &Path) -> Self {
        match self {
            Self::Value { key, problem } => Self::Value { key: format!("{}: {key}", path.display()), problem },
            other => other,
        }
    }
}

/// The keys of the configuration under which, or instead of which, someone may type a secret.
const SECRET_KEYS: [&str; 5] = ["credentials", "access_key_id", "secret_access_key", "session_token", "token"];

impl Layer {
    /// Reads a configuration file.
    pub(crate) fn read(path: &Path) -> Result<Self, ConfigError> {
        let text =
            std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        Self::parse(&text, &path.display().to_string())
    }

    /// The defaults.
    pub(crate) fn reference() -> Self {
        Self::parse(REFERENCE, "config/reference.toml").unwrap_or_else(|error| unreachable!("{error}"))
    }

    /// Only the message and the place are passed on: the library's own text quotes the line, which may hold a secret.
    fn parse(text: &str, name: &str) -> Result<Self, ConfigError> {
        toml::from_str(text).map_err(|mut error: toml::de::Error| {
            let before = &text[..error.span().map_or(0, |span| span.start.min(text.len()))];
            let line = before.matches('\n').count() + 1;
            let column = before.chars().rev().take_while(|&c| c != '\n').count() + 1;
            // Without the input its text quotes no line, and names the key instead.
            error.set_input(None);
            let mut problem = error.to_string().lines().collect::<Vec<_>>().join(", ");
            // Of a value of the wrong type the text repeats the value; where keys belong, that may be one.
            let whole_line = text.lines().nth(line - 1).unwrap_or_default();
            let of_a_secret = SECRET_KEYS.iter().any(|key| whole_line.contains(key) || problem.contains(key));
            if of_a_secret && problem.contains("invalid ") {
                problem =
                    "a key must not stand in the file itself; write { env = \"NAME\" } or { file = \"/path\" } for \
                           access_key_id, secret_access_key, session_token and token"
                        .to_owned();
            }
            ConfigError::Syntax { place: format!("{name}:{line}:{column}"), problem }
        })
    }
}

#[cfg(test)]
mod tests {
    use dynacrawl_fetcher::Concurrency;

    use super::{Config, Layer, REFERENCE};

    #[test]
    fn the_defaults_are_valid_and_complete() {
        let config = Config::validate(Layer::reference()).expect("the reference configuration");
        assert!(config.targets.is_empty());
        assert_eq!(config.crawl.concurrency, Concurrency::auto(256));
    }

    /// Every key is shown, and every example in a comment can be used as it stands.
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
        assert_eq!((config.targets.len(), config.groups.len()), (3, 1));
    }

    #[test]
    fn an_error_names_the_place_and_never_repeats_a_key() {
        let refused = |text: &str| Layer::parse(text, "x.toml").expect_err(text).to_string();
        let unknown = refused("[crawl]\nrat = 3\n");
        assert!(unknown.starts_with("x.toml:2:1: unknown field `rat`, expected"), "{unknown}");
        let secret = refused(
            "[[target]]\nname = \"a\"\ncredentials = { access_key_id = \"AKIAQ\", secret_access_key = \"hunter2\" }\n",
        );
        assert!(secret.starts_with("x.toml:3:") && secret.contains("{ env = \"NAME\" }"), "{secret}");
        assert!(!secret.contains("AKIAQ") && !secret.contains("hunter2"), "{secret}");
        for wrong in [
            "[[target]]\ncredentials = \"hunter2\"\n",
            "[[target]]\n[target.credentials]\nsecret_access_key = 12345678\n",
            "[[target]]\n[target.credentials]\nsession_token = { env = 12345678 }\n",
        ] {
            let secret = refused(wrong);
            assert!(secret.contains("must not stand in the file"), "{secret}");
            assert!(!secret.contains("12345678") && !secret.contains("hunter2"), "{secret}");
        }
        let typed = refused("[crawl]\nrate = \"fast\"\n");
        assert!(typed.starts_with("x.toml:2:8: invalid type: string \"fast\""), "{typed}");
    }
}
