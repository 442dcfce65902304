//! Causes of a failed call that neither its status nor its text shows.

use std::error::Error;
use std::fmt::Write;
use std::time::{Duration, SystemTime};

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;

use crate::class::ErrorClass;

/// An error's text, followed by those of its causes.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.ends_with(&next) {
            let _ = write!(text, ": {next}");
        }
        cause = error.source();
    }
    text
}

/// The text of a failed connection, with advice if it is a proxy's.
pub(crate) fn connection_failure(text: &str) -> String {
    if text.contains("tunnel error") {
        format!(
            "the proxy refused the connection; check HTTPS_PROXY and the proxy's user and rules, or name the host in \
             NO_PROXY: {text}"
        )
    } else {
        text.to_owned()
    }
}

/// The message of a failed call, with its cause if the response shows it.
///
/// `code` is AWS's error code; a response without one did not come from AWS.
pub(crate) fn of_answer(answer: &HttpResponse, code: Option<&str>, class: ErrorClass, message: &str) -> String {
    let status = answer.status().as_u16();
    match (code, status) {
        (None, 300..=399) => redirect(answer, status),
        (None, 407) => format!(
            "HTTP 407: the proxy asks for a user and password; put them into HTTPS_PROXY, or name the host in NO_PROXY \
             ({message})"
        ),
        (None, 403) => format!(
            "HTTP 403 without an AWS error code: a proxy or firewall refused the request (HTTPS_PROXY, NO_PROXY), \
             or the endpoint is not AWS's ({message})"
        ),
        (Some(_), _) if class == ErrorClass::ClockSkew => match skew(answer, SystemTime::now()) {
            Some(skew) => format!("{skew}; AWS refused the request: {message}"),
            None => message.to_owned(),
        },
        (Some("ValidationException"), _) if is_about_an_empty_name(message) => {
            format!("the listing gave an empty table name: {message}")
        }
        _ => message.to_owned(),
    }
}

fn redirect(answer: &HttpResponse, status: u16) -> String {
    const CHARS: usize = 200;
    let location = answer.headers().get("location").unwrap_or("no address");
    let location: String = location.chars().take(CHARS).collect();
    format!(
        "HTTP {status} redirects to {location}, which AWS never does: check the endpoint that is configured \
         (aws.endpoint_url, AWS_ENDPOINT_URL); a captive portal or a proxy's login page answers like this, too"
    )
}

/// How far the local clock is from the server's.
fn skew(answer: &HttpResponse, now: SystemTime) -> Option<String> {
    let date = DateTime::from_str(answer.headers().get("date")?, Format::HttpDate).ok()?;
    let theirs = SystemTime::try_from(date).ok()?;
    let (by, direction) = match now.duration_since(theirs) {
        Ok(ahead) => (ahead, "ahead of"),
        Err(behind) => (behind.duration(), "behind"),
    };
    let utc = DateTime::from(now).fmt(Format::DateTimeWithOffset).ok()?;
    let by = Duration::from_secs(by.as_secs());
    Some(format!("the local clock ({utc}) is {by:?} {direction} AWS's"))
}

/// Whether this is DynamoDB's message about an empty name, older or newer.
fn is_about_an_empty_name(message: &str) -> bool {
    message.contains("Value '' at 'tableName'")
        || (message.contains("TableName") && message.contains("at least") && message.contains("characters long"))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
    use aws_smithy_runtime_api::http::StatusCode;
    use aws_smithy_types::body::SdkBody;

    use super::{is_about_an_empty_name, skew};

    #[test]
    fn a_wrong_clock_is_measured_by_the_response_date() {
        let mut answer = HttpResponse::new(StatusCode::try_from(400).expect("a status"), SdkBody::empty());
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_440_938_160);
        assert_eq!(skew(&answer, now), None);
        answer.headers_mut().insert("date", "Sun, 30 Aug 2015 12:00:00 GMT");
        assert_eq!(
            skew(&answer, now).as_deref(),
            Some("the local clock (2015-08-30T12:36:00Z) is 2160s ahead of AWS's")
        );
        answer.headers_mut().insert("date", "Sun, 30 Aug 2015 12:36:10 GMT");
        assert!(skew(&answer, now).is_some_and(|text| text.ends_with("is 10s behind AWS's")));
        answer.headers_mut().insert("date", "yesterday");
        assert_eq!(skew(&answer, now), None);
    }

    #[test]
    fn an_empty_name_is_recognised() {
        let newer = "1 validation error detected: Value '' at 'tableName' failed to satisfy constraint: Member must have \
                     length greater than or equal to 1";
        let older = "Invalid table/index name.  TableName must be at least 3 characters long";
        assert!(is_about_an_empty_name(newer) && is_about_an_empty_name(older));
        assert!(!is_about_an_empty_name("1 validation error detected: Value '-1' at 'limit' failed"));
    }
}
