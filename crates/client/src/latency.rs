//! How long a service takes to answer.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The weight of one response in the mean: some thirty responses make the mean a new one.
const WEIGHT: f64 = 1.0 / 32.0;

/// The exponentially weighted mean of response times.
#[derive(Debug, Default)]
pub struct Latency {
    seconds: Mutex<Option<f64>>,
}

impl Latency {
    /// Adds a response.
    pub fn record(&self, took: Duration) {
        let took = took.as_secs_f64();
        let mut seconds = self.seconds();
        *seconds = Some(seconds.map_or(took, |mean| mean + (took - mean) * WEIGHT));
    }

    /// The mean; `None` before the first response.
    pub fn mean(&self) -> Option<Duration> {
        self.seconds().map(|seconds| Duration::try_from_secs_f64(seconds).unwrap_or_default())
    }

    fn seconds(&self) -> MutexGuard<'_, Option<f64>> {
        self.seconds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Latency;

    #[test]
    fn the_mean_follows_responses_and_one_slow_one_moves_it_little() {
        let latency = Latency::default();
        assert_eq!(latency.mean(), None);
        let mean = |times: u32, millis: u64| {
            (0..times).for_each(|_| latency.record(Duration::from_millis(millis)));
            latency.mean().expect("a mean").as_millis()
        };
        assert_eq!(mean(1, 30), 30);
        assert_eq!(mean(1, 350), 40);
        assert_eq!(mean(200, 100), 99);
    }
}
