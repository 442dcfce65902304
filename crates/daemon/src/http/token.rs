//! The bearer token, without which nothing is changed.

use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::resource::problem_of;
use crate::shared::Shared;

/// The answer to a request without the token. If there is none, nobody has it.
pub(super) fn refusal(shared: &Shared, headers: &HeaderMap) -> Option<Response> {
    let status = shared.status();
    let Some(token) = &status.token else {
        let problem = "there is no serve.token in the configuration, so nobody may start a run";
        return Some(problem_of(StatusCode::FORBIDDEN, problem));
    };
    let given = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let given = given.and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    // Hashed, so that neither the text nor its length shows in how long it takes.
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
