//! The headers of a request.

use hyper::HeaderMap;

/// The value of a header, or an empty text.
pub(crate) fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}
