//! The gate without a network.

use std::time::Duration;

use aws_smithy_http_client::pool::OriginKey;
use futures_util::FutureExt;

use super::{Admission, FIRST_HANDSHAKES, Gate, HANDSHAKES};
use crate::fault::Fault;

fn origin(host: &str) -> OriginKey {
    OriginKey::from_uri(&format!("https://{host}/").parse().expect("a URI")).expect("an origin")
}

fn now(gate: &Gate, origin: &OriginKey) -> Option<Admission> {
    gate.admit(origin.clone()).now_or_never().map(|admitted| admitted.expect("reachable"))
}

#[tokio::test]
async fn connections_are_bounded_over_all_endpoints() {
    let gate = Gate::new(3);
    let (one, two) = (origin("one.example"), origin("two.example"));
    let first = now(&gate, &one).expect("at once");
    gate.opened(&one);
    gate.opened(&one);
    drop(first);
    // Two of three are open to the first endpoint, so the second endpoint gets one.
    let second = now(&gate, &two).expect("at once");
    assert!(now(&gate, &two).is_none());
    // The open connections can be used.
    let again = now(&gate, &one).expect("at once");
    let more = now(&gate, &one).expect("at once");
    assert!(now(&gate, &one).is_none());
    drop((second, again, more));
    assert!(now(&gate, &two).is_some());
}

#[tokio::test]
async fn waiting_requests_are_admitted_in_order() {
    let gate = Gate::new(1);
    let (one, two, three) = (origin("one.example"), origin("two.example"), origin("three.example"));
    gate.opened(&one);
    let (mut second, mut third) = (Box::pin(gate.admit(three)), Box::pin(gate.admit(two)));
    assert!(second.as_mut().now_or_never().is_none() && third.as_mut().now_or_never().is_none());
    gate.closed(&one);
    assert!(third.as_mut().now_or_never().is_none(), "it came later");
    let second = second.as_mut().now_or_never().expect("its turn").expect("reachable");
    drop(second);
    drop(third.as_mut().now_or_never().expect("its turn").expect("reachable"));
    drop(third);
    let state = gate.state();
    assert!(state.loads.is_empty() && state.waiting.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_request_waits_thirty_seconds_and_leaves_the_queue() {
    let gate = Gate::new(1);
    let (one, two) = (origin("one.example"), origin("two.example"));
    let held = now(&gate, &one).expect("at once");
    let started = tokio::time::Instant::now();
    let refused = gate.admit(two.clone()).await.expect_err("no room");
    assert_eq!((refused, started.elapsed()), (Fault::NoConnection(super::CONNECTION_WAIT), Duration::from_secs(30)));
    assert!(gate.state().waiting.is_empty());
    drop(held);
    assert!(now(&gate, &two).is_some());
}

#[tokio::test]
async fn handshakes_are_paced_and_leave_room_for_other_endpoints() {
    let gate = Gate::new(1000);
    let (one, two) = (origin("one.example"), origin("two.example"));
    let first: Vec<_> = std::iter::from_fn(|| now(&gate, &one)).collect();
    assert_eq!(first.len(), FIRST_HANDSHAKES);
    gate.opened(&two);
    let more: Vec<_> = std::iter::from_fn(|| now(&gate, &two)).collect();
    assert_eq!(more.len(), HANDSHAKES - FIRST_HANDSHAKES + 1, "one of them needs no handshake");
    gate.opened(&two);
    assert!(now(&gate, &two).is_some());
}

#[tokio::test]
async fn an_endpoint_with_more_than_its_share_gives_a_connection_back() {
    let gate = Gate::new(4);
    let (one, two) = (origin("one.example"), origin("two.example"));
    (0..4).for_each(|_| gate.opened(&one));
    let mut held: Vec<_> = std::iter::from_fn(|| now(&gate, &one)).collect();
    assert_eq!(held.len(), 4);
    assert!(now(&gate, &one).is_none());
    assert!(!gate.takes_back(&one), "no other endpoint needs one");
    let mut waiting = Box::pin(gate.admit(two));
    assert!(waiting.as_mut().now_or_never().is_none());
    assert!(gate.takes_back(&one) && !gate.takes_back(&one), "one connection for one starved endpoint");
    // The request on that connection has ended.
    gate.closed(&one);
    drop(held.pop());
    drop(waiting.as_mut().now_or_never().expect("its turn").expect("reachable"));
}
