//! AWS STS, in AWS Query: AssumeRole and GetCallerIdentity.

use std::time::Duration;

use bytes::Bytes;

use super::service::{Answer, Call, Request, Service};
use crate::account_state::AccountState;
use crate::caller::Caller;
use crate::derived::{derived_uuid, hash};
use crate::effect::Effect;
use crate::errors::{AwsError, Errors};
use crate::estate::Role;
use crate::operation::Operation;
use crate::query::Parameters;
use crate::regions::home_region;
use crate::xml::escape_xml;

const VERSION: &str = "2011-06-15";
const DEFAULT_SECONDS: i64 = 3_600;
const CHAINED_SECONDS: i64 = 3_600;

/// AWS STS.
#[derive(Debug)]
pub(super) struct Sts;

impl Service for Sts {
    fn name(&self) -> &'static str {
        "sts"
    }

    fn content_type(&self) -> &'static str {
        "text/xml"
    }

    fn operations(&self) -> &'static [(Operation, Answer)] {
        &[(Operation::AssumeRole, assume_role), (Operation::GetCallerIdentity, get_caller_identity)]
    }

    fn of_action(&self, action: &str, _version: &str) -> Option<Operation> {
        self.operation(action)
    }

    fn answers_without_opt_in(&self, partition: &str, region: &str) -> bool {
        region == home_region(partition)
    }

    /// AssumeRole checks denials together with the trust of the role, and nothing denies
    /// GetCallerIdentity.
    fn weighs_denials(&self) -> bool {
        true
    }

    /// The session of a role can belong to another account, but its caller stays the same.
    fn accepts_substitute(&self, operation: Operation) -> bool {
        operation != Operation::AssumeRole
    }

    fn denied(&self, call: &Call<'_>, caller: &Caller<'_>, _table: Option<&str>) -> AwsError {
        assume_denied(caller, call.parameters.get("RoleArn").unwrap_or("*"))
    }
}

impl Errors for Sts {
    fn body(&self, error: &AwsError, request_id: &str) -> String {
        let kind = if error.status >= 500 { "Receiver" } else { "Sender" };
        format!(
            "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\n  <Error>\n    <Type>{kind}</Type>\n    <Code>{}</Code>\n    \
             <Message>{}</Message>\n  </Error>\n  <RequestId>{request_id}</RequestId>\n</ErrorResponse>\n",
            escape_xml(error.code()),
            escape_xml(&error.message)
        )
    }

    fn about_caller(&self, _json_code: &'static str, query_code: &'static str, message: String) -> AwsError {
        AwsError::plain(query_code, 403, message)
    }

    fn region_disabled(&self, operation: Operation, account_id: &str) -> AwsError {
        if operation != Operation::AssumeRole {
            return self.unrecognized_client();
        }
        let message = format!(
            "STS is not activated in this region for account:{account_id}. Your account administrator can activate STS in this region using the \
             IAM Console."
        );
        AwsError::plain("RegionDisabledException", 403, message)
    }

    fn throttled(&self) -> AwsError {
        AwsError::plain("Throttling", 400, "Rate exceeded")
    }

    fn invalid(&self, message: String) -> AwsError {
        AwsError::plain("ValidationError", 400, message)
    }

    fn unknown_operation(&self) -> AwsError {
        AwsError::plain("InvalidAction", 400, "Could not find operation for this action and version.")
    }

    fn not_found(&self, what: &str) -> AwsError {
        AwsError::plain("NoSuchEntity", 404, format!("{what} cannot be found."))
    }

    fn internal_code(&self) -> Option<&'static str> {
        None
    }
}

/// AssumeRole: the credentials of a session.
fn assume_role(request: &Request<'_>) -> Result<Bytes, AwsError> {
    check_version(request)?;
    let Request { state, call, caller, effect, .. } = *request;
    let parameters = &call.parameters;
    let required = |name: &'static str| {
        let field = lower_first(name);
        parameters.get(name).filter(|value| !value.is_empty()).ok_or_else(|| {
            invalid(format!(
                "1 validation error detected: Value at '{field}' failed to satisfy constraint: Member must not be null"
            ))
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
    state.meters.role(arn);
    let denied = || assume_denied(caller, arn);
    let account = state.account(account_id).filter(|_| !state.is_suspended(account_id)).ok_or_else(denied)?;
    let role = account
        .roles
        .iter()
        .find(|role| role.name == role_name && account_arn(account, role) == arn)
        .ok_or_else(denied)?;
    if state.denials.denies(&caller.account.id, caller.region, Operation::AssumeRole, None)
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
    let life = state.max_session.map_or(asked, |longest| longest.min(asked));
    let owner = match effect {
        Some(Effect::AsAccount(id)) => state.account(id).unwrap_or(account),
        _ => account,
    };
    let (session, mut expiration) = state.sessions.issue(owner.index, arn, name, life);
    if let Some(&Effect::ClaimExpiration(seconds)) = effect {
        let claimed = (state.sessions.now_ms() / 1_000).saturating_add(seconds);
        expiration = jiff::Timestamp::from_second(claimed).unwrap_or(expiration);
    }
    let result = format!(
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
    );
    Ok(respond(request, &result))
}

/// GetCallerIdentity: the identity that signed the request.
fn get_caller_identity(request: &Request<'_>) -> Result<Bytes, AwsError> {
    check_version(request)?;
    let caller = request.caller;
    let user = match &caller.session {
        None => unique_id("AIDA", &caller.account.id),
        Some(session) => format!("{}:{}", unique_id("AROA", &session.role_arn), session.name),
    };
    let result = format!(
        "<GetCallerIdentityResult><Arn>{}</Arn><UserId>{user}</UserId><Account>{}</Account></GetCallerIdentityResult>",
        escape_xml(&caller.arn()),
        caller.account.id
    );
    Ok(respond(request, &result))
}

fn check_version(request: &Request<'_>) -> Result<(), AwsError> {
    if request.call.parameters.get("Version") == Some(VERSION) { Ok(()) } else { Err(Sts.unknown_operation()) }
}

/// Wraps a result in an answer.
fn respond(request: &Request<'_>, result: &str) -> Bytes {
    let (name, request_id) = (request.call.operation.as_str(), &request.call.request_id);
    format!(
        "<{name}Response xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">{result}<ResponseMetadata><RequestId>{request_id}</RequestId>\
         </ResponseMetadata></{name}Response>"
    )
    .into()
}

/// The error of an AssumeRole that is not allowed. It is the same whether or not the role exists.
fn assume_denied(caller: &Caller<'_>, role_arn: &str) -> AwsError {
    let user = caller.arn();
    Sts.access_denied(format!("User: {user} is not authorized to perform: sts:AssumeRole on resource: {role_arn}"))
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
    Sts.invalid(message.into())
}

/// The account and the name (with its path) in the ARN of a role.
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
