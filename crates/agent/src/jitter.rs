//! Periods that differ from agent to agent.

use std::time::Duration;

/// About as long, so that agents do not fall into step.
pub(crate) fn jittered(duration: Duration) -> Duration {
    duration.mul_f64(rand::random_range(0.8..1.2))
}
