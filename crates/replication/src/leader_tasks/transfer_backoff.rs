//! Backoff between attempts to transfer leadership.
//!
//! A leader that transfers leadership proposes nothing until the target leads or the attempt fails,
//! and the target's election disturbs the current leader. On a machine too busy to elect the target
//! in time, an attempt in each round left a cluster without any change for more than a minute.

use std::time::Duration;

use tokio::time::Instant;

/// Backoff after the first attempt, long enough for several elections. Each further attempt doubles
/// it.
const MIN_BACKOFF: Duration = Duration::from_secs(3);
/// Maximum backoff. An attempt that comes this long after the backoff has elapsed counts as the
/// first.
const MAX_BACKOFF: Duration = Duration::from_secs(30);

/// Backoff between attempts to transfer leadership.
#[derive(Debug, Default)]
pub(super) struct TransferBackoff {
    next_attempt: Option<Instant>,
    backoff: Duration,
}

impl TransferBackoff {
    /// True if an attempt is allowed now.
    pub(super) fn allows_attempt(&self, now: Instant) -> bool {
        self.next_attempt.is_none_or(|next| now >= next)
    }

    /// Records an attempt.
    pub(super) fn record_attempt(&mut self, now: Instant) {
        let recent = self.next_attempt.is_some_and(|next| now < next + MAX_BACKOFF);
        let backoff = if recent { self.backoff * 2 } else { MIN_BACKOFF };
        self.backoff = backoff.min(MAX_BACKOFF);
        self.next_attempt = Some(now + self.backoff);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_backoff_doubles_up_to_its_maximum_and_is_reset_after_a_quiet_period() {
        let mut backoff = TransferBackoff::default();
        let started = Instant::now();
        let mut attempts = Vec::new();
        for after in (0..480).map(|quarter| Duration::from_millis(250 * quarter)) {
            if backoff.allows_attempt(started + after) {
                backoff.record_attempt(started + after);
                attempts.push(after.as_secs());
            }
        }
        assert_eq!(attempts, [0, 3, 9, 21, 45, 75, 105]);
        let much_later = started + Duration::from_secs(200);
        backoff.record_attempt(much_later);
        assert!(!backoff.allows_attempt(much_later + Duration::from_secs(2)));
        assert!(backoff.allows_attempt(much_later + Duration::from_secs(3)));
    }
}
