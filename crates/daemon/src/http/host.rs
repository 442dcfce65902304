//! Checks the host that a request is meant for. A web page can have its own name resolved to this
//! machine (DNS rebinding), and then sends requests with that name. Therefore the daemon answers
//! only requests that use one of its own names.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::HOST;
use axum::http::uri::Authority;
use axum::middleware::Next;
use axum::response::Response;

use super::resource::problem_of;
use crate::shared::Shared;

/// Decides which hosts a request may name.
#[derive(Clone)]
pub(super) struct Guard {
    pub(super) shared: Arc<Shared>,
    /// The paths that are answered whichever host a request names.
    pub(super) any_host: Vec<&'static str>,
}

/// Answers only requests that name an allowed host.
pub(super) async fn only_allowed(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    if !guard.any_host.contains(&request.uri().path()) {
        let allowed = &guard.shared.status().allowed_hosts.clone();
        if let Err((status, problem)) = check(&request, allowed) {
            return problem_of(status, &problem);
        }
    }
    next.run(request).await
}

/// Checks that each host that a request names is an IP address, `localhost`, or one of `allowed`
/// (in lower case).
fn check<B>(request: &http::Request<B>, allowed: &[String]) -> Result<(), (StatusCode, String)> {
    let mut headers = request.headers().get_all(HOST).iter();
    let (Some(header), None) = (headers.next(), headers.next()) else {
        return Err((StatusCode::BAD_REQUEST, "the request needs exactly one Host header".to_owned()));
    };
    let header = header.to_str().ok().and_then(|text| text.parse::<Authority>().ok());
    let Some(header) = header.filter(|authority| !authority.as_str().contains('@')) else {
        return Err((StatusCode::BAD_REQUEST, "the Host header is not a host".to_owned()));
    };
    // A request to a proxy names the host in its target as well.
    for authority in request.uri().authority().into_iter().chain([&header]) {
        let host = authority.host().to_ascii_lowercase();
        let host = host.strip_suffix('.').unwrap_or(&host);
        if !is_address(host) && host != "localhost" && !allowed.iter().any(|allowed| allowed == host) {
            let host = dynacrawl_model::Escaped(host);
            let problem = format!("'{host}' is not a name of this daemon; add it to serve.allowed_hosts, if it is one");
            return Err((StatusCode::MISDIRECTED_REQUEST, problem));
        }
    }
    Ok(())
}

fn is_address(host: &str) -> bool {
    let inside = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    inside.unwrap_or(host).parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use axum::http::{Request, StatusCode};

    use super::check;

    fn asked(target: &str, hosts: &[&str]) -> Result<(), (StatusCode, String)> {
        let request = hosts.iter().fold(Request::post(target), |request, host| request.header("host", *host));
        check(&request.body(()).expect("a request"), &["dynacrawl.example.com".to_owned()])
    }

    #[test]
    fn addresses_localhost_and_allowed_names_pass() {
        for host in [
            "127.0.0.1:9464",
            "10.1.2.3",
            "[::1]:9464",
            "[fd00::1]",
            "localhost",
            "LocalHost:80",
            "localhost.:80",
            "dynacrawl.example.com",
            "Dynacrawl.Example.COM.:9464",
        ] {
            assert_eq!(asked("/api/v1/runs", &[host]), Ok(()), "{host}");
        }
    }

    #[test]
    fn another_name_is_refused_with_the_key_that_allows_it() {
        for host in [
            "evil.example:9464",
            "dynacrawl.example.com.evil.example",
            "example.com",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "x-localhost",
        ] {
            let (status, problem) = asked("/api/v1/runs", &[host]).expect_err(host);
            assert_eq!(status, StatusCode::MISDIRECTED_REQUEST, "{host}");
            assert!(
                problem.contains("serve.allowed_hosts") && problem.contains(host.trim_end_matches(":9464")),
                "{problem}"
            );
        }
    }

    #[test]
    fn the_host_in_the_request_target_is_checked_too() {
        let refused = asked("http://evil.example/api/v1/runs", &["localhost"]).expect_err("another host");
        assert_eq!(refused.0, StatusCode::MISDIRECTED_REQUEST);
        assert_eq!(asked("http://localhost/api/v1/runs", &["localhost"]), Ok(()));
    }

    #[test]
    fn a_request_without_exactly_one_host_is_a_bad_request() {
        for hosts in [&[][..], &["localhost", "localhost"], &[""], &["localhost@evil.example"], &["a b"]] {
            assert_eq!(asked("/api/v1/runs", hosts).expect_err("no host").0, StatusCode::BAD_REQUEST, "{hosts:?}");
        }
    }
}
