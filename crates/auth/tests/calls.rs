//! The retry loop on simulated time: when it continues, and when it gives up.

use std::cell::Cell;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use aws_types::SdkConfig;
use aws_types::region::Region as SdkRegion;
use dynacrawl_auth::{
    BaseCredentials, CachedCredentials, CallFailed, Caller, CredentialPool, CredentialSpec, UserKeys,
};
use dynacrawl_aws::{AwsError, Budget, Connections, ErrorClass, Places, Rate, RetryPolicy};
use dynacrawl_model::{Operation, QuotaName};
use futures_util::{StreamExt, stream};
use tokio::time::Instant;

fn credentials() -> CachedCredentials {
    let config = SdkConfig::builder()
        .behavior_version(dynacrawl_aws::behavior_version())
        .region(SdkRegion::new("eu-west-1"))
        .build();
    let keys = UserKeys {
        access_key_id: "AKIA".to_owned(),
        secret_access_key: "secret".to_owned().into(),
        session_token: None,
    };
    let spec = CredentialSpec { base: BaseCredentials::Keys(keys), chain: Vec::new() };
    CredentialPool::default().chain(&spec, None, &config, None).last().credentials.clone()
}

fn caller() -> Caller {
    let rate = Rate::per_second(NonZeroU32::new(250).expect("not zero"));
    let budget = Arc::new(Budget::new(Some(rate)));
    let places = Places::new(256, 64, &Connections::default());
    Caller::new(QuotaName::Tables, credentials(), budget, places.share("test"), RetryPolicy::default())
}

fn error(class: ErrorClass) -> AwsError {
    AwsError::new(class, "code", "message")
}

/// A call whose attempts, numbered from 1, end at once with `outcome`.
async fn call(caller: &Caller, outcome: impl Fn(u32) -> Result<(), AwsError>) -> Result<u32, CallFailed> {
    let attempts = Cell::new(0);
    let attempt = || {
        attempts.set(attempts.get() + 1);
        std::future::ready(outcome(attempts.get()))
    };
    caller.call(Operation::ListTables, |_| {}, attempt).await.map(|()| attempts.get())
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_calls_to_a_hanging_service_are_given_up() {
    let caller = caller().giving_up();
    let (healthy, sent) = (Cell::new(false), Cell::new(0));
    let attempt = || async {
        sent.set(sent.get() + 1);
        if healthy.get() {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_secs(20)).await;
        Err(error(ErrorClass::TimedOut))
    };
    let calls = |many: usize| {
        stream::repeat(()).take(many).map(|()| caller.call(Operation::ListTables, |_| {}, attempt)).buffer_unordered(32)
    };

    let started = Instant::now();
    let failed: Vec<_> = calls(10_000).filter_map(async |called| called.err()).collect().await;
    // The first failures come after 20 s; a minute later one probe takes 20 s more.
    assert!((80..=105).contains(&started.elapsed().as_secs()), "{:?}", started.elapsed());
    assert_eq!(failed.len(), 10_000);
    assert!(failed.iter().all(|failed| failed.error.class == ErrorClass::TimedOut && failed.may_pass()));
    assert!(sent.get() <= 32 * 6, "{} attempts", sent.get());

    healthy.set(true);
    tokio::time::advance(Duration::from_secs(2)).await;
    let described = calls(1000).filter(|called| std::future::ready(called.is_ok())).count().await;
    assert_eq!(described, 1000, "a probe finds out that the service has recovered");
}

#[tokio::test(start_paused = true)]
async fn endless_server_errors_are_given_up_like_throttling() {
    for class in [ErrorClass::Transient, ErrorClass::Throttled] {
        let caller = caller().giving_up();
        let started = Instant::now();
        let calls = (0..10_000).map(|_| call(&caller, |_| Err(error(class))));
        let failed = stream::iter(calls).buffer_unordered(32).filter(|called| std::future::ready(called.is_err()));
        assert_eq!(failed.count().await, 10_000);
        assert!((60..=75).contains(&started.elapsed().as_secs()), "{class:?}: {:?}", started.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_definite_answer_ends_the_trouble() {
    let caller = caller().giving_up();
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(300) {
        call(&caller, |_| Err(error(ErrorClass::Transient))).await.expect_err("a server error");
        call(&caller, |_| Err(error(ErrorClass::NotFound))).await.expect_err("not found");
    }
    let failed = call(&caller, |_| Err(error(ErrorClass::Transient))).await.expect_err("a server error");
    assert_eq!(failed.attempts, 10, "it is not given up");
}

#[tokio::test(start_paused = true)]
async fn a_hanging_call_has_few_attempts() {
    let failed = call(&caller().giving_up(), |_| Err(error(ErrorClass::TimedOut))).await.expect_err("hangs");
    assert_eq!(failed.attempts, 3);
}

#[tokio::test(start_paused = true)]
async fn a_listing_waits_out_a_minute_of_any_transient_fault() {
    for class in [ErrorClass::Throttled, ErrorClass::Transient, ErrorClass::TimedOut] {
        let caller = caller();
        let started = Instant::now();
        let listed = call(&caller, |_| match started.elapsed().as_secs() {
            ..55 => Err(error(class)),
            _ => Ok(()),
        });
        listed.await.unwrap_or_else(|failed| panic!("{class:?}: {failed:?}"));
        call(&caller, |_| Err(error(class))).await.expect_err("for ever");
        assert!((115..=130).contains(&started.elapsed().as_secs()), "{class:?}: {:?}", started.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn other_successful_calls_do_not_make_a_listing_endless() {
    let listing = caller();
    let describing = listing.clone().giving_up();
    let started = Instant::now();
    let listed = call(&listing, |_| Err(error(ErrorClass::Throttled)));
    let others = async {
        loop {
            call(&describing, |_| Ok(())).await.expect("described");
            call(&listing, |_| Ok(())).await.expect("another page");
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    };
    let failed = tokio::select! { failed = listed => failed.expect_err("throttled"), () = others => unreachable!() };
    assert_eq!(failed.error.class, ErrorClass::Throttled);
    assert!((60..=70).contains(&started.elapsed().as_secs()), "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_successful_listing_does_not_keep_its_tables_waiting() {
    let listing = caller();
    let describing = listing.clone().giving_up();
    let started = Instant::now();
    for _ in 0..100 {
        call(&listing, |_| Ok(())).await.expect("a page");
        let tables = (0..100).map(|_| call(&describing, |_| Err(error(ErrorClass::Transient))));
        assert_eq!(
            stream::iter(tables).buffer_unordered(32).filter(|d| std::future::ready(d.is_err())).count().await,
            100
        );
    }
    assert!(started.elapsed() < Duration::from_secs(75), "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn the_wait_that_a_service_asks_for_is_respected() {
    let (caller, started) = (caller(), Instant::now());
    let called = call(&caller, |attempt| {
        let mut busy = error(ErrorClass::Transient);
        busy.retry_after = Some(Duration::from_secs(12));
        if attempt == 1 { Err(busy) } else { Ok(()) }
    });
    assert_eq!(called.await.expect("the second attempt"), 2);
    assert_eq!(started.elapsed().as_secs(), 12);
}

#[tokio::test(start_paused = true)]
async fn refused_credentials_are_retried_for_some_seconds() {
    for class in [ErrorClass::UnknownCredentials, ErrorClass::ExpiredCredentials, ErrorClass::ClockSkew] {
        let caller = caller().giving_up();
        let refused = |times: u32| move |attempt| if attempt <= times { Err(error(class)) } else { Ok(()) };
        assert_eq!(call(&caller, refused(3)).await.expect("the fourth attempt"), 4, "{class:?}");
        let started = Instant::now();
        let failed = call(&caller, refused(4)).await.expect_err("refused");
        assert_eq!((failed.error.class, failed.attempts), (class, 4));
        assert!((5..=8).contains(&started.elapsed().as_secs()), "{class:?}: {:?}", started.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_region_that_may_be_disabled_fails_soon_until_it_accepts() {
    let caller = caller().opt_in();
    let describing = caller.clone().giving_up();
    let unknown = |_| Err(error(ErrorClass::UnknownCredentials));
    let started = Instant::now();
    let failed = call(&caller, unknown).await.expect_err("refused");
    assert_eq!((failed.attempts, started.elapsed()), (2, Duration::from_secs(1)));
    let slipped = call(&caller, |attempt| if attempt == 1 { unknown(attempt) } else { Ok(()) });
    assert_eq!(slipped.await.expect("the second attempt"), 2);
    let failed = call(&describing, unknown).await.expect_err("refused");
    assert_eq!(failed.attempts, 4, "the listing has shown that the Region is enabled");
}

#[tokio::test(start_paused = true)]
async fn a_limited_call_ends_in_time_whatever_its_attempts_do() {
    let limit = Duration::from_secs(30);
    let caller = caller().within_time(limit);
    let started = Instant::now();
    let hanging = caller.call(Operation::ListTables, |_| {}, std::future::pending::<Result<(), _>>);
    let failed = hanging.await.expect_err("hangs");
    assert_eq!((failed.error.class, failed.attempts, started.elapsed()), (ErrorClass::TimedOut, 1, limit));
    let failed = call(&caller, |_| Err(error(ErrorClass::Transient))).await.expect_err("a server error");
    assert_eq!(failed.error.class, ErrorClass::Transient, "the last answer says more than the time");
    assert!(started.elapsed() <= limit * 2, "{:?}", started.elapsed());
}
