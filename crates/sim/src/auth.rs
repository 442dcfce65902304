//! Authentication: the Authorization header, session tokens and signatures.

use std::sync::atomic::Ordering;

use hyper::header::{AUTHORIZATION, HOST};

use crate::caller::Caller;
use crate::errors::AwsError;
use crate::headers::text;
use crate::locks::read;
use crate::services::Call;
use crate::sessions::unix_ms;
use crate::sigv4::{Signable, SigningScope, parse_amz_date, signature};
use crate::state::State;

/// Requests may be this much older or newer than the service's clock.
const MAX_SKEW_SECONDS: i64 = 900;

const WRONG_SIGNATURE: &str = "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and \
                               signing method. Consult the service documentation for details.";

/// The parts of an Authorization header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Authorization<'a> {
    access_key_id: &'a str,
    pub(crate) region: &'a str,
    service: &'a str,
    date: &'a str,
    signed_headers: &'a str,
    signature: &'a str,
}

impl<'a> Authorization<'a> {
    /// Reads the header. Missing parts stay empty.
    pub(crate) fn parse(header: &'a str) -> Option<Self> {
        let fields = header.strip_prefix("AWS4-HMAC-SHA256")?;
        let mut parsed = Self::default();
        for field in fields.split(',') {
            match field.trim().split_once('=') {
                Some(("Credential", credential)) => {
                    let mut parts = credential.split('/');
                    let mut next = || parts.next().unwrap_or_default();
                    (parsed.access_key_id, parsed.date, parsed.region, parsed.service) =
                        (next(), next(), next(), next());
                }
                Some(("SignedHeaders", names)) => parsed.signed_headers = names,
                Some(("Signature", value)) => parsed.signature = value,
                _ => {}
            }
        }
        Some(parsed)
    }

    fn missing(&self) -> Option<&'static str> {
        if self.service.is_empty() {
            Some("Credential")
        } else if self.signed_headers.is_empty() {
            Some("SignedHeaders")
        } else if self.signature.is_empty() {
            Some("Signature")
        } else {
            None
        }
    }
}

/// The error of a request without valid credentials, and the scope that counts it.
#[derive(Debug)]
pub(crate) struct Refused<'a> {
    pub(crate) account_id: &'a str,
    pub(crate) region: &'a str,
    pub(crate) error: AwsError,
}

/// Determines the caller, and checks that the caller may use the service in this Region.
pub(crate) fn authenticate<'a>(state: &'a State, call: &'a Call<'_>) -> Result<Caller<'a>, Refused<'a>> {
    let service = call.service;
    let header = call.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let Some(authorization) = header.and_then(Authorization::parse) else {
        return Err(Refused { account_id: "", region: "", error: service.missing_token() });
    };
    let region = authorization.region;
    let refuse = |account_id, error| Refused { account_id, region, error };
    if let Some(field) = authorization.missing() {
        let message =
            format!("Authorization header requires '{field}' parameter. Authorization={}", header.unwrap_or_default());
        return Err(refuse("", service.incomplete_signature(message)));
    }
    let session = state.sessions.get(authorization.access_key_id);
    let key = match &session {
        Some(_) => None,
        None => read(&state.by_key).get(authorization.access_key_id).cloned(),
    };
    let index = session.as_ref().map(|session| session.account).or(key.as_ref().map(|key| key.account));
    let Some(account) = index.map(|index| &state.accounts[index]) else {
        return Err(refuse("", service.unrecognized_client()));
    };
    let token = text(call.headers, "x-amz-security-token");
    if session.as_ref().map_or("", |session| &session.token) != token {
        return Err(refuse(&account.id, service.unrecognized_client()));
    }
    if session.as_ref().is_some_and(|session| state.sessions.is_expired(session)) {
        return Err(refuse(&account.id, service.expired_token()));
    }
    let scope = account.scope(region);
    if scope.is_none() && !service.answers_without_opt_in(&account.partition, region) {
        return Err(refuse(&account.id, service.region_disabled(call.operation, &account.id)));
    }
    if state.verify_signatures {
        let of_user = key.as_ref().map_or("", |key| &key.secret);
        let secret = session.as_ref().map_or(of_user, |session| &session.secret_access_key);
        verify(state, call, &authorization, &account.partition, secret).map_err(|error| refuse(&account.id, error))?;
    }
    Ok(Caller { account, region, scope, session })
}

fn verify(
    state: &State,
    call: &Call<'_>,
    authorization: &Authorization<'_>,
    partition: &str,
    secret: &str,
) -> Result<(), AwsError> {
    let service = call.service;
    let wrong = |message: String| service.bad_signature(message);
    if authorization.service != service.name() {
        return Err(wrong(format!("Credential should be scoped to correct service: '{}'. ", service.name())));
    }
    if service.signing_region(partition).is_some_and(|region| region != authorization.region) {
        return Err(wrong("Credential should be scoped to a valid region. ".to_owned()));
    }
    let amz_date = text(call.headers, "x-amz-date");
    let Some(at) = parse_amz_date(amz_date) else {
        let message = "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.".to_owned();
        return Err(service.incomplete_signature(message));
    };
    if !amz_date.starts_with(authorization.date) {
        return Err(wrong(format!(
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: {amz_date}"
        )));
    }
    let now = unix_ms() / 1_000 + state.skew_seconds.load(Ordering::Relaxed);
    let print = crate::sigv4::amz_date;
    if at < now - MAX_SKEW_SECONDS {
        let oldest = print(now - MAX_SKEW_SECONDS);
        return Err(wrong(format!(
            "Signature expired: {amz_date} is now earlier than {oldest} ({} - 15 min.)",
            print(now)
        )));
    }
    if at > now + MAX_SKEW_SECONDS {
        let newest = print(now + MAX_SKEW_SECONDS);
        return Err(wrong(format!(
            "Signature not yet current: {amz_date} is still later than {newest} ({} + 15 min.)",
            print(now)
        )));
    }
    let mut headers: Vec<(&str, &str)> = Vec::new();
    for name in authorization.signed_headers.split(';') {
        let values = call.headers.get_all(name);
        headers.extend(values.iter().filter_map(|value| value.to_str().ok()).map(|value| (name, value)));
    }
    if !call.headers.contains_key(HOST) && authorization.signed_headers.split(';').any(|name| name == HOST) {
        // Without a connection, no client has added the header.
        headers.extend(call.uri.authority().map(|authority| (HOST.as_str(), authority.as_str())));
    }
    let must_sign = |name: &str| headers.iter().any(|(signed, _)| *signed == name);
    if !must_sign("host") || !must_sign("x-amz-date") {
        return Err(wrong("'Host' and 'X-Amz-Date' must be a 'SignedHeader' in the AWS Authorization.".to_owned()));
    }
    let request = Signable {
        method: call.method.as_str(),
        path: call.uri.path(),
        query: call.uri.query().unwrap_or_default(),
        headers: &headers,
        body: call.body,
    };
    let scope = SigningScope { amz_date, region: authorization.region, service: service.name() };
    if signature(secret, &scope, &request) == authorization.signature {
        Ok(())
    } else {
        Err(wrong(WRONG_SIGNATURE.to_owned()))
    }
}
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorization_is_read_with_and_without_spaces() {
        for separator in [", ", ","] {
            let header = [
                "AWS4-HMAC-SHA256 Credential=AKIA/20260101/eu-west-1/dynamodb/aws4_request",
                "SignedHeaders=host;x-amz-date",
                "Signature=ab",
            ]
            .join(separator);
            let parsed = Authorization::parse(&header).unwrap();
            assert_eq!((parsed.access_key_id, parsed.region, parsed.service), ("AKIA", "eu-west-1", "dynamodb"));
            assert_eq!((parsed.signed_headers, parsed.signature, parsed.missing()), ("host;x-amz-date", "ab", None));
        }
        assert_eq!(Authorization::parse("Bearer x"), None);
        assert_eq!(Authorization::parse("AWS4-HMAC-SHA256 Credential=AKIA").unwrap().missing(), Some("Credential"));
    }
}
