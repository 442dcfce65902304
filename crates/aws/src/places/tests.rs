//! Places on simulated time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use aws_smithy_http_client::pool::OriginKey;
use futures_util::FutureExt;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{Places, Share};
use crate::Connections;
use crate::connections::Gate;

const TIMEOUT: Duration = Duration::from_secs(30);

fn places(total: usize, scopes: usize) -> Places {
    Places::new(total, scopes, &Connections::default())
}

/// Runs `workers` that send `requests` in all, and returns when they ended.
async fn scope(share: Share, workers: usize, requests: usize, takes: Duration) -> Instant {
    let share = Arc::new(share);
    let mut tasks = JoinSet::new();
    for _ in 0..workers {
        let share = share.clone();
        tasks.spawn(async move {
            for _ in 0..requests / workers {
                let mut place = share.acquire().await.expect("a place");
                place.run(tokio::time::sleep(takes)).await;
                place.ended(takes >= TIMEOUT);
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.expect("a worker");
    }
    Instant::now()
}

/// How long 24 healthy scopes take beside scopes whose requests only hang.
async fn healthy_beside(hanging: usize) -> Duration {
    let places = places(256, 64);
    let started = Instant::now();
    let mut others = JoinSet::new();
    for _ in 0..hanging {
        others.spawn(scope(places.share(""), 64, 64 * 100, TIMEOUT));
    }
    // The hanging scopes start first, and take all they can get.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut healthy = JoinSet::new();
    for _ in 0..24 {
        healthy.spawn(scope(places.share(""), 32, 960, Duration::from_millis(20)));
    }
    let mut last = started;
    while let Some(ended) = healthy.join_next().await {
        last = last.max(ended.expect("a scope"));
    }
    last - started - Duration::from_secs(1)
}

#[tokio::test(start_paused = true)]
async fn scopes_that_hang_do_not_slow_others_down() {
    let alone = healthy_beside(0).await;
    let beside = healthy_beside(8).await;
    assert!(beside <= alone * 2, "{beside:?} beside scopes that hang, {alone:?} without");
}

#[tokio::test(start_paused = true)]
async fn a_hanging_scope_leaves_the_reserve_and_then_shrinks() {
    let places = places(64, 16);
    let (hanging, healthy) = (places.share(""), places.share(""));
    scope(hanging.clone(), 32, 320, Duration::from_millis(10)).await;
    assert_eq!(hanging.limit(), 64);
    let mut held = Vec::new();
    while let Some(Ok(place)) = hanging.acquire().now_or_never() {
        held.push(place);
    }
    assert_eq!(held.len(), 48, "a quarter is reserved for scopes below their base");
    let base: Vec<_> = std::iter::from_fn(|| healthy.acquire().now_or_never()).take(4).collect();
    assert!(base.len() == 4 && base.iter().all(Result::is_ok));
    assert!(healthy.acquire().now_or_never().is_none(), "above its base, a scope cannot use the reserve");
    // All of them time out together, which halves the limit once.
    held.drain(..).for_each(|place| place.ended(true));
    assert_eq!(hanging.limit(), 32);
    for expected in [16, 8, 4, 2, 1, 1] {
        hanging.acquire().await.expect("a place").ended(true);
        assert_eq!(hanging.limit(), expected);
    }
    hanging.acquire().await.expect("a place").ended(false);
    assert_eq!(hanging.limit(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_freed_place_goes_to_the_scope_that_holds_the_fewest() {
    let places = places(4, 1);
    let shares: BTreeMap<_, _> = [("a", places.share("")), ("b", places.share("")), ("c", places.share(""))].into();
    let hold = |name: &str| shares[name].acquire().now_or_never().expect("now").expect("a place");
    let mut held = vec![hold("a"), hold("a"), hold("b"), hold("a")];
    let (order, mut served) = tokio::sync::mpsc::unbounded_channel();
    let mut waiting = JoinSet::new();
    for name in ["a", "b", "b", "c"] {
        let (share, order) = (shares[name].clone(), order.clone());
        waiting.spawn(async move {
            let place = share.acquire().await.expect("a place");
            order.send((name, place)).expect("received");
        });
        tokio::task::yield_now().await;
    }
    let (mut names, mut kept) = (Vec::new(), Vec::new());
    while let Some(place) = held.pop() {
        drop(place);
        let (name, place) = served.recv().await.expect("a place");
        names.push(name);
        kept.push(place);
    }
    // Scope a still holds two when the first place is freed. Later it holds one, like b, but came
    // first.
    assert_eq!(names, ["c", "b", "a", "b"]);
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_request_loses_no_place() {
    let places = places(1, 1);
    let (one, two) = (places.share(""), places.share(""));
    let held = one.acquire().await.expect("a place");
    // One is cancelled before it is served, the other after that, before it has seen its place.
    let mut early = Box::pin(two.acquire());
    let mut late = Box::pin(two.acquire());
    assert!(early.as_mut().now_or_never().is_none() && late.as_mut().now_or_never().is_none());
    drop(early);
    drop(held);
    drop(late);
    assert!(one.acquire().now_or_never().is_some_and(|place| place.is_ok()));
}

#[tokio::test(start_paused = true)]
async fn waiting_for_a_connection_is_bounded_and_holds_no_place() {
    let gate = Gate::new(1);
    let places = Places::new(1, 1, &Connections::of(gate.clone()));
    let origin = |host: &str| OriginKey::from_uri(&format!("https://{host}/").parse().expect("a URI"));
    let (one, two) = (origin("one").expect("an origin"), origin("two").expect("an origin"));
    let (first, second) = (places.share("one"), places.share("two"));
    // Each share learns its endpoint from its first request.
    for (share, origin) in [(&first, &two), (&first, &one), (&second, &two)] {
        let mut place = share.acquire().await.expect("a place");
        let admission = place.admission.take().expect("with a connection");
        drop(admission.bind(origin));
    }
    gate.opened(&one);
    let started = Instant::now();
    let (waited, ()) = tokio::join!(second.acquire(), async {
        tokio::task::yield_now().await;
        // The place is available to a scope that has a connection.
        drop(first.acquire().now_or_never().expect("now").expect("a place"));
    });
    let error = waited.expect_err("the only connection goes elsewhere");
    assert_eq!((error.code.as_str(), started.elapsed()), ("no_connection_free", Duration::from_secs(30)));
    assert!(error.class.may_pass() && error.ends_call());
    // Once that connection is closed, the waiting request gets both.
    let (served, ()) = tokio::join!(second.acquire(), async {
        tokio::task::yield_now().await;
        gate.closed(&one);
    });
    drop(served.expect("a place"));
}
