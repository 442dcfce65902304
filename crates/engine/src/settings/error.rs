//! A setting that cannot be used.

/// A setting that cannot be used: what is wrong, where, and what is expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {problem}")]
pub struct SettingError {
    /// The key of the configuration, and the flag if there is one.
    pub key: String,
    /// What is wrong, and what is expected.
    pub problem: String,
}

impl SettingError {
    /// An error about the value of a key.
    #[expect(clippy::needless_pass_by_value, reason = "errors are passed on, not kept")]
    pub fn new(key: impl Into<String>, problem: impl ToString) -> Self {
        Self { key: key.into(), problem: problem.to_string() }
    }
}
