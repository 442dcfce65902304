//! Checks the bearer token, without which no request changes anything.

use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::resource::problem_of;
use crate::shared::Shared;

/// The response to a request without the right token; `None` if the request has it. Refuses every
/// request if no token is configured.
pub(super) fn refusal(shared: &Shared, headers: &HeaderMap) -> Option<Response> {
    let status = shared.status();
    let Some(token) = &status.token else {
        let problem = "the configuration has no serve.token, so requests cannot do this";
        return Some(problem_of(StatusCode::FORBIDDEN, problem));
    };
    let given = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let given = given.and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    // Hashed, so that the duration of the comparison reveals neither the token nor its length.
    let same = |given: &str| {
        let hashes = [given, token.expose_secret()].map(Sha256::digest);
        bool::from(hashes[0].as_slice().ct_eq(hashes[1].as_slice()))
    };
    if given.is_some_and(same) {
        return None;
    }
    let mut refused = problem_of(StatusCode::UNAUTHORIZED, "the bearer token is missing or wrong");
    refused.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    Some(refused)
}
