//! How busy a unit is.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use meridian_proto::v1::UnitLoad;

/// How often calls in flight are looked at.
pub(crate) const SAMPLING: Duration = Duration::from_millis(500);
/// The time constant of the smoothing.
const SMOOTHING: Duration = Duration::from_secs(10);
/// Calls in flight that count as full use where there is no limit.
const UNLIMITED: u32 = 1024;

/// How busy a unit is.
#[derive(Debug, Default)]
pub(crate) struct Load {
    in_flight: AtomicU32,
    /// Calls in flight, smoothed, in thousandths of a call.
    smoothed: AtomicU32,
}

/// A call that runs, until it is dropped.
#[derive(Debug)]
pub(crate) struct InFlight {
    load: Arc<Load>,
    running: u32,
}

impl InFlight {
    /// How many calls ran when this one began, it included.
    pub(crate) fn running(&self) -> u32 {
        self.running
    }
}

impl Load {
    /// Begins a call.
    pub(crate) fn enter(self: &Arc<Self>) -> InFlight {
        let running = self.in_flight.fetch_add(1, Ordering::Relaxed) + 1;
        InFlight { load: Arc::clone(self), running }
    }

    /// Takes the calls that run now into account. To be called every [`SAMPLING`].
    pub(crate) fn sample(&self) {
        let weight = -(-SAMPLING.as_secs_f64() / SMOOTHING.as_secs_f64()).exp_m1();
        let now = f64::from(self.in_flight.load(Ordering::Relaxed)) * 1000.0;
        let before = f64::from(self.smoothed.load(Ordering::Relaxed));
        let after = (now - before).mul_add(weight, before).round();
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it saturates")]
        self.smoothed.store(after as u32, Ordering::Relaxed);
    }

    /// The load, where `limit` calls may run at a time; 0 means no limit.
    pub(crate) fn read(&self, limit: u32) -> UnitLoad {
        let limit = if limit == 0 { UNLIMITED } else { limit };
        UnitLoad {
            in_flight: self.in_flight.load(Ordering::Relaxed),
            utilisation_permille: self.smoothed.load(Ordering::Relaxed) / limit,
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
    fn utilisation_follows_the_calls_over_about_ten_seconds() {
        let load = Arc::new(Load::default());
        let calls: Vec<InFlight> = (0..50).map(|_| load.enter()).collect();
        let seconds = |n: u32| (0..2 * n).for_each(|_| load.sample());
        seconds(10);
        let after_ten = load.read(100).utilisation_permille;
        assert!((300..=330).contains(&after_ten), "{after_ten}");
        seconds(60);
        let steady = load.read(100);
        assert_eq!(steady.in_flight, 50);
        assert!((495..=500).contains(&steady.utilisation_permille), "{steady:?}");
        drop(calls);
        seconds(60);
        let idle = load.read(100);
        assert_eq!(idle.in_flight, 0);
        assert!(idle.utilisation_permille <= 5, "{idle:?}");
    }
}
