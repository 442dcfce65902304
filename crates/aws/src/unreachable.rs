//! Endpoints to which no connection can be made.
//!
//! A thousand accounts share one endpoint in a Region. If it cannot be reached, four attempts for
//! each account show nothing that the first ones did not.

use std::collections::HashMap;
use std::time::Duration;

use aws_smithy_http_client::pool::OriginKey;
use foldhash::fast::RandomState;
use tokio::time::Instant;

use crate::fault::{Fault, Remembered};

/// After this many failures in a row, an endpoint counts as failing.
const FAILURES: u32 = 5;
/// An endpoint that has failed for this long is remembered. A shorter network outage does not
/// exclude the endpoint for the whole run.
const FAILING_FOR: Duration = Duration::from_secs(3);
/// How long after a failure a failing endpoint is tried again.
const PAUSE: Duration = Duration::from_millis(250);

/// The endpoints that have failed since their last success.
#[derive(Debug, Default)]
pub(crate) struct Unreachable(HashMap<OriginKey, Failures, RandomState>);

#[derive(Debug)]
struct Failures {
    count: u32,
    /// When the first of them began.
    since: Instant,
    last_at: Instant,
    last: String,
}

/// Whether a connection to an endpoint may be tried.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Yes: it has not failed often.
    Untried,
    /// One at a time: it has failed several times.
    Failing,
    /// No, not now.
    Unreachable(Fault),
}

impl Unreachable {
    /// Records that a connection to the endpoint failed after `took`.
    pub(crate) fn failed(&mut self, origin: &OriginKey, took: Duration, last: String) {
        let now = Instant::now();
        let began = now.checked_sub(took).unwrap_or(now);
        let failures = self.0.entry(origin.clone()).or_insert(Failures {
            count: 0,
            since: began,
            last_at: now,
            last: String::new(),
        });
        failures.count = failures.count.saturating_add(1);
        (failures.last_at, failures.last) = (now, last);
    }

    /// Records that a connection was made.
    pub(crate) fn reached(&mut self, origin: &OriginKey) {
        self.0.remove(origin);
    }

    pub(crate) fn forget_all(&mut self) {
        self.0.clear();
    }

    pub(crate) fn reach(&self, origin: &OriginKey) -> Reach {
        let Some(failures) = self.0.get(origin).filter(|failures| failures.count >= FAILURES) else {
            return Reach::Untried;
        };
        let remembered = failures.last_at.duration_since(failures.since) >= FAILING_FOR;
        if !remembered && failures.last_at.elapsed() >= PAUSE {
            return Reach::Failing;
        }
        Reach::Unreachable(Fault::Unreachable {
            origin: shown(origin),
            attempts: failures.count,
            last: failures.last.clone(),
            remembered: if remembered { Remembered::Yes } else { Remembered::No },
        })
    }
}

/// An endpoint as a URL, for messages.
pub(crate) fn shown(origin: &OriginKey) -> String {
    let port = origin.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{}{port}", origin.scheme(), origin.host())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use aws_smithy_http_client::pool::OriginKey;

    use super::{Reach, Unreachable};

    fn origin() -> OriginKey {
        OriginKey::from_uri(&"https://one.example/".parse().expect("a URI")).expect("an origin")
    }

    fn fail(endpoints: &mut Unreachable, times: u32) {
        for _ in 0..times {
            endpoints.failed(&origin(), Duration::ZERO, "refused".to_owned());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_endpoint_that_fails_for_some_seconds_is_remembered() {
        let mut endpoints = Unreachable::default();
        fail(&mut endpoints, 4);
        assert_eq!(endpoints.reach(&origin()), Reach::Untried);
        fail(&mut endpoints, 100);
        let Reach::Unreachable(fault) = endpoints.reach(&origin()) else { panic!("tried at once") };
        assert_eq!(fault.classify().1, "connection_failed");
        tokio::time::advance(Duration::from_secs(4)).await;
        assert_eq!(endpoints.reach(&origin()), Reach::Failing);
        fail(&mut endpoints, 1);
        tokio::time::advance(Duration::from_secs(3600)).await;
        let Reach::Unreachable(fault) = endpoints.reach(&origin()) else { panic!("tried again") };
        assert_eq!(fault.classify().1, "endpoint_unreachable");
        assert_eq!(
            fault.to_string(),
            "https://one.example cannot be reached: 105 connections failed in a row, the last one with: refused; \
             this run does not try it again for each call"
        );
        endpoints.forget_all();
        assert_eq!(endpoints.reach(&origin()), Reach::Untried);
    }

    #[tokio::test(start_paused = true)]
    async fn a_short_network_outage_is_forgiven() {
        let mut endpoints = Unreachable::default();
        fail(&mut endpoints, 32);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(endpoints.reach(&origin()), Reach::Failing);
        endpoints.reached(&origin());
        assert_eq!(endpoints.reach(&origin()), Reach::Untried);
    }
}
