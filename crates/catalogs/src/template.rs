//! Names with placeholders for the account and the Region.

use std::fmt;
use std::str::FromStr;

use dynacrawl_model::{AccountId, Scope};

/// A name with the placeholders `{account}` and `{region}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(String);

/// Why a text is not a template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// It is empty.
    #[error("is empty")]
    Empty,
    /// It has another placeholder.
    #[error("has a placeholder other than {{account}} and {{region}}")]
    Placeholder,
    /// It has a character that the names of a catalog cannot have.
    #[error("has the character {0:?}; expected letters, digits, and . _ - :")]
    Character(char),
}

impl Template {
    /// The name for a scope.
    pub fn fill(&self, scope: &Scope) -> String {
        let account = scope.account_id.as_ref().map_or("unknown", AccountId::as_str);
        self.0.replace("{account}", account).replace("{region}", scope.region.as_str())
    }

    /// Whether two scopes of one account have different names.
    pub fn has_region(&self) -> bool {
        self.0.contains("{region}")
    }

    /// Whether two accounts have different names.
    pub fn has_account(&self) -> bool {
        self.0.contains("{account}")
    }
}

impl FromStr for Template {
    type Err = TemplateError;

    fn from_str(text: &str) -> Result<Self, TemplateError> {
        let rest = text.replace("{account}", "").replace("{region}", "");
        if rest.contains(['{', '}']) {
            return Err(TemplateError::Placeholder);
        }
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | ':');
        match rest.chars().find(|&c| !is_plain(c)) {
            Some(odd) => Err(TemplateError::Character(odd)),
            None if text.is_empty() => Err(TemplateError::Empty),
            None => Ok(Self(text.to_owned())),
        }
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::{Template, TemplateError};

    #[test]
    fn only_known_placeholders_and_plain_characters_are_accepted() {
        let parsed = |text: &str| text.parse::<Template>();
        assert!(parsed("dynamodb-{account}-{region}").is_ok_and(|name| name.has_account() && name.has_region()));
        assert_eq!(parsed(""), Err(TemplateError::Empty));
        assert_eq!(parsed("{name}"), Err(TemplateError::Placeholder));
        assert_eq!(parsed("a,b"), Err(TemplateError::Character(',')));
    }
}
