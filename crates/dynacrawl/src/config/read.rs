//! Reads the layers of a configuration.

use std::collections::BTreeSet;
use std::path::Path;

use super::REFERENCE;
use super::error::ConfigError;
use super::raw::Layer;

/// The keys under which, or in place of whose values, a user may type a secret.
const SECRET_KEYS: [&str; 9] = [
    "credentials",
    "access_key_id",
    "secret_access_key",
    "session_token",
    "token",
    "bearer",
    "basic",
    "password",
    "signing_key",
];

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

    /// An error has only the message and the place. The library's own text quotes the line, which
    /// may hold a secret.
    pub(super) fn parse(text: &str, name: &str) -> Result<Self, ConfigError> {
        let mut layer: Self = toml::from_str(text).map_err(|mut error: toml::de::Error| {
            let before = &text[..error.span().map_or(0, |span| span.start.min(text.len()))];
            let line = before.matches('\n').count() + 1;
            let column = before.chars().rev().take_while(|&c| c != '\n').count() + 1;
            // Without the input its text names the key and does not quote the line.
            error.set_input(None);
            let mut problem = error.to_string().lines().collect::<Vec<_>>().join(", ");
            // The text repeats a value of the wrong type. Under these keys, the value may be a
            // secret.
            let whole_line = text.lines().nth(line - 1).unwrap_or_default();
            let may_be_secret = SECRET_KEYS.iter().any(|key| whole_line.contains(key) || problem.contains(key));
            if may_be_secret && problem.contains("invalid ") {
                problem =
                    "a secret must not be in the file itself; write { env = \"NAME\" } or { file = \"/path\" } for \
                           every key, token and password"
                        .to_owned();
            }
            ConfigError::Syntax { place: format!("{name}:{line}:{column}"), problem }
        })?;
        if let Ok(table) = toml::from_str::<toml::Table>(text) {
            table.values().for_each(|value| collect_variables(value, &mut layer.variables));
        }
        Ok(layer)
    }
}

/// Collects the variables that references such as `{ env = "NAME" }` name, wherever they are.
fn collect_variables(value: &toml::Value, variables: &mut BTreeSet<String>) {
    match value {
        toml::Value::Table(table) => {
            variables.extend(table.get("env").and_then(toml::Value::as_str).map(str::to_owned));
            table.values().for_each(|value| collect_variables(value, variables));
        }
        toml::Value::Array(values) => values.iter().for_each(|value| collect_variables(value, variables)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::Layer;

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
            assert!(secret.contains("must not be in the file"), "{secret}");
            assert!(!secret.contains("12345678") && !secret.contains("hunter2"), "{secret}");
        }
        let typed = refused("[crawl]\nrate = \"fast\"\n");
        assert!(typed.starts_with("x.toml:2:8: invalid type: string \"fast\""), "{typed}");
    }
}
