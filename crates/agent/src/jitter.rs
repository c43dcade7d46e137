//! Jitter for periodic work.

use std::time::Duration;

/// Returns `duration` with a random deviation of up to 20 %, so that agents do not act in lockstep.
pub(crate) fn jittered(duration: Duration) -> Duration {
    duration.mul_f64(rand::random_range(0.8..1.2))
}
