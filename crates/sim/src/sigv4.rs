//! AWS Signature Version 4: the `Authorization` header of a request.
//!
//! The simulator computes the signature to check a request. Clients in tests and benchmarks use it
//! to sign.

use std::fmt::Write as _;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

/// The parts of a request that are signed.
#[derive(Clone, Copy, Debug)]
pub struct Signable<'a> {
    /// The HTTP method.
    pub method: &'a str,
    /// The path as sent.
    pub path: &'a str,
    /// The query as sent, without the question mark.
    pub query: &'a str,
    /// The signed headers and their values, in any order.
    pub headers: &'a [(&'a str, &'a str)],
    /// The body.
    pub body: &'a [u8],
}

/// Where and when a signature is valid.
#[derive(Clone, Copy, Debug)]
pub struct SigningScope<'a> {
    /// The time of the request, as in `X-Amz-Date`: `20260101T000000Z`.
    pub amz_date: &'a str,
    /// The Region.
    pub region: &'a str,
    /// The service: `dynamodb`, `sts`, `organizations`, `account` or `ec2`.
    pub service: &'a str,
}

impl SigningScope<'_> {
    fn credential_scope(&self) -> String {
        let date = self.amz_date.get(..8).unwrap_or(self.amz_date);
        format!("{date}/{}/{}/aws4_request", self.region, self.service)
    }
}

/// The value of the `Authorization` header.
#[must_use]
pub fn authorization(
    access_key_id: &str,
    secret_access_key: &str,
    scope: &SigningScope<'_>,
    request: &Signable<'_>,
) -> String {
    format!(
        "AWS4-HMAC-SHA256 Credential={access_key_id}/{}, SignedHeaders={}, Signature={}",
        scope.credential_scope(),
        signed_headers(request),
        signature(secret_access_key, scope, request)
    )
}

/// The signature alone, in hexadecimal.
#[must_use]
pub fn signature(secret_access_key: &str, scope: &SigningScope<'_>, request: &Signable<'_>) -> String {
    let date = scope.amz_date.get(..8).unwrap_or(scope.amz_date);
    let to_sign = format!(
        "AWS4-HMAC-SHA256\n{}\n{}\n{}",
        scope.amz_date,
        scope.credential_scope(),
        hex(&Sha256::digest(canonical_request(request).as_bytes()))
    );
    let mut key = mac(format!("AWS4{secret_access_key}").as_bytes(), date.as_bytes());
    for part in [scope.region, scope.service, "aws4_request", &to_sign] {
        key = mac(&key, part.as_bytes());
    }
    hex(&key)
}

/// The time in the format of `X-Amz-Date`.
#[must_use]
pub fn amz_date(unix_seconds: i64) -> String {
    jiff::Timestamp::from_second(unix_seconds).unwrap_or_default().strftime("%Y%m%dT%H%M%SZ").to_string()
}

/// The time of an `X-Amz-Date`, in seconds since 1970.
#[must_use]
pub fn parse_amz_date(text: &str) -> Option<i64> {
    let time = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", text).ok()?;
    Some(jiff::tz::Offset::UTC.to_timestamp(time).ok()?.as_second())
}

fn canonical_request(request: &Signable<'_>) -> String {
    let mut text =
        format!("{}\n{}\n{}\n", request.method, canonical_path(request.path), canonical_query(request.query));
    for (name, value) in sorted_headers(request) {
        let _ = writeln!(text, "{name}:{value}");
    }
    let _ = write!(text, "\n{}\n{}", signed_headers(request), hex(&Sha256::digest(request.body)));
    text
}

/// Headers sorted by lower-case name. Runs of spaces become one space, and values of the same name
/// are joined in the order of the request.
fn sorted_headers(request: &Signable<'_>) -> Vec<(String, String)> {
    let mut headers: Vec<(String, String)> = Vec::with_capacity(request.headers.len());
    for (name, value) in request.headers {
        let name = name.to_ascii_lowercase();
        let value = value.split(' ').filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ");
        match headers.iter_mut().find(|(known, _)| *known == name) {
            Some((_, values)) => {
                values.push(',');
                values.push_str(&value);
            }
            None => headers.push((name, value)),
        }
    }
    headers.sort();
    headers
}

fn signed_headers(request: &Signable<'_>) -> String {
    sorted_headers(request).into_iter().map(|(name, _)| name).collect::<Vec<_>>().join(";")
}

/// The path without dot segments, encoded once more. All services except S3 sign it in this way.
fn canonical_path(path: &str) -> String {
    let mut segments: Vec<String> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            other => segments.push(encode(other.as_bytes())),
        }
    }
    let tail = if path.len() > 1 && path.ends_with('/') && !segments.is_empty() { "/" } else { "" };
    format!("/{}{tail}", segments.join("/"))
}

fn canonical_query(query: &str) -> String {
    let mut pairs: Vec<(String, String)> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (encode(&percent_decode(name, false)), encode(&percent_decode(value, false))))
        .collect();
    pairs.sort();
    pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}

/// Decodes percent-encoded text. In forms, a plus is a space.
pub(crate) fn percent_decode(text: &str, form: bool) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let digits = text
            .get(at + 1..at + 3)
            .filter(|_| bytes[at] == b'%')
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match (digits, bytes[at]) {
            (Some(byte), _) => {
                decoded.push(byte);
                at += 2;
            }
            (None, b'+') if form => decoded.push(b' '),
            (None, byte) => decoded.push(byte),
        }
        at += 1;
    }
    decoded
}

fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

fn mac(key: &[u8], data: &[u8]) -> Vec<u8> {
    // HMAC accepts keys of any length, so this cannot fail.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return Vec::new() };
    mac.update(data);
    mac.finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `get-vanilla-query-order-key-case` of AWS's published test suite for Signature Version 4.
    #[test]
    fn signature_of_the_published_test_suite() {
        let scope = SigningScope { amz_date: "20150830T123600Z", region: "us-east-1", service: "service" };
        let request = Signable {
            method: "GET",
            path: "/",
            query: "Param2=value2&Param1=value1",
            headers: &[("Host", "example.amazonaws.com"), ("X-Amz-Date", "20150830T123600Z")],
            body: b"",
        };
        let header = authorization("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", &scope, &request);
        assert_eq!(
            header,
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=host;x-amz-date, \
             Signature=b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"
        );
    }

    #[test]
    fn canonical_parts_are_normalized() {
        assert_eq!(canonical_path("/a/./b/../c%20d/"), "/a/c%2520d/");
        assert_eq!(canonical_path("/"), "/");
        assert_eq!(canonical_query("b=2&a=x%20y&c"), "a=x%20y&b=2&c=");
        let request = Signable {
            method: "POST",
            path: "/",
            query: "",
            headers: &[("X-B", "  a   b "), ("x-a", "1"), ("x-a", "2")],
            body: b"",
        };
        assert_eq!(
            sorted_headers(&request),
            [("x-a".to_owned(), "1,2".to_owned()), ("x-b".to_owned(), "a b".to_owned())]
        );
    }

    #[test]
    fn dates_round_trip() {
        assert_eq!(amz_date(1_767_225_600), "20260101T000000Z");
        assert_eq!(parse_amz_date("20260101T000000Z"), Some(1_767_225_600));
        assert_eq!(parse_amz_date("yesterday"), None);
    }
}
