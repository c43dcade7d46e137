//! What a node takes from the machine that it runs on, beside its disk: connections and the time of day.
//! A simulation puts its own in their place.

use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use meridian_domain::Timestamp;
use meridian_transport::Dialer;

/// Both of them. The default is the machine's own.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    /// How other members are reached.
    pub dialer: Dialer,
    /// What the leader stamps its entries with.
    pub clock: Clock,
}

/// The time of day; the machine's, unless it was made otherwise. Waiting never goes by it.
#[derive(Clone, Default)]
pub struct Clock(Option<Arc<dyn Fn() -> Timestamp + Send + Sync>>);

impl Clock {
    /// A clock that says what `now` says.
    #[must_use]
    pub fn new(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(now)))
    }

    pub(crate) fn now(&self) -> Timestamp {
        if let Some(now) = &self.0 {
            return now();
        }
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Clock(other)" } else { "Clock(system)" })
    }
}
