//! AssumeRole and GetCallerIdentity.

use std::time::Duration;

use bytes::Bytes;

use crate::account_state::AccountState;
use crate::answer::Call;
use crate::caller::Caller;
use crate::derived::{derived_uuid, hash};
use crate::effect::Effect;
use crate::errors::{self, AwsError, escape_xml};
use crate::estate::Role;
use crate::operation::Operation;
use crate::query::Parameters;
use crate::service::Service;
use crate::state::State;

const VERSION: &str = "2011-06-15";
const DEFAULT_SECONDS: i64 = 3_600;
const CHAINED_SECONDS: i64 = 3_600;

impl State {
    /// Answers an STS request.
    pub(crate) fn answer_sts(
        &self,
        call: &Call<'_>,
        caller: &Caller<'_>,
        effect: Option<&Effect>,
    ) -> Result<Bytes, AwsError> {
        if call.parameters.get("Version") != Some(VERSION) {
            return Err(errors::unknown_operation(Service::Sts));
        }
        let result = match call.operation {
            Operation::AssumeRole => self.assume_role(&call.parameters, caller, effect)?,
            Operation::GetCallerIdentity => caller_identity(caller),
            _ => return Err(errors::unknown_operation(Service::Sts)),
        };
        let (name, request_id) = (call.operation.as_str(), &call.request_id);
        Ok(format!(
            "<{name}Response xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">{result}<ResponseMetadata><RequestId>{request_id}</RequestId>\
             </ResponseMetadata></{name}Response>"
        )
        .into())
    }

    fn assume_role(
        &self,
        parameters: &Parameters,
        caller: &Caller<'_>,
        effect: Option<&Effect>,
    ) -> Result<String, AwsError> {
        let required = |name: &'static str| {
            let field = lower_first(name);
            parameters.get(name).filter(|value| !value.is_empty()).ok_or_else(|| {
                invalid(format!("1 validation error detected: Value at '{field}' failed to satisfy constraint: Member must not be null"))
            })
        };
        let (arn, name) = (required("RoleArn")?, required("RoleSessionName")?);
        check_text("roleSessionName", name, 2, 64, "+=,.@-_")?;
        let external_id = parameters.get("ExternalId");
        if let Some(external_id) = external_id {
            check_text("externalId", external_id, 2, 1_224, "+=,.@:/-_")?;
        }
        let seconds = duration(parameters)?;
        let Some((account_id, role_name)) = split_role_arn(arn) else {
            return Err(invalid(format!("{arn} is invalid")));
        };
        self.meters.role(arn);
        let denied = || assume_denied(caller, arn);
        let account = self.account(account_id).filter(|_| !self.is_suspended(account_id)).ok_or_else(denied)?;
        let role = account
            .roles
            .iter()
            .find(|role| role.name == role_name && account_arn(account, role) == arn)
            .ok_or_else(denied)?;
        if self.denials.denies(&caller.account.id, caller.region, Operation::AssumeRole, None)
            || !trusts(role, caller, external_id)
        {
            return Err(denied());
        }
        if caller.session.is_some() && seconds > CHAINED_SECONDS {
            return Err(invalid(
                "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining.",
            ));
        }
        if seconds.unsigned_abs() > role.max_duration.as_secs() {
            return Err(invalid("The requested DurationSeconds exceeds the MaxSessionDuration set for this role."));
        }
        let asked = Duration::from_secs(seconds.unsigned_abs());
        let life = self.max_session.map_or(asked, |longest| longest.min(asked));
        let owner = match effect {
            Some(Effect::AsAccount(id)) => self.account(id).unwrap_or(account),
            _ => account,
        };
        let (session, mut expiration) = self.sessions.issue(owner.index, arn, name, life);
        if let Some(&Effect::ClaimExpiration(seconds)) = effect {
            let claimed = (self.sessions.now_ms() / 1_000).saturating_add(seconds);
            expiration = jiff::Timestamp::from_second(claimed).unwrap_or(expiration);
        }
        Ok(format!(
            "<AssumeRoleResult><AssumedRoleUser><AssumedRoleId>{}:{name}</AssumedRoleId>\
             <Arn>arn:{}:sts::{account_id}:assumed-role/{}/{name}</Arn></AssumedRoleUser><Credentials><AccessKeyId>{}</AccessKeyId>\
             <SecretAccessKey>{}</SecretAccessKey><SessionToken>{}</SessionToken><Expiration>{expiration}</Expiration></Credentials>\
             </AssumeRoleResult>",
            unique_id("AROA", arn),
            account.partition,
            escape_xml(&session.role),
            session.access_key_id,
            session.secret_access_key,
            session.token
        ))
    }
}

fn caller_identity(caller: &Caller<'_>) -> String {
    let user = match &caller.session {
        None => unique_id("AIDA", &caller.account.id),
        Some(session) => format!("{}:{}", unique_id("AROA", &session.role_arn), session.name),
    };
    format!(
        "<GetCallerIdentityResult><Arn>{}</Arn><UserId>{user}</UserId><Account>{}</Account></GetCallerIdentityResult>",
        escape_xml(&caller.arn()),
        caller.account.id
    )
}

/// The error of an AssumeRole that is not allowed. It does not tell whether the role exists.
pub(crate) fn assume_denied(caller: &Caller<'_>, role_arn: &str) -> AwsError {
    let user = caller.arn();
    errors::denied(
        Service::Sts,
        format!("User: {user} is not authorized to perform: sts:AssumeRole on resource: {role_arn}"),
    )
}

fn trusts(role: &Role, caller: &Caller<'_>, external_id: Option<&str>) -> bool {
    let arn = caller.arn();
    let role_arn = caller.session.as_ref().map(|session| session.role_arn.as_str());
    let known = role.trusts.iter().map(String::as_str).any(|principal| {
        principal == "*"
            || principal == caller.account.id
            || principal == arn
            || Some(principal) == role_arn
            || principal == format!("arn:{}:iam::{}:root", caller.account.partition, caller.account.id)
    });
    known && role.external_id.as_deref().is_none_or(|wanted| external_id == Some(wanted))
}

fn duration(parameters: &Parameters) -> Result<i64, AwsError> {
    let Some(text) = parameters.get("DurationSeconds") else { return Ok(DEFAULT_SECONDS) };
    let seconds: i64 = text.parse().map_err(|_| invalid(format!("{text} is not a valid value for DurationSeconds")))?;
    let bound = match seconds {
        ..900 => "greater than or equal to 900",
        900..=43_200 => return Ok(seconds),
        _ => "less than or equal to 43200",
    };
    Err(invalid(format!(
        "1 validation error detected: Value '{seconds}' at 'durationSeconds' failed to satisfy constraint: Member must have value {bound}"
    )))
}

fn check_text(field: &str, value: &str, shortest: usize, longest: usize, also: &str) -> Result<(), AwsError> {
    let legal = |letter: char| letter.is_ascii_alphanumeric() || also.contains(letter);
    if (shortest..=longest).contains(&value.len()) && value.chars().all(legal) {
        return Ok(());
    }
    Err(invalid(format!(
        "1 validation error detected: Value '{value}' at '{field}' failed to satisfy constraint: Member must satisfy regular expression pattern: \
         [\\w{also}]* and have a length of {shortest} to {longest}"
    )))
}

fn invalid(message: impl Into<String>) -> AwsError {
    errors::invalid(Service::Sts, message)
}

/// The account and the name, with its path, of a role's ARN.
fn split_role_arn(arn: &str) -> Option<(&str, &str)> {
    let mut parts = arn.splitn(6, ':');
    let head = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let account = parts.next()?;
    let name = parts.next()?.strip_prefix("role/")?;
    let whole = head.0 == "arn" && head.1.starts_with("aws") && head.2 == "iam" && head.3.is_empty();
    (whole && account.len() == 12 && !name.is_empty()).then_some((account, name))
}

fn account_arn(account: &AccountState, role: &Role) -> String {
    format!("arn:{}:iam::{}:role/{}", account.partition, account.id, role.name)
}

fn unique_id(prefix: &str, seed: &str) -> String {
    let letters = format!("{:X}{:X}", hash(seed), hash(&derived_uuid(seed)));
    format!("{prefix}{:0>17}", letters.chars().take(17).collect::<String>())
}

fn lower_first(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map_or_else(String::new, |first| first.to_ascii_lowercase().to_string() + letters.as_str())
}
