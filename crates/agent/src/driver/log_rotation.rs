//! The task that bounds the logs of a driver's units.

use std::sync::Weak;
use std::time::Duration;

use super::blocking;
use super::units::Units;

/// Period of the task. Between two rounds, a log may grow beyond its limit.
const PERIOD: Duration = Duration::from_secs(5);

/// Rotates the logs of `units` while the driver, or one of its units, exists.
pub(super) async fn run(units: Weak<Units>) {
    loop {
        tokio::time::sleep(PERIOD).await;
        let Some(units) = units.upgrade() else { return };
        if let Err(error) = blocking(move || units.run.rotate_logs()).await {
            tracing::warn!(%error, "cannot list the logs of the units");
        }
    }
}
