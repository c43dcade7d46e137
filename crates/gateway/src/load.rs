//! Load of a unit.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use meridian_proto::v1::UnitLoad;

/// Interval at which the number of requests in flight is sampled.
pub(crate) const SAMPLING_INTERVAL: Duration = Duration::from_millis(500);
/// Time constant of the smoothing.
const SMOOTHING: Duration = Duration::from_secs(10);
/// Number of requests in flight that counts as full utilization if there is no limit.
const DEFAULT_CAPACITY: u32 = 1024;

/// Load of a unit.
#[derive(Debug, Default)]
pub(crate) struct Load {
    in_flight: AtomicU32,
    /// Smoothed number of requests in flight, in thousandths of a request.
    smoothed: AtomicU32,
}

/// A request in flight, until it is dropped.
#[derive(Debug)]
pub(crate) struct InFlight {
    load: Arc<Load>,
    concurrent: u32,
}

impl InFlight {
    /// Returns the number of requests in flight when this one started, including it.
    pub(crate) fn concurrent(&self) -> u32 {
        self.concurrent
    }
}

impl Load {
    /// Counts a request as in flight until the guard is dropped.
    pub(crate) fn enter(self: &Arc<Self>) -> InFlight {
        let concurrent = self.in_flight.fetch_add(1, Ordering::Relaxed) + 1;
        InFlight { load: Arc::clone(self), concurrent }
    }

    /// Adds a sample of the requests in flight to the smoothed load. Must be called every
    /// [`SAMPLING_INTERVAL`].
    pub(crate) fn sample(&self) {
        let weight = -(-SAMPLING_INTERVAL.as_secs_f64() / SMOOTHING.as_secs_f64()).exp_m1();
        let now = f64::from(self.in_flight.load(Ordering::Relaxed)) * 1000.0;
        let before = f64::from(self.smoothed.load(Ordering::Relaxed));
        let after = (now - before).mul_add(weight, before).round();
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it saturates")]
        self.smoothed.store(after as u32, Ordering::Relaxed);
    }

    /// Returns the load relative to `limit` concurrent requests; 0 means no limit.
    pub(crate) fn read(&self, limit: u32) -> UnitLoad {
        let limit = if limit == 0 { DEFAULT_CAPACITY } else { limit };
        UnitLoad {
            in_flight: self.in_flight.load(Ordering::Relaxed),
            utilization_permille: self.smoothed.load(Ordering::Relaxed) / limit,
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.load.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn utilization_follows_the_requests_in_flight_over_about_ten_seconds() {
        let load = Arc::new(Load::default());
        let requests: Vec<InFlight> = (0..50).map(|_| load.enter()).collect();
        let seconds = |n: u32| (0..2 * n).for_each(|_| load.sample());
        seconds(10);
        let after_ten = load.read(100).utilization_permille;
        assert!((300..=330).contains(&after_ten), "{after_ten}");
        seconds(60);
        let steady = load.read(100);
        assert_eq!(steady.in_flight, 50);
        assert!((495..=500).contains(&steady.utilization_permille), "{steady:?}");
        drop(requests);
        seconds(60);
        let idle = load.read(100);
        assert_eq!(idle.in_flight, 0);
        assert!(idle.utilization_permille <= 5, "{idle:?}");
    }
}
