//! The settings for assuming a role, checked before any call.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use dynacrawl_model::{AccountId, Escaped, Partition};

/// How long a session lasts by default. Role chaining allows no more.
pub const DEFAULT_DURATION: Duration = Duration::from_secs(3600);

/// What is wrong with a role's setting, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidRole(String);

/// A role's ARN: `arn:PARTITION:iam::ACCOUNT:role/[PATH/]NAME`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RoleArn {
    arn: String,
    partition: Partition,
    account_id: AccountId,
}

impl RoleArn {
    /// The ARN as it was configured.
    pub fn as_str(&self) -> &str {
        &self.arn
    }

    /// The role's partition.
    pub fn partition(&self) -> &Partition {
        &self.partition
    }

    /// The role's account.
    pub fn account_id(&self) -> &AccountId {
        &self.account_id
    }
}

impl fmt::Display for RoleArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.arn)
    }
}

impl FromStr for RoleArn {
    type Err = InvalidRole;

    fn from_str(arn: &str) -> Result<Self, InvalidRole> {
        let wrong = || {
            InvalidRole(format!(
                "'{}' is not the ARN of a role, such as arn:aws:iam::123456789012:role/Crawler",
                Escaped(arn)
            ))
        };
        let parts: Vec<&str> = arn.splitn(6, ':').collect();
        let ["arn", partition, "iam", "", account, resource] = parts.as_slice() else { return Err(wrong()) };
        let name = resource.strip_prefix("role/").ok_or_else(wrong)?;
        let allowed = |b: u8| b.is_ascii_graphic() && !b"{}".contains(&b);
        if !partition.starts_with("aws") || name.is_empty() || name.ends_with('/') || !name.bytes().all(allowed) {
            return Err(wrong());
        }
        let account_id = account.parse().map_err(|_| wrong())?;
        Ok(Self { arn: arn.to_owned(), partition: Partition::from(*partition), account_id })
    }
}

/// The external id by which a role's owner knows on whose behalf it is assumed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalId(String);

impl ExternalId {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ExternalId {
    type Err = InvalidRole;

    fn from_str(id: &str) -> Result<Self, InvalidRole> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"_+=,.@:/-".contains(&b);
        if (2..=1224).contains(&id.len()) && id.bytes().all(allowed) {
            Ok(Self(id.to_owned()))
        } else {
            Err(InvalidRole(
                "not an external id: it has 2 to 1224 characters from letters, digits and _+=,.@:/-".to_owned(),
            ))
        }
    }
}

/// The name under which a session appears in CloudTrail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionName(String);

impl SessionName {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for SessionName {
    fn default() -> Self {
        Self("dynacrawl".to_owned())
    }
}

impl FromStr for SessionName {
    type Err = InvalidRole;

    fn from_str(name: &str) -> Result<Self, InvalidRole> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"_+=,.@-".contains(&b);
        if (2..=64).contains(&name.len()) && name.bytes().all(allowed) {
            Ok(Self(name.to_owned()))
        } else {
            Err(InvalidRole(format!(
                "'{}' is not a session name: it has 2 to 64 characters from letters, digits and _+=,.@-",
                Escaped(name)
            )))
        }
    }
}

/// One step of a chain of roles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssumeRole {
    /// The role.
    pub arn: RoleArn,
    /// The external id that its trust policy requires.
    pub external_id: Option<ExternalId>,
    /// The session's name.
    pub session_name: SessionName,
    duration: Duration,
}

impl AssumeRole {
    /// A step whose sessions last 15 minutes to 12 hours, capped by the role itself.
    ///
    /// # Errors
    /// If the duration is outside that range.
    pub fn new(
        arn: RoleArn,
        external_id: Option<ExternalId>,
        session_name: SessionName,
        duration: Duration,
    ) -> Result<Self, InvalidRole> {
        let whole_seconds = duration.subsec_nanos() == 0;
        if whole_seconds && (900..=43_200).contains(&duration.as_secs()) {
            Ok(Self { arn, external_id, session_name, duration })
        } else {
            Err(InvalidRole(format!(
                "a session of {duration:?} is not possible: AssumeRole takes whole seconds from 15m to 12h"
            )))
        }
    }

    /// How long its sessions last.
    pub fn duration(&self) -> Duration {
        self.duration
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{AssumeRole, ExternalId, RoleArn, SessionName};

    #[test]
    fn role_arns_of_every_partition_are_read() {
        for (arn, partition) in [
            ("arn:aws:iam::123456789012:role/Crawler", "aws"),
            ("arn:aws-cn:iam::123456789012:role/team/a/Crawler", "aws-cn"),
            ("arn:aws-us-gov:iam::123456789012:role/Crawler", "aws-us-gov"),
            ("arn:aws-eusc:iam::123456789012:role/Crawler", "aws-eusc"),
        ] {
            let arn: RoleArn = arn.parse().expect(arn);
            assert_eq!((arn.partition().as_str(), arn.account_id().as_str()), (partition, "123456789012"));
        }
        for wrong in [
            "",
            "Crawler",
            "arn:aws:iam::123:role/Crawler",
            "arn:aws:iam::123456789012:user/Crawler",
            "arn:aws:sts::123456789012:assumed-role/Crawler/x",
            "arn:aws:iam::123456789012:role/",
            "arn:aws:iam:eu-west-1:123456789012:role/Crawler",
            "arn:aws:iam::123456789012:role/a b",
            "arn:aws:iam::123456789012:role/{name}",
        ] {
            assert!(wrong.parse::<RoleArn>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn external_ids_and_session_names_are_checked() {
        assert!("acme:prod/42".parse::<ExternalId>().is_ok());
        assert!("x".parse::<ExternalId>().is_err());
        assert!("with space".parse::<ExternalId>().is_err());
        assert!("a".repeat(1225).parse::<ExternalId>().is_err());
        assert!("dynacrawl@ci".parse::<SessionName>().is_ok());
        assert!("a/b".parse::<SessionName>().is_err());
        assert!("a".repeat(65).parse::<SessionName>().is_err());
    }

    #[test]
    fn durations_are_limited_to_what_assume_role_accepts() {
        let step = |seconds| {
            let arn = "arn:aws:iam::123456789012:role/Crawler".parse().expect("an ARN");
            AssumeRole::new(arn, None, SessionName::default(), Duration::from_secs(seconds))
        };
        assert!(step(899).is_err());
        assert!(step(900).is_ok());
        assert!(step(43_200).is_ok());
        assert!(step(43_201).is_err());
    }
}
