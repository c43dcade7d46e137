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
    /// Whether leadership may be offered now, which is taken to happen then.
    pub(super) fn allow(&mut self, now: Instant) -> bool {
        if self.next.is_some_and(|next| now < next) {
            return false;
        }
        self.pause = (self.pause * 2).clamp(PAUSES.0, PAUSES.1);
        self.next = Some(now + self.pause);
        true
    }

    /// Notes that none is to be made: the next one is the first again.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offer_that_was_not_taken_is_made_again_after_ever_longer_pauses() {
        let mut offers = Offers::default();
        let began = Instant::now();
        let quarters = (0..480).map(|quarter| Duration::from_millis(250 * quarter));
        let made: Vec<_> = quarters.filter(|after| offers.allow(began + *after)).collect();
        let made: Vec<_> = made.into_iter().map(|after| after.as_secs()).collect();
        assert_eq!(made, [0, 3, 9, 21, 45, 75, 105]);
        offers.forget();
        assert!(offers.allow(began));
    }
}
