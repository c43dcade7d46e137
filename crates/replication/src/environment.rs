//! Dependencies of a node on its machine, except the disk: connections and the wall clock. A
//! simulation replaces both.

use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use meridian_domain::Timestamp;
use meridian_transport::Dialer;

/// Connections and wall clock. The default uses those of the machine.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    /// Opens connections to other members.
    pub dialer: Dialer,
    /// Clock for the time of entries that this node proposes as leader.
    pub clock: Clock,
}

/// Wall clock. The default reads the system clock. Never used for timeouts.
#[derive(Clone, Default)]
pub struct Clock(Option<Arc<dyn Fn() -> Timestamp + Send + Sync>>);

impl Clock {
    /// Creates a clock that reads the time from `now`.
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
        f.write_str(if self.0.is_some() { "Clock(custom)" } else { "Clock(system)" })
    }
}
