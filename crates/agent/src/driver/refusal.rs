//! Retries of a configuration that a unit did not accept. The cause may end without any change of the
//! configuration: a backend's name can be resolved again, or its template is back.

use std::sync::Arc;
use std::time::Duration;

use meridian_domain::Configuration;
use tokio::time::Instant;

/// First and maximum delay. Each refusal of the same configuration doubles the delay.
const DELAYS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// The configuration that a unit refused last, if it has accepted none since.
#[derive(Debug, Default)]
pub(super) struct Refusal(Option<Refused>);

#[derive(Debug)]
struct Refused {
    configuration: Arc<Configuration>,
    retry: Instant,
    delay: Duration,
}

impl Refusal {
    /// Records a refusal.
    pub(super) fn record(&mut self, configuration: &Arc<Configuration>) {
        let previous = self.0.as_ref().filter(|refused| refused.configuration == *configuration);
        let delay = previous.map_or(DELAYS.0, |refused| (refused.delay * 2).min(DELAYS.1));
        let (configuration, retry) = (Arc::clone(configuration), Instant::now() + delay);
        self.0 = Some(Refused { configuration, retry, delay });
    }

    /// Forgets the refusal: the unit serves what it should.
    pub(super) fn clear(&mut self) {
        self.0 = None;
    }

    /// True unless this configuration was refused and its retry is not due yet.
    pub(super) fn allows(&self, configuration: &Arc<Configuration>) -> bool {
        let refused = self.0.as_ref().filter(|refused| refused.configuration == *configuration);
        refused.is_none_or(|refused| refused.retry <= Instant::now())
    }

    /// Time of the next attempt, if a configuration was refused.
    pub(super) fn retry(&self) -> Option<Instant> {
        self.0.as_ref().map(|refused| refused.retry)
    }
}

#[cfg(test)]
mod tests {
    use meridian_domain::Revision;
    use tokio::time::advance;

    use super::*;

    fn configuration(revision: u64) -> Arc<Configuration> {
        Arc::new(Configuration { revision: Revision(revision), ..Configuration::default() })
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_configuration_is_tried_again_with_growing_delays_and_another_one_at_once() {
        let (mut refusal, old, new) = (Refusal::default(), configuration(1), configuration(2));
        assert!(refusal.allows(&old) && refusal.retry().is_none());
        for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
            refusal.record(&old);
            assert!(!refusal.allows(&old) && refusal.allows(&new));
            assert_eq!(refusal.retry(), Some(Instant::now() + Duration::from_secs(seconds)));
            advance(Duration::from_secs(seconds)).await;
            assert!(refusal.allows(&old));
        }
        refusal.record(&new);
        assert_eq!(refusal.retry(), Some(Instant::now() + DELAYS.0));
        refusal.clear();
        assert_eq!(refusal.retry(), None);
    }
}
