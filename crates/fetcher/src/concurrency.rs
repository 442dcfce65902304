//! How many tables of a scope are described at once.

use std::task::Poll;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, poll_fn};
use futures_util::{Stream, StreamExt};

/// At least this many, within the upper bound, and this many before anything is measured: tables
/// that hang or wait for a retry take places too, and must not hold up all others.
const LEAST: usize = 32;
/// More than the rate needs at the mean latency, because latencies vary.
const HEAD_ROOM: f64 = 1.5;
/// The concurrency if there is no rate to follow.
const WITHOUT_A_RATE: usize = 64;

/// How many tables of a scope are described at once: as many as the permitted rate needs at the
/// measured latency (Little's law) with some head-room, up to an upper bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Concurrency {
    most: usize,
    without_a_rate: usize,
}

impl Concurrency {
    /// Follows the rate and the latency, up to `most`, the requests that all scopes together may
    /// have in flight. Without a rate it is a fixed number.
    pub fn auto(most: usize) -> Self {
        Self { most, without_a_rate: WITHOUT_A_RATE.min(most) }
    }

    /// The same with a configured upper bound. Without a rate, it is that bound.
    pub fn at_most(most: usize) -> Self {
        Self { most, without_a_rate: most }
    }

    /// The same, but not more than `most`.
    pub fn capped(self, most: usize) -> Self {
        Self { most: self.most.min(most), without_a_rate: self.without_a_rate.min(most) }
    }

    /// How many tables may be described now: at `rate` requests a second (`None`: no limit) that
    /// take `latency` each (`None`: not measured yet).
    pub(crate) fn now(self, rate: Option<f64>, latency: Option<Duration>) -> usize {
        let Some(rate) = rate else { return self.without_a_rate.max(1) };
        let needed = rate * latency.unwrap_or_default().as_secs_f64() * HEAD_ROOM;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "casts of floats saturate")]
        let needed = needed.ceil() as usize;
        needed.max(LEAST).min(self.most).max(1)
    }
}

/// Runs `start` for each item, as many at a time as `most` returns whenever one ends, and yields
/// the results as they complete.
pub(crate) fn run_each<I, F: Future>(
    items: impl Stream<Item = I>,
    start: impl Fn(I) -> F,
    most: impl Fn() -> usize,
) -> impl Stream<Item = F::Output> {
    let mut items = Box::pin(items.fuse());
    let mut under_way = FuturesUnordered::new();
    poll_fn(move |context| {
        while under_way.len() < most() {
            match items.as_mut().poll_next(context) {
                Poll::Ready(Some(item)) => under_way.push(start(item)),
                Poll::Ready(None) | Poll::Pending => break,
            }
        }
        match under_way.poll_next_unpin(context) {
            Poll::Ready(None) if !items.is_done() => Poll::Pending,
            polled => polled,
        }
    })
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::num::NonZeroU32;
    use std::time::Duration;

    use dynacrawl_client::{Budget, Latency, Rate};
    use futures_util::{StreamExt, stream};
    use tokio::time::Instant;

    use super::{Concurrency, LEAST, run_each};

    const REQUESTS: usize = 5_000;

    /// How long requests to a service of this latency take within a budget of this rate, and how
    /// many are in flight at most.
    async fn crawl(concurrency: Concurrency, rate: u32, latency: Duration) -> (Duration, usize) {
        let rate = NonZeroU32::new(rate).map(Rate::per_second);
        let (budget, measured) = (&Budget::new(rate), &Latency::default());
        let (under_way, most) = (&Cell::new(0), &Cell::new(0));
        let begun = Instant::now();
        let describe = |_| async move {
            under_way.set(under_way.get() + 1);
            most.set(most.get().max(under_way.get()));
            budget.permit(None).await.expect("a permit");
            tokio::time::sleep(latency).await;
            measured.record(latency);
            under_way.set(under_way.get() - 1);
        };
        let requests = if rate.is_none_or(|rate| rate.per_second.get() < 1_000) { REQUESTS / 10 } else { REQUESTS };
        let each = run_each(stream::iter(0..requests), describe, || concurrency.now(budget.rate(), measured.mean()));
        assert_eq!(each.count().await, requests);
        (begun.elapsed(), most.get())
    }

    /// The least time that the rate allows, for as many requests as [`crawl`] sends: the burst is free.
    const LEAST_TIME: Duration = Duration::from_millis((REQUESTS as u64 - 250) * 1_000 / 2_500);

    #[tokio::test(start_paused = true)]
    async fn the_rate_is_reached_at_normal_and_high_latency() {
        for (latency, most) in [(30, 113), (300, 1_126)] {
            let latency = Duration::from_millis(latency);
            let (took, under_way) = crawl(Concurrency::auto(2_000), 2_500, latency).await;
            // The first answers come after one latency, and only then can it grow.
            assert!(took < LEAST_TIME.mul_f64(1.05) + latency * 2, "{latency:?}: {took:?}");
            assert!(under_way <= most, "{latency:?}: {under_way}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn low_rates_need_few_and_slow_responses_stay_in_bounds() {
        let (took, under_way) = crawl(Concurrency::auto(256), 250, Duration::from_millis(30)).await;
        assert!(took < Duration::from_millis(2_000) && under_way == LEAST, "{took:?}, {under_way}");
        let (_, under_way) = crawl(Concurrency::auto(256), 2_500, Duration::from_secs(20)).await;
        assert_eq!(under_way, 256);
    }

    #[tokio::test(start_paused = true)]
    async fn a_configured_number_is_an_upper_bound() {
        let latency = Duration::from_millis(30);
        for most in [1, 5, 50] {
            assert_eq!(crawl(Concurrency::at_most(most), 2_500, latency).await.1, most);
        }
        assert_eq!(crawl(Concurrency::at_most(200), 250, latency).await.1, LEAST, "not more than is needed");
        assert_eq!(crawl(Concurrency::auto(256).capped(8), 2_500, latency).await.1, 8);
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_rate_it_is_a_fixed_number() {
        let latency = Duration::from_millis(30);
        assert_eq!(crawl(Concurrency::auto(256), 0, latency).await.1, 64);
        assert_eq!(crawl(Concurrency::auto(16), 0, latency).await.1, 16);
        assert_eq!(crawl(Concurrency::at_most(100), 0, latency).await.1, 100);
    }

    /// The third item is awaited from the 25th second on, when the first has ended.
    #[tokio::test(start_paused = true)]
    async fn items_that_arrive_late_are_run_when_they_arrive() {
        let begun = Instant::now();
        let items = stream::iter(0..3_u64).then(|item| async move {
            tokio::time::sleep(Duration::from_secs(10)).await;
            item
        });
        let start = |item: u64| async move {
            tokio::time::sleep(Duration::from_secs(15 - 7 * item)).await;
            item
        };
        let ended: Vec<_> = run_each(items, start, || 2).collect().await;
        assert_eq!((ended, begun.elapsed()), (vec![0, 1, 2], Duration::from_secs(36)));
    }
}
