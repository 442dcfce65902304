//! The keys by which a sink authenticates at AWS.

use dynacrawl_model::Escaped;
use dynacrawl_sinks::{AwsIdentity, AwsRole};

use super::error::ConfigError;
use super::secret::Reference;

/// The keys by which a sink authenticates at AWS, which several sections have.
pub(super) struct RawIdentity {
    pub(super) profile: Option<String>,
    pub(super) role_arn: Option<String>,
    pub(super) external_id: Option<String>,
    pub(super) access_key_id: Option<Reference>,
    pub(super) secret_access_key: Option<Reference>,
}

impl RawIdentity {
    /// `key`: the name of a key with its section.
    pub(super) fn validate(self, key: &impl Fn(&str) -> String) -> Result<AwsIdentity, ConfigError> {
        let role = self.role_arn.filter(|arn| !arn.is_empty());
        if let Some(arn) = role.as_ref().filter(|arn| !(arn.starts_with("arn:") && arn.contains(":role/"))) {
            let problem =
                format!("'{}' is not the ARN of a role; expected arn:aws:iam::ACCOUNT:role/NAME", Escaped(arn));
            return Err(ConfigError::value(key("role_arn"), problem));
        }
        if self.external_id.is_some() && role.is_none() {
            return Err(ConfigError::value(key("external_id"), "needs role_arn"));
        }
        let profile = self.profile.filter(|profile| !profile.is_empty());
        match (self.access_key_id, self.secret_access_key) {
            (None, None) => {
                let role = role.map(|arn| AwsRole { arn, external_id: self.external_id });
                Ok(AwsIdentity::Ambient { profile, role })
            }
            (Some(_), Some(_)) if profile.is_some() || role.is_some() => {
                Err(ConfigError::value(key("access_key_id"), "cannot be used together with profile or role_arn"))
            }
            (Some(id), Some(secret)) => Ok(AwsIdentity::Keys {
                access_key_id: id.validate(&key("access_key_id"))?,
                secret_access_key: secret.validate(&key("secret_access_key"))?,
            }),
            (Some(_), None) => Err(ConfigError::value(key("secret_access_key"), "is missing beside access_key_id")),
            (None, Some(_)) => Err(ConfigError::value(key("access_key_id"), "is missing beside secret_access_key")),
        }
    }
}
