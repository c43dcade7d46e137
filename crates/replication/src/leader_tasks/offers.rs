//! When leadership may be offered to another member again.
//!
//! A leader that hands over proposes nothing until the heir leads or the attempt is over, and the heir's
//! election disturbs whoever leads by then. On a machine that is too busy for the heir to be elected in
//! time, an offer in each round left a cluster without any change for more than a minute.

use std::time::Duration;

use tokio::time::Instant;

/// Between two offers: doubled from the first to the second. Several elections fit into the first.
const PAUSES: (Duration, Duration) = (Duration::from_secs(3), Duration::from_secs(30));

/// The offers made so far.
#[derive(Debug, Default)]
pub(super) struct Offers {
    next: Option<Instant>,
    pause: Duration,
}

impl Offers {
    /// Whether leadership may be offered now.
    pub(super) fn may_be_made(&self, now: Instant) -> bool {
        self.next.is_none_or(|next| now >= next)
    }

    /// Notes that it is. Where none was made for long, this is the first again.
    pub(super) fn note(&mut self, now: Instant) {
        let goes_on = self.next.is_some_and(|next| now < next + PAUSES.1);
        let pause = if goes_on { self.pause * 2 } else { PAUSES.0 };
        self.pause = pause.min(PAUSES.1);
        self.next = Some(now + self.pause);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offer_that_was_not_taken_is_made_again_after_ever_longer_pauses() {
        let mut offers = Offers::default();
        let began = Instant::now();
        let mut made = Vec::new();
        for after in (0..480).map(|quarter| Duration::from_millis(250 * quarter)) {
            if offers.may_be_made(began + after) {
                offers.note(began + after);
                made.push(after.as_secs());
            }
        }
        assert_eq!(made, [0, 3, 9, 21, 45, 75, 105]);
        let much_later = began + Duration::from_secs(200);
        offers.note(much_later);
        assert!(!offers.may_be_made(much_later + Duration::from_secs(2)));
        assert!(offers.may_be_made(much_later + Duration::from_secs(3)));
    }
}
