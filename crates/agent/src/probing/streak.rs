//! Probes since the last success.

use std::time::Duration;

use meridian_domain::reachability::votes::Reach;
use tokio::time::Instant;

/// Minimum number of probes that must have been started, and failed, for a vote. So many that at a
/// packet loss of 30 % one of them succeeds within the window. At most three of them use connections
/// that were open before.
pub(super) const MIN_STARTED: u32 = 12;

/// Probes since the last success.
#[derive(Debug, Clone, Copy)]
pub(super) struct Streak {
    /// Time of the last success, or of the first probe.
    since: Instant,
    /// Probes started since then.
    started: u32,
    has_succeeded: bool,
}

impl Streak {
    /// Returns a streak that starts now, without any success.
    pub(super) fn new(now: Instant) -> Self {
        Self { since: now, started: 0, has_succeeded: false }
    }

    /// Records the start of a probe.
    pub(super) fn record_start(&mut self) {
        self.started = self.started.saturating_add(1);
    }

    /// Records a success.
    pub(super) fn record_success(&mut self, now: Instant) {
        *self = Self { since: now, started: 0, has_succeeded: true };
    }

    /// Returns what the probes of the last `window` show; `None` if there were too few.
    pub(super) fn reach(&self, window: Duration, now: Instant) -> Option<Reach> {
        if now.duration_since(self.since) < window {
            return self.has_succeeded.then_some(Reach::Reached);
        }
        (self.started >= MIN_STARTED).then_some(Reach::Unreachable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(2);

    #[test]
    fn gateways_are_unreachable_after_a_window_of_enough_probes_without_a_success() {
        let started = Instant::now();
        let at = |ms| started + Duration::from_millis(ms);
        let mut streak = Streak::new(started);
        assert_eq!(streak.reach(WINDOW, at(5_000)), None, "nothing was probed");
        for _ in 1..MIN_STARTED {
            streak.record_start();
        }
        assert_eq!(streak.reach(WINDOW, at(5_000)), None, "too few probes");
        streak.record_start();
        assert_eq!(streak.reach(WINDOW, at(1_999)), None, "the window has not passed");
        assert_eq!(streak.reach(WINDOW, at(2_000)), Some(Reach::Unreachable));
        streak.record_success(at(3_000));
        assert_eq!(streak.reach(WINDOW, at(3_000)), Some(Reach::Reached));
        assert_eq!(streak.reach(WINDOW, at(4_999)), Some(Reach::Reached));
        assert_eq!(streak.reach(WINDOW, at(5_000)), None, "nothing was probed since");
    }
}
